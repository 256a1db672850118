"""Calls without usage: what they may have used, by metered calls of the same agent and model. Never in a total."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from models.core.quality import Example, Unmetered

Key = tuple[str | None, str | None]
"""Agent and model."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Peers:
    """Metered calls of one agent and model: the spread of what one of them used.

    Units    tokens and USD per call at the 5th, 50th and 95th percentile; cost None where they have no price.
    """

    calls: int
    tokens: tuple[int, int, int]
    cost: tuple[Decimal, Decimal, Decimal] | None


@dataclass(slots=True, frozen=True, kw_only=True)
class Untold:
    """Calls of one agent and model that told no usage; some of them ended in an error on this side."""

    agent: str | None
    model: str | None
    calls: int
    failed: int
    examples: Sequence[Example] = ()


def estimate(untold: Iterable[Untold], peers: Mapping[Key, Peers], of_model: Mapping[str, Peers]) -> list[Unmetered]:
    """Estimates with bounds, one per agent and model that have calls without usage.

    Method   the median of the same agent and model, else of the model, else nothing; between the 5th and the 95th
             percentile. A call that failed on this side (aborted, timed out) may not have been processed, so it
             counts for nothing in the lower bound.
    """
    return [
        _one(
            group,
            *next(
                (
                    (found, basis)
                    for found, basis in (
                        (peers.get((group.agent, group.model)), "agent and model"),
                        (of_model.get(group.model) if group.model else None, "model"),
                    )
                    if found is not None
                ),
                (None, "no peer"),
            ),
        )
        for group in untold
    ]


def _one(group: Untold, peers: Peers | None, basis: str) -> Unmetered:
    sure = group.calls - group.failed
    low, middle, high = peers.tokens if peers else (None, None, None)
    cost = peers.cost if peers else None
    return Unmetered(
        agent=group.agent,
        model=group.model,
        calls=group.calls,
        peers=peers.calls if peers else 0,
        basis=basis,
        tokens=None if middle is None else middle * group.calls,
        tokens_low=None if low is None else low * sure,
        tokens_high=None if high is None else high * group.calls,
        cost=None if cost is None else cost[1] * group.calls,
        cost_low=None if cost is None else cost[0] * sure,
        cost_high=None if cost is None else cost[2] * group.calls,
        examples=group.examples,
    )
