"""Fan-out and depth: one root starts more sub-agents, or deeper ones, than anybody meant it to."""

from dataclasses import dataclass
from decimal import Decimal

from models.core.money import EXACT
from models.costs.steps import Finding, FindingKind, Step

MOST_LIVE = 50
"""Sub-agents of one root that live at the same moment."""
DEEPEST = 6
"""Agents in a chain from the root."""
REMEMBERED = 64
ZERO = Decimal(0)


@dataclass(slots=True, frozen=True)
class FanOutState:
    """The last agents seen, each with how many lived when it began."""

    recent: tuple[tuple[int, int, int], ...] = ()
    """(start, end, agents alive at that start)."""
    since_ns: int = 0
    cost: Decimal = ZERO
    waste: Decimal = ZERO
    paging: bool = False


def observe_fan_out(state: FanOutState, step: Step) -> tuple[FanOutState, list[Finding]]:
    """Count the agents alive together from their starts and ends, and the length of the agent path."""
    cost = step.cost or ZERO
    since = min(state.since_ns, step.start_ns) if state.since_ns else step.start_ns
    recent, live = _with_agent(state.recent, step) if step.is_agent else (state.recent, 0)
    depth = step.agent_path.count("/") + 1 if step.agent_path else 0
    too_many, too_deep = live >= MOST_LIVE, depth >= DEEPEST
    after = FanOutState(
        recent=recent,
        since_ns=since,
        cost=EXACT.add(state.cost, cost),
        waste=EXACT.add(state.waste, cost if state.paging else ZERO),
        paging=state.paging or too_many or too_deep,
    )
    if too_many:
        return after, [_finding(after, step, f"sub-agents at once (limit {MOST_LIVE})", live, MOST_LIVE)]
    if too_deep:
        return after, [_finding(after, step, f"agents deep (limit {DEEPEST})", depth, DEEPEST)]
    return after, []


def _with_agent(recent: tuple[tuple[int, int, int], ...], step: Step) -> tuple[tuple[tuple[int, int, int], ...], int]:
    alive = 1 + sum(start <= step.start_ns < end for start, end, _ in recent)
    counted = [(start, end, live + 1 if step.start_ns <= start < step.end_ns else live) for start, end, live in recent]
    counted.append((step.start_ns, step.end_ns, alive))
    return tuple(counted[-REMEMBERED:]), max(live for _, _, live in counted)


def _finding(state: FanOutState, step: Step, what: str, count: int, limit: int) -> Finding:
    return Finding(
        kind=FindingKind.FAN_OUT,
        trace_id=step.trace_id,
        agent=(step.agent_path or step.agent or "").split("/")[0] or None,
        what=(what,),
        repeats=count,
        threshold=limit,
        since_ns=state.since_ns,
        last_ns=step.end_ns,
        cost=state.cost,
        waste=state.waste,
    )
