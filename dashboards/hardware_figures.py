"""Charts of own hardware as functions of values: chip-hours by use, and scenarios as bars with their band."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import plotly.graph_objects as go

from dashboards import format as fmt
from dashboards.figures import money_ticks
from dashboards.theme import SERIES, TEMPLATES, TOKENS, Scheme, tint
from models.core.fleet import HourUse, Replay

VIOLET = 3


def phase_colours(scheme: Scheme) -> Mapping[str, str]:
    """Prefill and decode are tints of one colour; idle is the ground."""
    violet = SERIES[scheme][VIOLET]
    return {"prefill": violet, "decode": tint(violet, 0.45, scheme), "idle": TOKENS[scheme]["surface-2"]}


def utilisation(hours: Sequence[HourUse], scheme: Scheme) -> go.Figure:
    """Share of the chip-hours of each hour that prefill and decode occupied; what is left is idle."""
    colours = phase_colours(scheme)
    figure = go.Figure()
    known = [hour for hour in hours if hour.chip_seconds]
    x: list[datetime] = [hour.hour for hour in known]
    shares: dict[str, list[float]] = {"prefill": [], "decode": [], "idle": []}
    for hour in known:
        provisioned = hour.chip_seconds or 1.0
        # Where the model claims more than there was, the claim is scaled to what there was, as the bill is.
        scale = max(1.0, (hour.prefill_chip_seconds + hour.decode_chip_seconds) / provisioned)
        shares["prefill"].append(hour.prefill_chip_seconds / provisioned / scale)
        shares["decode"].append(hour.decode_chip_seconds / provisioned / scale)
        shares["idle"].append(max(0.0, 1 - shares["prefill"][-1] - shares["decode"][-1]))
    for name, values in shares.items():
        figure.add_bar(
            x=x,
            y=values,
            name=name,
            marker={"color": colours[name], "line": {"width": 0}},
            hovertemplate=f"{name} %{{y:.1%}}<extra></extra>",
        )
    figure.update_layout(
        template=TEMPLATES[scheme],
        barmode="stack",
        bargap=0.06 if len(known) < 200 else 0,
        margin={"l": 44, "r": 8, "t": 8, "b": 26},
        xaxis={"type": "date", "tickformat": "%H:%M<br>%-d %b" if len(known) < 48 else "%-d %b", "nticks": 7},
        yaxis={"range": [0, 1.02], "tickvals": [0, 0.5, 1], "ticktext": ["0", "50 %", "100 %"]},
    )
    if len(known) == 1:
        # One hour on an axis of time would be drawn as wide as a millisecond or a century.
        figure.update_xaxes(type="category", tickvals=[x[0]], ticktext=[fmt.day_and_time(x[0])])
    return figure


def scenarios(replays: Sequence[Replay], idle: Decimal, scheme: Scheme) -> go.Figure:
    """Cost of each scenario, the present on top with its idle time beside it; whiskers are the error band."""
    colours, token = phase_colours(scheme), TOKENS[scheme]
    figure = go.Figure()
    shown = [each for each in replays if each.cost is not None][::-1]
    parts: dict[str, list[float]] = {"prefill": [], "decode": [], "whole": [], "idle": []}
    for each in shown:
        lines = {name.split(" ")[0]: cost for name, cost in each.lines}
        whole = each.cost if not lines else Decimal(0)
        parts["prefill"].append(float(lines.get("prefill", 0)))
        parts["decode"].append(float(lines.get("decode", 0)))
        parts["whole"].append(float(whole or 0))
        parts["idle"].append(float(idle) if each.key == "same" else 0.0)
    names = [each.name for each in shown]
    fills = {**colours, "whole": tint(SERIES[scheme][0], 0.25, scheme)}
    for part, values in parts.items():
        figure.add_bar(
            y=names,
            x=values,
            orientation="h",
            name=part,
            marker={"color": fills[part], "line": {"color": token["line-2"], "width": 1 if part == "idle" else 0}},
            hoverinfo="skip",
        )
    figure.add_scatter(
        y=names,
        x=[float(each.cost or 0) for each in shown],
        mode="markers",
        marker={"size": 0.1, "color": token["ink"]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [float((each.high or each.cost or 0) - (each.cost or 0)) for each in shown],
            "arrayminus": [float((each.cost or 0) - (each.low or each.cost or 0)) for each in shown],
            "color": token["ink"],
            "thickness": 1.3,
            "width": 4,
        },
        customdata=[fmt.money_exact(each.cost) for each in shown],
        hovertemplate="%{y}: %{customdata}<extra></extra>",
    )
    most = max(
        (max(each.high or each.cost or Decimal(0), each.cost or Decimal(0)) for each in shown), default=Decimal(0)
    )
    present = next((each.cost for each in shown if each.key == "same"), None)
    most = max(most, (present or Decimal(0)) + idle)
    if present is not None:
        figure.add_vline(x=float(present), line={"color": token["ink-2"], "width": 1, "dash": "3px,3px"})
    ticks, labels = (each[::2] for each in money_ticks(most))
    for name in names:
        # Above its bar: beside it, long names would leave a phone no room for the bars.
        figure.add_annotation(
            x=0,
            y=name,
            text=name,
            showarrow=False,
            xanchor="left",
            yshift=19,
            # It covers the line of the present cost, which would strike it through.
            bgcolor=token["surface"],
            font={"size": 11.5, "color": token["ink-2"]},
        )
    figure.update_layout(
        template=TEMPLATES[scheme],
        barmode="stack",
        bargap=0.62,
        hovermode="closest",
        margin={"l": 8, "r": 14, "t": 14, "b": 26},
        xaxis={"tickvals": ticks, "ticktext": labels, "showgrid": True, "gridcolor": token["line"], "showline": False},
        yaxis={"showgrid": False, "type": "category", "showticklabels": False},
    )
    return figure
