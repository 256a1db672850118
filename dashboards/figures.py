"""Charts as functions of values: spend by day, inclusive cost as an icicle, context size per call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise

import plotly.graph_objects as go

from dashboards import format as fmt
from dashboards.theme import GREY, SERIES, TEMPLATES, TOKENS, Scheme, ink_on, tint


@dataclass(slots=True, frozen=True)
class Series:
    """A part of a stack: its name, colour and cost per day or month, and where a click on it leads."""

    name: str
    colour: str
    days: Mapping[date, Decimal]
    key: str = ""


def round_step(most: Decimal) -> Decimal:
    """A round step that covers a positive number in at most five."""
    power = Decimal(10) ** (most.adjusted() - 1)
    return next(size * power for size in _ROUND if size * power * 5 >= most)


_ROUND = tuple(Decimal(size) for size in ("2", "2.5", "5", "10", "20"))


def money_ticks(most: Decimal) -> tuple[list[float], list[str]]:
    """At most five round ticks above zero, none beyond the largest value, and their labels."""
    if most <= 0:
        return [0.0], ["$0"]
    step = round_step(most)
    ticks = [step * at for at in range(int(most / step) + 1)]
    return [float(tick) for tick in ticks], [axis_money(tick) for tick in ticks]


def axis_count(amount: Decimal | int) -> str:
    """A round number without idle digits: `2k`, `2.5k`, `400`, `0.05`, `0`."""
    text = fmt.significant(Decimal(amount))
    number, suffix = (text[:-1], text[-1]) if text[-1].isalpha() else (text, "")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}{suffix}"


def axis_money(amount: Decimal) -> str:
    """A round amount: `$2k`, `$0.05`, `$0`."""
    return f"${axis_count(amount)}"


def day_ticks(days: Sequence[date], most: int = 7) -> tuple[list[str], list[str]]:
    """A few days of an axis with short names; the month stands at the first tick and wherever it changes."""
    step = max(1, -(-len(days) // most))
    chosen = [day for at, day in enumerate(days) if at % step == 0]
    labels: list[str] = []
    for at, day in enumerate(chosen):
        new_month = at == 0 or day.month != chosen[at - 1].month
        labels.append(f"{day.day} {day:%b}" if new_month else str(day.day))
    return [day.isoformat() for day in chosen], labels


@dataclass(slots=True, frozen=True)
class Running:
    """The step that still runs, and what a whole one would come to; unknown where there is no rate to go by."""

    step: date
    whole: Decimal | None = None


def month_ticks(months: Sequence[date], most: int = 13) -> tuple[list[str], list[str]]:
    """Months of an axis with short names; the year stands at the first tick and wherever it changes."""
    step = max(1, -(-len(months) // most))
    chosen = months[::step]
    labels = [
        f"{month:%b}<br>{month.year}" if at == 0 or month.year != chosen[at - 1].year else f"{month:%b}"
        for at, month in enumerate(chosen)
    ]
    return [month.isoformat() for month in chosen], labels


def spend_over_time(
    steps: Sequence[date], stack: Sequence[Series], running: Running | None, scheme: Scheme, by_month: bool = False
) -> go.Figure:
    """Stacked cost per day or month, the largest at the bottom; what is left of the running one is outlined."""
    figure = go.Figure()
    token = TOKENS[scheme]
    x = [step.isoformat() for step in steps]
    totals = [sum((series.days.get(step, Decimal(0)) for series in stack), Decimal(0)) for step in steps]
    for series in stack:
        costs = [series.days.get(step) for step in steps]
        figure.add_bar(
            x=x,
            y=[None if cost is None else float(cost) for cost in costs],
            name=series.name,
            marker={"color": series.colour, "line": {"color": token["surface"], "width": 0.8}},
            customdata=[
                [series.key, step.isoformat(), fmt.money_exact(cost)] for step, cost in zip(steps, costs, strict=True)
            ],
            hovertemplate=f"{_escape(series.name)} %{{customdata[2]}}<extra></extra>",
        )
    most = max(totals, default=Decimal(0))
    if running is not None and running.step in steps and running.whole is not None:
        at = steps.index(running.step)
        left = running.whole - totals[at]
        if left > 0:
            most = max(most, running.whole)
            figure.add_bar(
                x=[x[at]],
                y=[float(left)],
                marker={"color": "rgba(0,0,0,0)", "line": {"color": token["ink-3"], "width": 1}},
                customdata=[["", x[at], fmt.money_short(running.whole)]],
                hovertemplate="the whole day at the rate of the last days %{customdata[2]}<extra></extra>",
            )
    ticks, labels = money_ticks(most)
    names, words = month_ticks(steps) if by_month else day_ticks(steps)
    if running is not None and running.step in steps:
        now = running.step.isoformat()
        word = "so far" if by_month else "today"
        if now in names:
            words[names.index(now)] += f"<br>{word}"
        else:
            names, words = [*names, now], [*words, f"<br>{word}"]
    figure.update_layout(
        template=TEMPLATES[scheme],
        barmode="stack",
        bargap=0.22,
        margin={"l": 50, "r": 8, "t": 8, "b": 38},
        xaxis={"type": "category", "categoryorder": "array", "categoryarray": x, "tickvals": names, "ticktext": words},
        yaxis={"tickvals": ticks, "ticktext": labels, "rangemode": "tozero"},
    )
    return figure


@dataclass(slots=True, frozen=True)
class Cell:
    """A node of an icicle: what it costs with all below it."""

    id: str
    parent: str
    name: str
    inclusive: Decimal
    place: int | None
    depth: int


def icicle(cells: Sequence[Cell], digits: int, scheme: Scheme) -> go.Figure:
    """Inclusive cost from the whole down; the uncovered part under a node is its own calls."""
    token, series = TOKENS[scheme], SERIES[scheme]

    def colour(cell: Cell) -> str:
        if not cell.parent:
            return token["surface-2"]
        own = series[GREY if cell.place is None else cell.place]
        return tint(own, (0.0, 0.35, 0.6)[min(cell.depth - 1, 2)], scheme)

    colours = [colour(cell) for cell in cells]
    inks = [ink_on(tone) if cell.parent else token["ink"] for cell, tone in zip(cells, colours, strict=True)]
    figure = go.Figure(
        go.Icicle(
            ids=[cell.id for cell in cells],
            parents=[cell.parent for cell in cells],
            labels=[f"<b>{_escape(cell.name)}</b>" for cell in cells],
            values=[float(cell.inclusive) for cell in cells],
            text=[fmt.money(cell.inclusive, digits) for cell in cells],
            customdata=[fmt.money_exact(cell.inclusive) for cell in cells],
            branchvalues="total",
            tiling={"orientation": "v", "pad": 1},
            pathbar={"visible": False},
            leaf={"opacity": 1},
            marker={"colors": colours, "line": {"color": token["surface"], "width": 1}},
            textfont={"color": inks},
            textinfo="label+text",
            textposition="top left",
            hovertemplate="%{label}<br>%{customdata}<extra></extra>",
            sort=False,
        )
    )
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        uniformtext={"minsize": 11, "mode": "hide"},
        hovermode="closest",
    )
    return figure


MOST_LABELS = 3
"""Compactions that are named in the chart; the others are lines only."""


@dataclass(slots=True, frozen=True)
class ContextStep:
    """One call on the time axis: when it ran and the input it was sent, by kind."""

    start: datetime
    end: datetime
    cache_read: int
    cache_write: int
    uncached: int

    @property
    def total(self) -> int:
        """Everything that entered the model."""
        return self.cache_read + self.cache_write + self.uncached


def compactions(steps: Sequence[ContextStep]) -> list[tuple[ContextStep, ContextStep]]:
    """Neighbouring calls between which the context lost more than half, from at least 10,000 tokens."""
    return [
        (before, after)
        for before, after in pairwise(steps)
        if before.total >= 10_000 and after.total * 2 < before.total
    ]


def context_size(steps: Sequence[ContextStep], start: datetime, scheme: Scheme) -> go.Figure:
    """Input tokens of each call as a stair over the time of the trace, cached parts at the bottom."""
    series, token = SERIES[scheme], TOKENS[scheme]

    def seconds(moment: datetime) -> float:
        return (moment - start).total_seconds()

    x: list[float] = []
    for at, step in enumerate(steps):
        x += [seconds(step.start), seconds(steps[at + 1].start) if at + 1 < len(steps) else seconds(step.end)]
    figure = go.Figure()
    for name, colour, part in (
        ("cache read", series[4], "cache_read"),
        ("cache write", series[0], "cache_write"),
        ("uncached input", series[1], "uncached"),
    ):
        y = [getattr(step, part) for step in steps for _ in range(2)]
        figure.add_scatter(
            x=x,
            y=y,
            name=name,
            stackgroup="context",
            mode="lines",
            line={"width": 0, "shape": "linear", "color": colour},
            fillcolor=colour,
            hovertemplate=f"{name} %{{y:,}}<extra></extra>",
        )
    most = max((step.total for step in steps), default=0)
    last = max(x, default=1.0) or 1.0
    for number, (before, after) in enumerate(compactions(steps)):
        at = seconds(after.start)
        figure.add_vline(x=at, line={"color": token["ink-2"], "width": 1, "dash": "dash"})
        if number >= MOST_LABELS:
            continue
        figure.add_annotation(
            x=at,
            y=most * 1.12,
            text=f"compaction {fmt.tokens(before.total)} → {fmt.tokens(after.total)}",
            showarrow=False,
            xanchor="left" if at < last * 0.7 else "right",
            font={"size": 11.5, "color": token["ink-2"]},
        )
    step = next((size for size in _ROUND_SECONDS if size * 6 >= last), last)
    ticks = [step * at for at in range(int(last / step) + 1)]
    size = int(round_step(Decimal(most))) or 1
    levels = list(range(0, most + 1, size))
    figure.update_layout(
        template=TEMPLATES[scheme],
        margin={"l": 42, "r": 8, "t": 6, "b": 24},
        xaxis={"tickvals": ticks, "ticktext": [_seconds(tick) for tick in ticks], "range": [0, last]},
        yaxis={
            "tickvals": levels,
            "ticktext": [axis_count(level) for level in levels],
            "range": [0, most * 1.2 or 1],
        },
    )
    return figure


_ROUND_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 86400)


def _seconds(value: float) -> str:
    if value == 0:
        return "0"
    if value < 60:
        return f"{value:g} s"
    return f"{value / 60:g} min" if value < 3600 else f"{value / 3600:.2g} h"


def _escape(text: str) -> str:
    # Plotly reads names as a subset of HTML.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
