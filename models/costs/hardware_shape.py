"""What goes into and comes out of a timing model: the shape of the mean request, and the six coefficients."""

from dataclasses import dataclass

from models.core.hardware import Evidence


@dataclass(slots=True, frozen=True)
class Shape:
    """Tokens of the mean request of a cell. It decides the batch that fits and which side of a roofline holds."""

    uncached: float
    cached: float
    generated: float

    @property
    def decode_context(self) -> float:
        """Tokens in the context half-way through the answer."""
        return self.cached + self.uncached + self.generated / 2


@dataclass(slots=True, frozen=True, kw_only=True)
class Terms:
    """Coefficients in chip-seconds, and what stands behind them.

    A = prefill_token·u + prefill_pair·u(c+u/2) + step_share·o + context_read·o(c+u+o/2) + state_read·o
    + cache_reload·c, with u uncached input, c cached input and o output tokens.
    """

    prefill_token: float
    prefill_pair: float
    step_share: float
    context_read: float
    state_read: float
    cache_reload: float
    chips: int
    batch: float
    """Sequences that really run together: the concurrency, or less where memory or the pipeline is full."""
    fill_seconds: float
    """Time the first token waits beside the compute of its prefill; occupies nothing when others run meanwhile."""
    evidence: Evidence

    def prefill_seconds(self, uncached: float, cached: float) -> float:
        """Time of one prefill on the whole replica."""
        work = self.prefill_token * uncached + self.prefill_pair * uncached * (cached + uncached / 2)
        return (work + self.cache_reload * cached) / self.chips + self.fill_seconds

    def step_seconds(self, context: float) -> float:
        """Time of one decode step: one token for each of the sequences that run together."""
        return (self.step_share + self.state_read + self.context_read * context) * self.batch / self.chips
