"""Own hardware as shown: deployments with what each hour of them was used for, and scenarios answered beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(slots=True, frozen=True, kw_only=True)
class HourUse:
    """One deployment-hour after sharing. Costs in USD; null where the bill is unknown."""

    hour: datetime
    calls: int
    uncached_tokens: int
    cached_tokens: int
    generated_tokens: int
    chip_seconds: float | None
    """Provisioned; null where no capacity was entered."""
    prefill_chip_seconds: float
    decode_chip_seconds: float
    bill: Decimal | None
    prefill_cost: Decimal | None
    decode_cost: Decimal | None
    idle_cost: Decimal | None
    evidence: str | None
    problem: str | None


@dataclass(slots=True, frozen=True, kw_only=True)
class DeploymentUse:
    """A deployment and its hours of a period, in the order of time."""

    deployment_id: int
    name: str
    architecture: str
    accelerator: str
    engine: str | None
    precision: str
    chips: int
    concurrency: int
    announced: bool
    retired: bool
    usd_per_chip_hour: Decimal | None
    hours: Sequence[HourUse]

    def cost(self, name: str) -> Decimal | None:
        """Sum of a cost over the hours where it is known; None where none is."""
        known = [cost for hour in self.hours if (cost := getattr(hour, name)) is not None]
        return sum(known, Decimal(0)) if known else None

    def count(self, name: str) -> int:
        """Sum of a count."""
        return sum(getattr(hour, name) for hour in self.hours)

    @property
    def utilisation(self) -> Decimal | None:
        """Occupied over provisioned chip-seconds; above 1 where the model claims more than there was."""
        provisioned = sum(hour.chip_seconds or 0.0 for hour in self.hours)
        if not provisioned:
            return None
        used = sum(hour.prefill_chip_seconds + hour.decode_chip_seconds for hour in self.hours if hour.chip_seconds)
        return Decimal(repr(used / provisioned))


@dataclass(slots=True, frozen=True, kw_only=True)
class Replay:
    """One scenario over the calls of a view, or why it has no answer."""

    key: str
    name: str
    scenario: Mapping[str, Any]
    """As it is written for `jevons whatif` and `POST /api/v1/whatif`."""
    actual: Decimal | None = None
    cost: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    calls: int = 0
    left_out: int = 0
    lines: Sequence[tuple[str, Decimal]] = ()
    assumptions: Sequence[str] = ()
    evidence: str = ""
    announced: bool = False
    fault: str = ""
