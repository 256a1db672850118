"""The evidence of a loop: its repeats with context and cost, and the money per minute around it. No I/O, no clock."""

from collections.abc import Sequence
from decimal import Decimal

from models.core.desk import Burn, Repeat
from models.core.money import EXACT
from models.core.time import utc_of_ns
from models.costs.steps import NS_PER_MINUTE, Step

SHOWN_HASH = 8
"""Characters of a keyed hash that are shown: enough to see whether two are the same."""
SLICES = 40
NS_PER_SECOND = 1_000_000_000
WIDTHS_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


def repeats_of(
    steps: Sequence[Step], what: Sequence[str], agent: str | None, since_ns: int, last_ns: int
) -> list[Repeat]:
    """The tool steps of a finding in the order in which they ended.

    Shapes   steps of one trace, names that repeat, bounds of the finding → one row per step.
    Units    context in tokens of the last model call of the agent before the step; cost in USD of the agent's model
             calls since the row before (the first row: of the call that asked for it).
    Law      a call is counted at one row at most, so rows never cost more than the agent did.
    """
    rows: list[Repeat] = []
    context: int | None = None
    costs: list[Decimal] = []
    for step in sorted(steps, key=lambda one: (one.end_ns, one.start_ns, one.span_id)):
        if step.agent != agent or step.is_agent or step.end_ns > last_ns:
            continue
        if not step.is_tool:
            context = step.input_tokens
            # Calls from before the loop belong to other work; the last of them asked for its first step.
            costs = costs if rows else []
            costs += [step.cost] if step.cost is not None else []
        elif step.end_ns >= since_ns and step.tool in what:
            rows.append(_row(len(rows) + 1, step, context, costs))
            costs = []
    return rows


def _row(number: int, step: Step, context: int | None, costs: Sequence[Decimal]) -> Repeat:
    return Repeat(
        number=number,
        at=utc_of_ns(step.end_ns),
        tool=step.tool,
        arguments=_short(step.arguments_hash),
        result=_short(step.result_hash),
        failed=step.failed,
        context=context,
        cost=sum(costs, Decimal(0)) if costs else None,
    )


def _short(text: str | None) -> str | None:
    return None if text is None else text.rpartition(":")[2][:SHOWN_HASH]


def burn_of(steps: Sequence[Step]) -> list[Burn]:
    """Money per minute of all model calls, in about forty equal slices; a slice without calls burns nothing.

    Units    USD per minute; slices of a round number of seconds from the first call's end on.
    Law      Σ per_minute × seconds ÷ 60 = the cost of all priced calls, to 10⁻¹⁵ per slice.
    """
    priced = [(step.end_ns, step.cost) for step in steps if step.cost is not None and not step.is_tool]
    if not priced:
        return []
    first, last = min(at for at, _ in priced), max(at for at, _ in priced)
    span = max(last - first, 1) / NS_PER_SECOND
    width = next((size for size in WIDTHS_SECONDS if size * SLICES >= span), span / SLICES)
    width_ns = round(width * NS_PER_SECOND)
    sums = [Decimal(0)] * ((last - first) // width_ns + 1)
    for at, cost in priced:
        sums[(at - first) // width_ns] += cost
    return [
        Burn(
            start=utc_of_ns(first + number * width_ns),
            seconds=width,
            per_minute=EXACT.divide(EXACT.multiply(cost, Decimal(NS_PER_MINUTE)), Decimal(width_ns)),
        )
        for number, cost in enumerate(sums)
    ]
