"""What the hardware page needs to know, as a Protocol; the composition root hands in who answers it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from models.core.fleet import DeploymentUse, Replay
from models.core.queries import CostQuery
from models.costs.whatif_presets import Assumptions


class Fleet(Protocol):
    """Read-only answers about hardware of one's own."""

    def deployments(self, project_id: int, start: datetime, end: datetime) -> Sequence[DeploymentUse]:
        """Every deployment in service or used in the period, with its shared hours."""
        ...

    def replays(self, query: CostQuery, assumptions: Assumptions) -> Sequence[Replay]:
        """The calls of a question under every preset scenario, the present first. Raises BadInput, NotFound."""
        ...

    def models(self) -> Sequence[str]:
        """Ids of the model architectures that can be calculated."""
        ...


_fleet: Fleet | None = None


def use_fleet(fleet: Fleet | None) -> None:
    """Hand the fleet to the pages; called once by the composition root."""
    global _fleet
    _fleet = fleet


def current_fleet() -> Fleet | None:
    """The fleet in force, or None where the pages run without hardware of one's own."""
    return _fleet
