"""Suspicion: whether a trace can hold a pattern at all, by counts alone; most cannot, and need no detector."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.costs import cycles, fan_out, ratchet, repeats, retries


@dataclass(slots=True)
class TraceCounts:
    """What one trace holds, counted without looking at its order."""

    tools: dict[tuple[str, str | None], int] = field(default_factory=dict[tuple[str, str | None], int])
    """(tool, keyed hash of its arguments) → runs, of tools whose repeats can be told."""
    requests: int = 0
    """Calls to models."""
    bad_requests: int = 0
    """Calls that failed, and calls with the model and the sum of tokens of an earlier one."""
    agents: int = 0
    """Names in the agent paths of all runs of agents together: no path is longer, and no more run at once."""
    depth: int = 0
    """Agents in the longest agent path of a call."""


def may_hold_a_pattern(counts: TraceCounts) -> bool:
    """Whether any detector could find something; False is certain, True means: look.

    Source   the thresholds of the detectors. A repeated step needs that many runs of one tool with one argument; a
             cycle two different ones, each as often as it has periods; a storm six bad requests (more than half of
             at least ten are six as well); a ratchet one turn more than it allows; depth that many agents.
    """
    return (
        counts.bad_requests >= retries.ALLOWED
        or counts.requests > ratchet.ALLOWED
        or counts.agents >= min(fan_out.MOST_LIVE, fan_out.DEEPEST)
        or counts.depth >= fan_out.DEEPEST
        or _tools_repeat(counts.tools)
    )


def _tools_repeat(tools: Mapping[tuple[str, str | None], int]) -> bool:
    often = 0
    for runs in tools.values():
        if runs >= repeats.ALLOWED:
            return True
        often += runs >= cycles.ALLOWED
    return often > 1
