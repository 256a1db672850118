"""What metrics tell of tokens: output per stream and UTC day, to hold calls against. Metrics make no calls."""

from dataclasses import dataclass
from datetime import date


@dataclass(slots=True, frozen=True, kw_only=True)
class MetricDay:
    """Output tokens that one metric stream added on one UTC day."""

    stream_id: bytes
    day: date
    service: str | None
    scope: str
    metric: str
    model: str | None
    output_tokens: int
    is_whole: bool = True
    """False: the stream began on an earlier day whose points are not known, so the day may have had more."""


@dataclass(slots=True, frozen=True)
class ModelGap:
    """What metrics and calls of a service say of one model."""

    model: str | None
    said: int
    counted: int


@dataclass(slots=True, frozen=True)
class MetricGap:
    """Output tokens that a service's metrics tell and its calls do not."""

    service: str | None
    metric: str
    scope: str
    said: int
    counted: int
    models: tuple[ModelGap, ...] = ()
    """By model, the largest difference first; those that metrics name."""

    @property
    def missing(self) -> int:
        """Tokens that no call accounts for."""
        return self.said - self.counted
