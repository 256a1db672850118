"""Cost per task as a distribution: quantiles, bins of a log histogram, and how much the costliest make up."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

import plotly.graph_objects as go

from dashboards import format as fmt
from dashboards.figures import axis_count, axis_money, round_step
from dashboards.theme import SERIES, TEMPLATES, TOKENS, Scheme

PER_DECADE = 5
"""Bins of a factor of ten."""


@dataclass(slots=True, frozen=True)
class Bin:
    """Tasks that cost at least `low` and less than `high`."""

    low: Decimal
    high: Decimal
    tasks: int


def quantile(costs: Sequence[Decimal], share: Decimal) -> Decimal | None:
    """The nearest-rank quantile of sorted costs: a cost that a task really had; None of none.

    Source   Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996, definition 1.
    """
    if not costs:
        return None
    rank = int((share * len(costs)).to_integral_value(ROUND_CEILING))
    return costs[max(rank, 1) - 1]


def share_of_costliest(costs: Sequence[Decimal], share: Decimal) -> Decimal | None:
    """How much of the whole the costliest share of sorted costs makes up, at least one task."""
    whole = sum(costs, Decimal(0))
    if not costs or not whole:
        return None
    most = max(int(len(costs) * share), 1)
    return sum(costs[-most:], Decimal(0)) / whole


def edges(lowest: Decimal, highest: Decimal) -> list[Decimal]:
    """Bounds of log bins that cover both, from a whole fifth of a decade below to one above."""
    step = Decimal(1) / PER_DECADE
    first = (lowest.log10() / step).to_integral_value("ROUND_FLOOR")
    last = (highest.log10() / step).to_integral_value("ROUND_FLOOR") + 1
    return [Decimal(10) ** (step * at) for at in range(int(first), int(last) + 1)]


def bins(costs: Sequence[Decimal]) -> list[Bin]:
    """Log bins of the costs above zero.

    Laws   the tasks of all bins are the costs above zero.
    """
    above = [cost for cost in costs if cost > 0]
    if not above:
        return []
    bounds = edges(min(above), max(above))
    counts = [0] * (len(bounds) - 1)
    at = 0
    for cost in sorted(above):
        while at < len(counts) - 1 and cost >= bounds[at + 1]:
            at += 1
        counts[at] += 1
    return [Bin(low, high, tasks) for low, high, tasks in zip(bounds[:-1], bounds[1:], counts, strict=True)]


def histogram(costs: Sequence[Decimal], marks: Sequence[tuple[str, Decimal | None]], scheme: Scheme) -> go.Figure:
    """Tasks per cost on a log axis, with named quantiles as lines."""
    found = bins(costs)
    token = TOKENS[scheme]
    # Positions are logarithms: bars of a log axis would not be equally wide.
    centres = [float((each.low.log10() + each.high.log10()) / 2) for each in found]
    figure = go.Figure(
        go.Bar(
            x=centres,
            y=[each.tasks for each in found],
            width=0.94 / PER_DECADE,
            marker={"color": SERIES[scheme][0]},
            customdata=[
                f"{fmt.plural(each.tasks, 'task')} from {fmt.money_short(each.low)} to {fmt.money_short(each.high)}"
                for each in found
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    most = max(each.tasks for each in found)
    for at, (name, cost) in enumerate(marks):
        if cost is None or cost <= 0:
            continue
        x = float(cost.log10())
        figure.add_vline(x=x, line={"color": token["ink-2"], "width": 1, "dash": "dash"})
        figure.add_annotation(
            x=x,
            y=most * (1.24 - 0.1 * at),
            text=f"{name} {fmt.money_short(cost)}",
            showarrow=False,
            xanchor="right",
            xshift=-4,
            # Its name covers the line of another quantile where both are near.
            bgcolor=token["surface"],
            font={"size": 12, "color": token["ink-2"]},
        )
    first, last = int(found[0].low.log10() // 1), int(found[-1].high.log10() // 1) + 1
    decades = list(range(first, last + 1))
    size = max(int(round_step(Decimal(most))), 1)
    levels = list(range(0, most + 1, size))
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 42, "r": 8, "t": 6, "b": 26},
        hovermode="closest",
        xaxis={
            "tickvals": decades,
            "ticktext": [axis_money(Decimal(10) ** decade) for decade in decades],
            "range": [float(found[0].low.log10()) - 0.1, float(found[-1].high.log10()) + 0.1],
        },
        yaxis={"tickvals": levels, "ticktext": [axis_count(level) for level in levels], "range": [0, most * 1.34]},
    )
    return figure
