"""Cost per task as a picture: bars of a log histogram, with named quantiles as lines."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import plotly.graph_objects as go

from dashboards import format as fmt
from dashboards.figures import axis_count, axis_money, round_step
from dashboards.theme import SERIES, TEMPLATES, TOKENS, Scheme
from models.core.task_spread import PER_DECADE, Bin


def histogram(found: Sequence[Bin], marks: Mapping[str, Decimal], scheme: Scheme) -> go.Figure:
    """Tasks per cost on a log axis, with named quantiles as lines."""
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
    for at, (name, cost) in enumerate(marks.items()):
        if cost <= 0:
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
