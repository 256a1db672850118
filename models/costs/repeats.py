"""Repeated step: an agent runs the same tool with the same arguments to the same end, again and again."""

from dataclasses import dataclass, replace
from decimal import Decimal

from models.core.money import EXACT
from models.costs.steps import Finding, FindingKind, Step, can_be_told, is_waiting

ALLOWED = 5
"""Times in a row at which a step is a loop."""
BACK_OFF = 1.5
"""A gap this many times the one before is growing back-off."""
CHECKED = ("wait and poll tools", "changing results", "pagination", "growing back-off", "rising progress", "one turn")
ZERO = Decimal(0)


@dataclass(slots=True, frozen=True)
class RepeatState:
    """The run of equal steps that the last tool step belongs to."""

    last: Step | None = None
    count: int = 0
    since_ns: int = 0
    trace_id: bytes = b""
    cost: Decimal = ZERO
    waste: Decimal = ZERO
    gap_ns: int = 0
    growing: int = 0
    """How many gaps in a row grew as back-off does."""
    model_spoke: bool = False
    """Whether the model was called since the last tool step."""


def observe_repeat(state: RepeatState, step: Step) -> tuple[RepeatState, Finding | None]:
    """Follow the run of equal tool steps; a model call between them adds its cost and breaks nothing.

    Two steps are equal by signature. A success with another result, or with more progress, begins a new run: something
    moved. A failure with another message does not. Where the arguments are not told, a run counts only when the
    tool's name says what it does and the model asked for each repeat by itself (several in one turn are a map over
    a list).
    """
    if step.is_agent:
        return state, None
    if not step.is_tool:
        return _with_cost(state, step), None
    if is_waiting(step.tool):
        return RepeatState(), None
    after = _next(state, step)
    if after.count < ALLOWED or after.growing >= 2 or not can_be_told(step):
        return after, None
    return after, _finding(after, step)


def _with_cost(state: RepeatState, step: Step) -> RepeatState:
    cost = step.cost or ZERO
    spent_late = cost if state.count >= ALLOWED else ZERO
    return replace(state, cost=EXACT.add(state.cost, cost), waste=EXACT.add(state.waste, spent_late), model_spoke=True)


def _next(state: RepeatState, step: Step) -> RepeatState:
    last = state.last
    if last is None or last.signature != step.signature or _moved(last, step):
        return RepeatState(last=step, count=1, since_ns=step.start_ns, trace_id=step.trace_id)
    if step.arguments_hash is None and not state.model_spoke:
        return replace(state, last=step)
    gap = max(step.start_ns - last.end_ns, 0)
    growing = state.growing + 1 if state.gap_ns and gap >= BACK_OFF * state.gap_ns else 0
    return replace(state, last=step, count=state.count + 1, gap_ns=gap, growing=growing, model_spoke=False)


def _moved(last: Step, step: Step) -> bool:
    if last.progress is not None and step.progress is not None and step.progress > last.progress:
        return True
    told = last.result_hash is not None and step.result_hash is not None
    return told and last.result_hash != step.result_hash and not step.failed


def _finding(state: RepeatState, step: Step) -> Finding:
    return Finding(
        kind=FindingKind.REPEATED_STEP,
        trace_id=state.trace_id,
        agent=step.agent,
        what=(step.tool or step.operation,),
        repeats=state.count,
        threshold=ALLOWED,
        since_ns=state.since_ns,
        last_ns=step.end_ns,
        cost=state.cost,
        waste=state.waste,
        failed=step.failed,
        arguments_known=step.arguments_hash is not None,
        suppressors_checked=CHECKED,
    )
