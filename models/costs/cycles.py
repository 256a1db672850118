"""Cycle: the tail of an agent's tool steps is periodic, such as search → read → search → read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from models.core.money import EXACT
from models.costs.steps import Finding, FindingKind, Step, can_be_told, is_waiting

LONGEST_PERIOD = 8
ALLOWED = 3
"""Full periods at which steps are a loop."""
ALLOWED_UNTOLD = 10
"""Full periods where some arguments are not told: search → read is also how healthy work looks from outside."""
CHECKED = ("wait and poll tools", "changing results", "changing arguments", "rising progress")
ZERO = Decimal(0)


@dataclass(slots=True, frozen=True)
class Period:
    """How long the tail has had one period."""

    matched: int = 0
    """Steps in a row that equal the step one period before."""
    since_ns: int = 0
    cost: Decimal = ZERO
    waste: Decimal = ZERO


@dataclass(slots=True, frozen=True)
class CycleState:
    """The last eight tool steps, and for each period how far back it holds."""

    recent: tuple[Step, ...] = ()
    periods: tuple[Period, ...] = (Period(),) * LONGEST_PERIOD


def observe_cycle(state: CycleState, step: Step) -> tuple[CycleState, Finding | None]:
    """Follow the periods 1 to 8 of the tail; a model call adds its cost to each period that holds.

    A period p holds for as long as each step equals the one p before it. Counting that for every p gives the same
    periods as the failure function of Knuth, Morris & Pratt would, in at most eight comparisons per step and without
    keeping the sequence. Period 1 is a repeated step and is left to that detector.
    """
    if step.is_agent:
        return state, None
    if not step.is_tool:
        return replace(state, periods=tuple(_with_cost(n, period, step) for n, period in _numbered(state))), None
    if is_waiting(step.tool):
        return CycleState(), None
    periods = tuple(_next(number, period, state.recent, step) for number, period in _numbered(state))
    after = CycleState(recent=(*state.recent, step)[-LONGEST_PERIOD:], periods=periods)
    for number, period in _numbered(after):
        block = after.recent[-number:]
        enough = number > 1 and _full_periods(number, period) >= _allowed(block)
        if enough and _is_least(after, number) and all(can_be_told(one) for one in block):
            return after, _finding(number, period, block, step)
    return after, None


def _numbered(state: CycleState) -> list[tuple[int, Period]]:
    return list(enumerate(state.periods, start=1))


def _full_periods(number: int, period: Period) -> int:
    """The first period itself has nothing before it to equal."""
    return period.matched // number + 1 if period.matched else 0


def _is_least(state: CycleState, number: int) -> bool:
    """Whether no shorter period explains the same tail: a run of one step has every period."""
    return not any(
        number % shorter == 0 and state.periods[shorter - 1].matched >= state.periods[number - 1].matched
        for shorter in range(1, number)
    )


def _allowed(block: Sequence[Step]) -> int:
    return ALLOWED if all(step.arguments_hash is not None for step in block) else ALLOWED_UNTOLD


def _with_cost(number: int, period: Period, step: Step) -> Period:
    if not period.matched:
        return period
    cost = step.cost or ZERO
    late = cost if _full_periods(number, period) >= ALLOWED else ZERO
    return replace(period, cost=EXACT.add(period.cost, cost), waste=EXACT.add(period.waste, late))


def _next(number: int, period: Period, recent: Sequence[Step], step: Step) -> Period:
    if len(recent) < number:
        return Period()
    earlier = recent[-number]
    if earlier.signature != step.signature or _moved(earlier, step):
        return Period()
    return replace(period, matched=period.matched + 1, since_ns=period.since_ns or earlier.start_ns)


def _moved(earlier: Step, step: Step) -> bool:
    if earlier.progress is not None and step.progress is not None and step.progress > earlier.progress:
        return True
    # Unlike a single step that fails in new words, a cycle whose results differ is a search that goes on.
    told = earlier.result_hash is not None and step.result_hash is not None
    return told and earlier.result_hash != step.result_hash


def _finding(number: int, period: Period, block: Sequence[Step], step: Step) -> Finding:
    return Finding(
        kind=FindingKind.CYCLE,
        trace_id=step.trace_id,
        agent=step.agent,
        what=tuple(one.tool or one.operation for one in block),
        repeats=_full_periods(number, period),
        threshold=_allowed(block),
        since_ns=period.since_ns,
        last_ns=step.end_ns,
        cost=period.cost,
        waste=period.waste,
        failed=step.failed,
        arguments_known=_allowed(block) == ALLOWED,
        suppressors_checked=CHECKED,
    )
