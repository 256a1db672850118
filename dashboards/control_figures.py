"""Charts of guardrails as functions of values: burn-down of a budget, money per minute around a loop."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import plotly.graph_objects as go

from dashboards import format as fmt
from dashboards.figures import day_ticks, money_ticks
from dashboards.theme import SERIES, TEMPLATES, TOKENS, Scheme
from models.core.desk import Burn, Burndown


def _faint(colour: str, share: float) -> str:
    return f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},{share})"


def burn_down(found: Burndown, amount: Decimal, scheme: Scheme) -> go.Figure:
    """Spend so far as a line, the expected rest dashed with its 80 % interval, the budget and an even pace."""
    token, blue = TOKENS[scheme], SERIES[scheme][0]
    figure = go.Figure()
    span = [found.first + timedelta(days=number) for number in range((found.last - found.first).days + 1)]
    start = (found.first - timedelta(days=1)).isoformat()
    figure.add_scatter(
        x=[start, found.last.isoformat()],
        y=[0, float(amount)],
        mode="lines",
        line={"color": token["line-2"], "width": 1},
        hoverinfo="skip",
    )
    now = found.days[-1] if found.days else (found.first, Decimal(0))
    if found.end is not None:
        edge = found.last.isoformat()
        figure.add_scatter(
            x=[now[0].isoformat(), edge, edge],
            y=[float(now[1]), float(found.end.high), float(found.end.low)],
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor=_faint(blue, 0.16),
            hoverinfo="skip",
        )
        points = [now, *(point for point in found.ahead if point[0] > now[0])]
        figure.add_scatter(
            x=[day.isoformat() for day, _ in points],
            y=[float(total) for _, total in points],
            mode="lines",
            line={"color": blue, "width": 2, "dash": "2px,3px"},
            customdata=[fmt.money(total) for _, total in points],
            hovertemplate="expected %{customdata}<extra></extra>",
        )
    figure.add_scatter(
        x=[start, *(day.isoformat() for day, _ in found.days)],
        y=[0.0, *(float(total) for _, total in found.days)],
        mode="lines",
        line={"color": token["ink"], "width": 2},
        customdata=["$0.00", *(fmt.money_exact(total) for _, total in found.days)],
        hovertemplate="spent %{customdata}<extra></extra>",
    )
    figure.add_hline(y=float(amount), line={"color": token["ink-2"], "width": 1, "dash": "dash"})
    tops: list[Decimal] = [amount, now[1]] + ([found.end.high] if found.end is not None else [])
    most = max(tops)
    figure.add_annotation(
        x=1, xref="paper", xanchor="left", xshift=6, y=float(amount), text="budget", showarrow=False,
        font={"size": 11.5, "color": token["ink-2"]},
    )  # fmt: skip
    if found.end is not None:
        apart = abs(found.end.middle - amount) > most / 12
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=6, y=float(found.end.middle),
            yshift=0 if apart else 14 if found.end.middle >= amount else -14,
            text=f"<b>{fmt.money_short(found.end.middle)}</b>", showarrow=False,
            font={"size": 12, "color": token["ink"]},
        )  # fmt: skip
    ticks, labels = money_ticks(most)
    names, words = day_ticks(span, 6)
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 50, "r": 58, "t": 10, "b": 24},
        xaxis={"type": "date", "tickvals": names, "ticktext": words, "range": [start, found.last.isoformat()]},
        yaxis={"tickvals": ticks, "ticktext": labels, "range": [0, float(most) * 1.06]},
    )
    return figure


def burn_rate(slices: Sequence[Burn], began: datetime | None, usual: Decimal | None, scheme: Scheme) -> go.Figure:
    """Money per minute as a stair; a line where the loop starts, dashes for what is usual."""
    token, blue = TOKENS[scheme], SERIES[scheme][0]
    x: list[datetime] = []
    y: list[float] = []
    words: list[str] = []
    for one in slices:
        x += [one.start, one.start + timedelta(seconds=one.seconds)]
        y += [float(one.per_minute)] * 2
        words += [fmt.money(one.per_minute, 4)] * 2
    figure = go.Figure()
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": token["ink"], "width": 1.8},
        fill="tozeroy",
        fillcolor=_faint(blue, 0.10),
        customdata=words,
        hovertemplate="%{customdata} a minute<extra></extra>",
    )
    most = max((one.per_minute for one in slices), default=Decimal(0))
    if usual is not None:
        figure.add_hline(y=float(usual), line={"color": token["ink-3"], "width": 1, "dash": "dot"})
    if began is not None and x:
        at = max(began, x[0])
        figure.add_vline(x=at, line={"color": token["critical"], "width": 1})
        late = (at - x[0]) > (x[-1] - x[0]) / 2
        figure.add_annotation(
            x=at, y=1, yref="paper", yanchor="bottom", xanchor="right" if late else "left", text="loop starts",
            showarrow=False, font={"size": 11.5, "color": token["critical"]},
        )  # fmt: skip
    ticks, labels = money_ticks(most)
    chosen, names = _time_ticks(x[0], x[-1]) if x else ([], [])
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 50, "r": 10, "t": 22, "b": 24},
        xaxis={"type": "date", "tickvals": chosen, "ticktext": names},
        yaxis={"tickvals": ticks, "ticktext": labels, "range": [0, float(most) * 1.08 or 1]},
    )
    return figure


def _time_ticks(first: datetime, last: datetime) -> tuple[list[datetime], list[str]]:
    """Four times of an axis, with seconds where it is shorter than ten minutes."""
    chosen = [first + (last - first) * (0.04 + 0.3 * number) for number in range(4)]
    if last - first < timedelta(seconds=10):
        return chosen, [f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}" for moment in chosen]
    shape = "%H:%M:%S" if last - first < timedelta(minutes=10) else "%H:%M"
    return chosen, [f"{moment:{shape}}" for moment in chosen]


def label_of_day(day: date) -> str:
    """`28 Nov`."""
    return f"{day.day} {day:%b}"
