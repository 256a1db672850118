"""Retry storm: requests to a model that fail, or the same request again, faster than back-off would send them."""

from dataclasses import dataclass, replace
from decimal import Decimal

from models.core.money import EXACT
from models.costs.steps import NS_PER_MINUTE, Finding, FindingKind, Step

ALLOWED = 6
"""Failed or repeated requests within a minute."""
WINDOW_NS = NS_PER_MINUTE
AGAIN_NS = 10_000_000_000
"""The same request within this time of the one before is a retry."""
SHARE_WINDOW = 20
LEAST_FOR_SHARE = 10
BACK_OFF = 1.5
CHECKED = ("growing back-off", "parallel requests", "other answers")
ZERO = Decimal(0)


@dataclass(slots=True, frozen=True)
class RetryState:
    """The last failed or repeated requests, and how the last twenty ended."""

    bad: tuple[tuple[int, Decimal], ...] = ()
    """(end, cost) of the last six failed or repeated requests."""
    outcomes: tuple[bool, ...] = ()
    last: Step | None = None
    gap_ns: int = 0
    growing: int = 0
    storm_since_ns: int | None = None
    repeats: int = 0
    cost: Decimal = ZERO
    waste: Decimal = ZERO


def observe_retry(state: RetryState, step: Step) -> tuple[RetryState, Finding | None]:
    """Count failed and repeated requests: six within a minute, or more than half of ten to twenty.

    A repeated request has the model and the token counts of the one that ended at most ten seconds before it began.
    Gaps that grow by half each time are back-off, which is what a client should do, and are no storm.
    """
    if step.is_tool or step.is_agent:
        return state, None
    bad = step.failed or _is_again(state.last, step)
    gap = max(step.start_ns - state.last.end_ns, 0) if state.last else 0
    growing = state.growing + 1 if state.gap_ns and gap >= BACK_OFF * state.gap_ns else 0
    cost = step.cost or ZERO
    recent = (*state.bad, (step.end_ns, cost))[-ALLOWED:] if bad else state.bad
    outcomes = (*state.outcomes, step.failed)[-SHARE_WINDOW:]
    after = replace(state, bad=recent, outcomes=outcomes, last=step, gap_ns=gap, growing=growing)
    if not bad or growing >= 2 or not _is_storm(after):
        return (after if bad else replace(after, storm_since_ns=None, repeats=0, cost=ZERO, waste=ZERO)), None
    if state.storm_since_ns is None:
        begun = EXACT.create_decimal(sum((one for _, one in recent), ZERO))
        after = replace(after, storm_since_ns=recent[0][0], repeats=len(recent), cost=begun)
    else:
        after = replace(
            after,
            repeats=state.repeats + 1,
            cost=EXACT.add(state.cost, cost),
            waste=EXACT.add(state.waste, cost),
        )
    return after, _finding(after, step)


def _is_again(last: Step | None, step: Step) -> bool:
    return (
        last is not None
        and bool(step.input_tokens)
        # Embeddings of equal chunks, one after the other, are a map over a list and have no output.
        and bool(step.output_tokens)
        and (last.model, last.input_tokens, last.output_tokens) == (step.model, step.input_tokens, step.output_tokens)
        and last.end_ns <= step.start_ns <= last.end_ns + AGAIN_NS
    )


def _is_storm(state: RetryState) -> bool:
    crowded = len(state.bad) == ALLOWED and state.bad[-1][0] - state.bad[0][0] <= WINDOW_NS
    failing = len(state.outcomes) >= LEAST_FOR_SHARE and 2 * sum(state.outcomes) > len(state.outcomes)
    return crowded or failing


def _finding(state: RetryState, step: Step) -> Finding:
    return Finding(
        kind=FindingKind.RETRY_STORM,
        trace_id=step.trace_id,
        agent=step.agent,
        what=(step.model or "a model without a name",),
        repeats=state.repeats,
        threshold=ALLOWED,
        since_ns=state.storm_since_ns or step.start_ns,
        last_ns=step.end_ns,
        cost=state.cost,
        waste=state.waste,
        failed=step.failed,
        suppressors_checked=CHECKED,
    )
