"""Context ratchet: the context grows turn by turn while the tools bring nothing new."""

from dataclasses import dataclass, replace
from decimal import Decimal

from models.core.money import EXACT
from models.costs.steps import Finding, FindingKind, Step, is_waiting

ALLOWED = 10
"""Turns of growing context without a new tool result."""
REMEMBERED = 16
"""Results that are remembered as already seen."""
ZERO = Decimal(0)


@dataclass(slots=True, frozen=True)
class RatchetState:
    """How long the context has grown without news."""

    seen: tuple[tuple[str | None, str], ...] = ()
    turns: int = 0
    input_tokens: int | None = None
    tools_since_call: bool = False
    since_ns: int = 0
    trace_id: bytes = b""
    cost: Decimal = ZERO
    waste: Decimal = ZERO


def observe_ratchet(state: RatchetState, step: Step) -> tuple[RatchetState, Finding | None]:
    """Count turns in which tools ran, every result was seen before, and the input grew again.

    Turns without tools are conversation and count for nothing; a tool whose result is not told is taken as news.
    """
    if step.is_agent:
        return state, None
    if step.is_tool:
        return _after_tool(state, step), None
    if state.input_tokens is None or step.input_tokens is None or step.input_tokens <= state.input_tokens:
        return RatchetState(seen=state.seen, input_tokens=step.input_tokens, since_ns=step.start_ns), None
    cost = step.cost or ZERO
    after = replace(
        state,
        input_tokens=step.input_tokens,
        turns=state.turns + (1 if state.tools_since_call else 0),
        tools_since_call=False,
        since_ns=state.since_ns or step.start_ns,
        trace_id=state.trace_id or step.trace_id,
        cost=EXACT.add(state.cost, cost),
        waste=EXACT.add(state.waste, cost if state.turns >= ALLOWED else ZERO),
    )
    if after.turns < ALLOWED or not state.tools_since_call:
        return after, None
    return after, Finding(
        kind=FindingKind.CONTEXT_RATCHET,
        trace_id=after.trace_id,
        agent=step.agent,
        what=(step.model or step.operation,),
        repeats=after.turns,
        threshold=ALLOWED,
        since_ns=after.since_ns,
        last_ns=step.end_ns,
        cost=after.cost,
        waste=after.waste,
        suppressors_checked=("new results", "wait and poll tools", "turns without tools"),
    )


def _after_tool(state: RatchetState, step: Step) -> RatchetState:
    if step.result_hash is None or is_waiting(step.tool):
        return RatchetState(seen=state.seen, input_tokens=state.input_tokens)
    result = (step.tool, step.result_hash)
    if result in state.seen:
        return replace(state, tools_since_call=True)
    return RatchetState(seen=(*state.seen, result)[-REMEMBERED:], input_tokens=state.input_tokens)
