"""What the chargeback page needs to know beside the figures, as a Protocol; the composition root answers it."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from models.core.closing import Move, PeriodState, RuleDraft, RuleLine


class MonthDesk(Protocol):
    """Read-only answers about periods and ownership of one project. What changes something goes through the API."""

    def months(self, project_id: int) -> Sequence[tuple[date, str]]:
        """Months with charges or a state, the newest first, with their state."""
        ...

    def period(self, project_id: int, month: date) -> PeriodState:
        """One month with its checklist."""
        ...

    def rules(self, project_id: int) -> Sequence[RuleLine]:
        """The ownership rules in force, in the order in which they are asked."""
        ...

    def preview(self, project_id: int, draft: RuleDraft | None) -> tuple[int, Sequence[Move]]:
        """Calls and moves in open months under the rules in force and one more. Raises BadInput."""
        ...

    def payers(self, project_id: int, target: str) -> Sequence[str]:
        """Teams or cost centres that are known."""
        ...


_desk: MonthDesk | None = None


def use_month_desk(desk: MonthDesk | None) -> None:
    """Hand the desk to the pages; called once by the composition root."""
    global _desk
    _desk = desk


def current_month_desk() -> MonthDesk | None:
    """The desk in force, or None where the pages run without it."""
    return _desk
