"""Answers about the month close: the shapes that the chargeback page draws and the app fills."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(slots=True, frozen=True, kw_only=True)
class CheckLine:
    """One line of the close checklist."""

    name: str
    state: str
    """`ok`, `warn` or `fail`."""
    value: str | None
    what: str
    todo: str | None


@dataclass(slots=True, frozen=True, kw_only=True)
class PeriodState:
    """A month of a project: its state, its checklist, and the last snapshot."""

    month: date
    state: str
    changed_by: str | None
    changed_at: datetime | None
    reason: str | None
    checks: Sequence[CheckLine]
    snapshot: int | None
    """Number of the last one."""
    sha256: str | None

    @property
    def ready(self) -> bool:
        """Whether no check fails."""
        return all(check.state != "fail" for check in self.checks)


@dataclass(slots=True, frozen=True, kw_only=True)
class RuleLine:
    """An ownership rule in force, in words."""

    id: int
    target: str
    value: str
    asks: str
    period: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Move:
    """Calls and money that leave one payer and reach another in a month. None: unallocated."""

    month: date
    target: str
    before: str | None
    after: str | None
    calls: int
    effective_cost: Decimal | None


@dataclass(slots=True, frozen=True, kw_only=True)
class RuleDraft:
    """A rule as a person is writing it."""

    target: str
    value: str
    dimension: str
    match: str
    pattern: str
    valid_from: str | None = None
    """A day, `2026-10-01`."""
