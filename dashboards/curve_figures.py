"""Charts of the spend curves as functions of values: the Jevons picture, the waterfall, price per task, forecast."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import plotly.graph_objects as go

from dashboards import format as fmt
from dashboards.control_figures import _faint as faint
from dashboards.figures import axis_money, money_ticks, round_step
from dashboards.theme import SERIES, TEMPLATES, TOKENS, Scheme
from models.costs.index import IndexPoint
from models.costs.outlook import Outlook

NAMES = {
    "activity": "Activity",
    "mix": "Agent &<br>model mix",
    "calls_per_task": "Calls<br>per task",
    "context_size": "Context<br>size",
    "bucket_mix": "Cache &<br>reasoning",
    "unit_price": "Unit<br>price",
}
WEEK = 7
CUT = Decimal("0.03")
"""A fall of the price index in one month from which it is marked."""


def month_label(label: str, with_year: bool) -> str:
    """`2026-10` as `Oct`, with the year below where it is wanted."""
    first = date.fromisoformat(f"{label}-01")
    return f"{first:%b}<br>{first.year}" if with_year else f"{first:%b}"


def _month_ticks(labels: Sequence[str], most: int) -> tuple[list[str], list[str]]:
    step = max(1, -(-len(labels) // most))
    chosen = labels[::step]
    words = [month_label(one, at == 0 or one[:4] != chosen[at - 1][:4]) for at, one in enumerate(chosen)]
    return list(chosen), words


def _room(labels: Sequence[str]) -> list[float]:
    """The range of a category axis: names at the ends of lines stand in the margin and take nothing of it."""
    return [-0.4, len(labels) - 0.6]


def told_chain(points: Sequence[IndexPoint]) -> list[IndexPoint]:
    """The chain that the picture names: the last one with two months, else the last."""
    chains: dict[int, list[IndexPoint]] = {}
    for point in points:
        chains.setdefault(point.chain, []).append(point)
    found = list(chains.values())
    return next((each for each in reversed(found) if len(each) > 1), found[-1] if found else [])


def jevons_picture(points: Sequence[IndexPoint], log: bool, scheme: Scheme) -> go.Figure:
    """Price index, volume index and bill from 100; a new chain starts a new line from 100."""
    token, series = TOKENS[scheme], SERIES[scheme]
    figure = go.Figure()
    lines = (
        ("Volume", "volume_index", series[1], token["up"], 2),
        ("Bill", "bill_index", token["ink"], token["ink"], 2.4),
        ("Price", "price_index", series[0], token["down"], 2),
    )
    labels = [point.label for point in points]
    told = told_chain(points)
    values = [float(getattr(point, name)) for point in points for _, name, _, _, _ in lines]
    low, high = min([*values, 100.0]), max([*values, 100.0])
    ends: list[tuple[float, str, str]] = []
    for title, name, colour, ink, width in lines:
        x: list[str | None] = []
        y: list[float | None] = []
        said: list[str] = []
        for at, point in enumerate(points):
            if at and point.chain != points[at - 1].chain:
                x.append(point.label)
                y.append(None)
                said.append("")
            x.append(point.label)
            y.append(float(getattr(point, name)))
            figure_of = f"{getattr(point, name):.2f}"
            said.append(f"{figure_of} = {fmt.money(point.bill)}" if name == "bill_index" else figure_of)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": colour, "width": width},
            marker={"size": 4, "color": colour},
            customdata=said,
            hovertemplate=f"{title} %{{customdata}}<extra></extra>",
        )
        if told:
            end = float(getattr(told[-1], name))
            ends.append((end, f"<b>{title} {end:.0f}</b>", ink))
    if told:
        _end_labels(figure, told[-1].label, ends, low, high, log)
        _cuts(figure, points, token)
    ticks = _index_ticks(low, high, log)
    chosen, words = _month_ticks(labels, 6)
    figure.add_hline(y=100, line={"color": token["line-2"], "width": 1, "dash": "dot"})
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 40, "r": 84, "t": 22, "b": 38},
        xaxis={
            "type": "category", "categoryorder": "array", "categoryarray": labels, "tickvals": chosen,
            "ticktext": words, "range": _room(labels),
        },
        yaxis={"type": "log" if log else "linear", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]},
    )  # fmt: skip
    if not log:
        figure.update_yaxes(range=[0, high * 1.06])
    return figure


def _end_labels(
    figure: go.Figure, at: str, ends: Sequence[tuple[float, str, str]], low: float, high: float, log: bool
) -> None:
    """Names at the ends of the lines, moved apart where they would lie on each other."""
    from math import log10

    def height(value: float) -> float:
        if log:
            return (log10(value) - log10(low)) / ((log10(high) - log10(low)) or 1)
        return value / high

    room = 0.075
    placed = sorted(ends, key=lambda end: -height(end[0]))
    heights = [height(end[0]) for end in placed]
    for number in range(1, len(heights)):
        heights[number] = min(heights[number], heights[number - 1] - room)
    for (value, text, ink), wanted in zip(placed, heights, strict=True):
        figure.add_annotation(
            x=at, y=log10(value) if log else value, yshift=(wanted - height(value)) * 220, text=text, xanchor="left",
            xshift=8, showarrow=False, font={"size": 12, "color": ink},
        )  # fmt: skip


def _cuts(figure: go.Figure, points: Sequence[IndexPoint], token: Mapping[str, str]) -> None:
    """Lines at the two largest falls of the price index."""
    falls = [
        (after.price_index / before.price_index - 1, after.label)
        for before, after in pairwise(points)
        if before.chain == after.chain and before.price_index
    ]
    for fall, label in sorted(falls)[:2]:
        if fall <= -CUT:
            figure.add_vline(x=label, line={"color": token["line-2"], "width": 1}, layer="below")
            figure.add_annotation(
                x=label, y=1, yref="paper", yanchor="bottom", xanchor="right", xshift=2,
                text=f"price {fmt.percent(fall, 0)}", showarrow=False, font={"size": 11.5, "color": token["ink-3"]},
            )  # fmt: skip


def _index_ticks(low: float, high: float, log: bool) -> list[float]:
    if log:
        found = [float(size * 10**power) for power in range(-1, 6) for size in (1, 2, 5)]
        inside = [tick for tick in found if low * 0.8 <= tick <= high * 1.25]
        return inside if len(inside) <= 5 else inside[:: -(-len(inside) // 5)]
    step = float(round_step(Decimal(high)))
    return [step * number for number in range(int(high / step) + 1)]


def waterfall(
    shown: Mapping[str, Decimal], base: tuple[str, Decimal], current: tuple[str, Decimal], scheme: Scheme, digits: int
) -> go.Figure:
    """The change of the bill: zero is the old bill, the last bar the difference, both bills written at the base."""
    token, series = TOKENS[scheme], SERIES[scheme]
    change = sum(shown.values(), Decimal(0))
    keys = [*shown, "change"]
    amounts = [*shown.values(), change]
    figure = go.Figure(
        go.Waterfall(
            x=keys,
            y=[float(amount) for amount in amounts],
            measure=[*("relative" for _ in shown), "total"],
            text=[signed(amount, 0 if abs(change) >= 1000 else digits) for amount in amounts],
            textposition="outside",
            textfont={"color": token["ink"], "size": 12},
            cliponaxis=False,
            constraintext="none",
            customdata=[[key, signed(amount, digits)] for key, amount in zip(keys, amounts, strict=True)],
            hovertemplate="%{customdata[1]}<extra></extra>",
            increasing={"marker": {"color": series[1]}},
            decreasing={"marker": {"color": series[0]}},
            totals={"marker": {"color": token["ink-3"]}},
            connector={"line": {"color": token["ink-3"], "width": 1}},
            width=0.72,
        )
    )
    levels = [Decimal(0)]
    for amount in shown.values():
        levels.append(levels[-1] + amount)
    low, high = min(levels), max(levels)
    span = (high - low) or Decimal(1)
    step = round_step(span)
    ticks = [step * number for number in range(int(low / step) - (low < 0), int(high / step) + 2)]
    ticks = [tick for tick in ticks if low - step / 2 <= tick <= high + step]
    figure.add_hline(y=0, line={"color": token["ink-3"], "width": 1})
    floor = float(low - span * Decimal("0.09"))
    for anchor, (name, bill) in (("left", base), ("right", current)):
        figure.add_annotation(
            x=0 if anchor == "left" else 1, xref="paper", y=floor, yanchor="top", xanchor=anchor,
            text=f"{name} <b>{fmt.money(bill, digits)}</b>", showarrow=False,
            font={"size": 11.5, "color": token["ink-2"]},
        )  # fmt: skip
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 58, "r": 8, "t": 20, "b": 42},
        hovermode="closest",
        xaxis={"tickvals": keys, "ticktext": [*(NAMES[key] for key in shown), "<b>Change</b>"], "showline": False},
        yaxis={
            "tickvals": [float(tick) for tick in ticks],
            "ticktext": [
                "0" if not tick else ("+" if tick > 0 else fmt.MINUS) + axis_money(abs(tick)) for tick in ticks
            ],
            "range": [float(low - span * Decimal("0.22")), float(high + span * Decimal("0.1"))],
        },
    )
    return figure


def signed(amount: Decimal, digits: int) -> str:
    """`+$3,206.00`, `−$1,045.00`, `$0.00`: all of a column, so that it adds up in the eye."""
    sign = "+" if amount > 0 else fmt.MINUS if amount < 0 else ""
    return f"{sign}${abs(amount):,.{digits}f}"


def price_per_task(points: Sequence[IndexPoint], scheme: Scheme) -> go.Figure:
    """What one task cost by month; months without a task are gaps."""
    token, teal = TOKENS[scheme], SERIES[scheme][2]
    labels = [point.label for point in points]
    prices = [point.price_per_task for point in points]
    most = max((price for price in prices if price is not None), default=Decimal(0))
    figure = go.Figure(
        go.Scatter(
            x=labels,
            y=[None if price is None else float(price) for price in prices],
            mode="lines+markers",
            line={"color": teal, "width": 2},
            marker={"size": 4},
            customdata=[fmt.money(price, 4) for price in prices],
            hovertemplate="%{customdata} a task<extra></extra>",
        )
    )
    last = next((at for at in reversed(range(len(prices))) if prices[at] is not None), None)
    if last is not None:
        figure.add_annotation(
            x=labels[last], y=float(prices[last] or 0), text=f"<b>{fmt.money_short(prices[last])}</b>", xanchor="left",
            xshift=7, showarrow=False, font={"size": 12, "color": token["ink"]},
        )  # fmt: skip
    ticks, words = money_ticks(most)
    chosen, names = _month_ticks(labels, 5)
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 46, "r": 56, "t": 8, "b": 38},
        xaxis={
            "type": "category", "categoryorder": "array", "categoryarray": labels, "tickvals": chosen,
            "ticktext": names, "range": _room(labels),
        },
        yaxis={"tickvals": ticks, "ticktext": words, "range": [0, float(most) * 1.12 or 1]},
    )  # fmt: skip
    return figure


def forecast(found: Outlook, scheme: Scheme) -> go.Figure:
    """Mean spend a day, week by week back from yesterday and on from today, with the bands of single days."""
    token, blue = TOKENS[scheme], SERIES[scheme][0]
    costs = found.spend[-26 * WEEK :]
    costs = costs[len(costs) % WEEK :]
    past = [
        (found.today - timedelta(days=len(costs) - at - 3), sum(costs[at : at + WEEK], Decimal(0)) / WEEK)
        for at in range(0, len(costs), WEEK)
    ]
    weeks = [found.quarter.days[at : at + WEEK] for at in range(0, len(found.quarter.days) - WEEK + 1, WEEK)]
    days = [week[3][0].isoformat() for week in weeks]

    def mean(name: str) -> list[float]:
        return [sum(getattr(band, name) for _, band in week) / WEEK for week in weeks]

    figure = go.Figure()
    for low, high, share in (("low_95", "high_95", 0.10), ("low_80", "high_80", 0.20)):
        figure.add_scatter(
            x=[*days, *reversed(days)],
            y=[*mean(high), *reversed(mean(low))],
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor=faint(blue, share),
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=[day.isoformat() for day, _ in past],
        y=[float(cost) for _, cost in past],
        mode="lines",
        line={"color": token["ink"], "width": 1.8},
        customdata=[fmt.money(cost) for _, cost in past],
        hovertemplate="%{customdata} a day<extra></extra>",
    )
    middles, lows, highs = mean("middle"), mean("low_80"), mean("high_80")
    figure.add_scatter(
        x=days,
        y=middles,
        mode="lines",
        line={"color": blue, "width": 2, "dash": "2px,3px"},
        customdata=[
            f"{_dollars(middle)} a day, single days 80 % {_dollars(low)} to {_dollars(high)}"
            for middle, low, high in zip(middles, lows, highs, strict=True)
        ],
        hovertemplate="expected %{customdata}<extra></extra>",
    )
    tallest = max([*(float(cost) for _, cost in past), *highs])
    ticks, words = money_ticks(Decimal(str(round(tallest, 6))))
    months = _first_days(past[0][0] if past else found.today, found.quarter.days[-1][0])
    step = max(1, -(-len(months) // 5))
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 46, "r": 8, "t": 8, "b": 24},
        xaxis={
            "type": "date",
            "tickvals": [day.isoformat() for day in months[::step]],
            "ticktext": [f"{day:%b}" for day in months[::step]],
        },
        yaxis={"tickvals": ticks, "ticktext": words, "range": [0, tallest * 1.05]},
    )
    return figure


def _dollars(amount: float) -> str:
    return fmt.money_short(Decimal(str(round(amount, 6))))


def _first_days(first: date, last: date) -> list[date]:
    found: list[date] = []
    day = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    while day <= last:
        found.append(day)
        day = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return found
