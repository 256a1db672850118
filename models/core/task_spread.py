"""What tasks cost, as a distribution: quantiles that a task really paid, and log bins that lose no task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

PER_DECADE = 5
"""Bins of a factor of ten."""
_LOWEST, _HIGHEST = -15, 12
"""Powers of ten: the smallest amount that is kept, and more than any task costs."""
EDGES: Sequence[Decimal] = tuple(
    Decimal(10) ** (Decimal(at) / PER_DECADE) for at in range(_LOWEST * PER_DECADE, _HIGHEST * PER_DECADE + 1)
)
"""Where a bin begins and the one below ends, ascending."""
SHARES: Mapping[str, Decimal] = {"p50": Decimal("0.5"), "p95": Decimal("0.95"), "p99": Decimal("0.99")}
COSTLIEST = Decimal("0.05")


@dataclass(slots=True, frozen=True)
class Bin:
    """Tasks that cost at least `low` and less than `high`."""

    low: Decimal
    high: Decimal
    tasks: int


@dataclass(slots=True, frozen=True, kw_only=True)
class TaskSpread:
    """The costs of the tasks of a period, one after the other.

    Units    USD. A quantile is the nearest rank: the cost of the task that stands ⌈share × tasks⌉th.
    Source   Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996, definition 1.
    """

    tasks: int
    """Those with a known cost; all figures but `unknown` are theirs."""
    unknown: int
    """Tasks none of whose calls has a price."""
    free: int
    """Of `tasks`, those that cost nothing: no log bin holds them."""
    cost: Decimal | None
    quantiles: Mapping[str, Decimal]
    """By the names of SHARES; empty without tasks."""
    costliest: Decimal | None
    """What the costliest twentieth cost together, at least one task."""
    bins: Sequence[Bin]
    """From the lowest that holds a task to the highest, empty ones between included."""
    nameless: Decimal | None
    """What calls without a task cost."""

    @property
    def mean(self) -> Decimal | None:
        """Cost per task."""
        return None if self.cost is None or not self.tasks else self.cost / self.tasks

    @property
    def share_of_costliest(self) -> Decimal | None:
        """How much of the cost the costliest twentieth makes up, 0..1."""
        return None if not self.cost or self.costliest is None else self.costliest / self.cost


def bins_of(counts: Mapping[int, int]) -> list[Bin]:
    """Bins by how many tasks lie at or above which edge: `n` is between EDGES[n - 1] and EDGES[n]."""
    if not counts:
        return []
    return [Bin(EDGES[at - 1], EDGES[at], counts.get(at, 0)) for at in range(min(counts), max(counts) + 1)]
