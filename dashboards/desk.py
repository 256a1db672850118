"""What the budgets and incident pages need to know, as a Protocol; the composition root hands in who answers it."""

from collections.abc import Sequence
from typing import Protocol

from models.core.controls import Channel, Incident
from models.core.desk import Burndown, Delivery, IncidentFile, Standing


class Desk(Protocol):
    """Read-only answers about one project's guardrails. What changes something goes through the API, as for scripts."""

    def standings(self, project_id: int) -> Sequence[Standing]:
        """Every budget in force and how it stands, the oldest first."""
        ...

    def burndown(self, project_id: int, budget_id: int) -> Burndown:
        """One budget day by day. Raises NotFound."""
        ...

    def incidents(self, project_id: int, limit: int = 200) -> Sequence[Incident]:
        """Incidents, the newest first."""
        ...

    def incident(self, project_id: int, incident_id: int) -> IncidentFile:
        """One incident with its evidence. Raises NotFound."""
        ...

    def channels(self, project_id: int) -> Sequence[Channel]:
        """Channels in use."""
        ...

    def deliveries(self, project_id: int) -> Sequence[Delivery]:
        """The last deliveries, the newest first."""
        ...


_desk: Desk | None = None


def use_desk(desk: Desk | None) -> None:
    """Hand the desk to the pages; called once by the composition root."""
    global _desk
    _desk = desk


def current_desk() -> Desk | None:
    """The desk in force, or None where the pages run without guardrails."""
    return _desk
