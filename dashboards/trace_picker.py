"""The costliest traces of a period, to choose one from."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards import format as fmt
from dashboards import grids, parts
from dashboards.downloads import calls_href
from dashboards.reader import current_reader
from dashboards.view import View
from models.core.queries import TRACES_AMONG, TraceTree

PICKER = "trace-picker"
MOST_TRACES = 50
DIGITS = 4
"""Digits after the point of one trace."""


def picker(view: View) -> Component:
    """The costliest traces of the period, to choose from."""
    traces = list(current_reader().recent_traces(view.project.id, view.period.start, view.period.end, MOST_TRACES))
    if not traces:
        return html.Div([parts.page_header("Trace", ["No trace ended here."]), parts.teach(view)])
    # Traces are chosen by project and period alone, whatever the view is filtered by.
    totals = current_reader().costs(replace(view.costs(limit=1), filters=())).totals
    first = traces[0]
    sentence: list[Any] = [
        f"The costliest run of {view.period.label()} cost ",
        parts.strong(fmt.money_short(first.effective_cost), first.effective_cost),
    ]
    share = fmt.share_of(first.effective_cost, totals.effective_cost)
    if share is not None:
        sentence.append(f", {fmt.percent(share)} of all spend")
    sentence.append(". Choose a run to see where its money went.")
    if (totals.calls or 0) > TRACES_AMONG:
        sentence.append(f" Looked for among the newest {TRACES_AMONG:,} of {totals.calls:,} calls.")
    most = max((trace.effective_cost or Decimal(0) for trace in traces), default=Decimal(0))
    rows = [_picker_row(view, trace, most) for trace in traces]
    columns = [
        grids.text_column("name", "Trace", minWidth=104, flex=0.7, cellClass="link mono", tooltipField="id"),
        grids.text_column("agents", "Agents", minWidth=120, flex=1.2, tooltipField="agents"),
        grids.text_column("started", "Started, UTC", minWidth=136, flex=1),
        grids.number_column("took", "Duration", minWidth=100, flex=0.8, sortable=True),
        grids.number_column("calls", "Calls", minWidth=80, flex=0.7, sortable=True),
        grids.number_column("unpriced", "Unpriced", minWidth=90, flex=0.7, sortable=True),
        grids.number_column(
            "cost", "Cost", True, minWidth=150, flex=1.4, sortable=True, cellStyle=grids.bar_style("bar")
        ),
    ]
    return html.Div(
        [
            parts.page_header("Trace", sentence, parts.csv_link(calls_href(view)), parts.copy_link(view.href())),
            html.Section(
                [
                    html.H2("Costliest traces", className="unseen"),
                    html.Div(
                        html.Span(f"{fmt.plural(len(rows), 'trace')}, costliest first", className="note"),
                        className="chips grid-bar",
                    ),
                    grids.grid(PICKER, columns, rows, label="Costliest traces", most_height=720, sort=view.get("sort")),
                    parts.lines([_picker_line(view, row) for row in rows]),
                ],
                className="card flush",
            ),
        ]
    )


def _picker_row(view: View, trace: TraceTree, most: Decimal) -> dict[str, Any]:
    took, cost = trace.end - trace.start, trace.effective_cost
    return {
        "id": trace.trace_id,
        "name": short(trace.trace_id),
        "agents": ", ".join(trace.agents) or fmt.UNKNOWN,
        "started": fmt.day_and_time(trace.start, view.period.spans_years),
        "took": took.total_seconds(),
        "took_text": fmt.span_of_time(took),
        "calls": trace.calls,
        "calls_text": fmt.count(trace.calls),
        "unpriced": trace.unpriced_calls,
        "unpriced_text": fmt.count(trace.unpriced_calls),
        "cost": None if cost is None else float(cost),
        "cost_text": fmt.money(cost, DIGITS),
        "cost_full": fmt.money_exact(cost),
        "bar": grids.bar(float(cost / most)) if cost is not None and most else "none",
    }


def _picker_line(view: View, row: Mapping[str, Any]) -> parts.Line:
    facts = f"{row['agents']} · {row['started']} · {row['took_text']} · {row['calls_text']} calls"
    return parts.Line(row["name"], row["cost_text"], facts, view.href(trace=row["id"]))


def short(trace_id: str) -> str:
    """The first digits of a trace id, as on every page."""
    return f"{trace_id[:4]} {trace_id[4:8]}"
