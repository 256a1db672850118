"""The spans of a trace as a waterfall: when each ran, what entered it, what it cost."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards import format as fmt
from dashboards import grids, parts
from dashboards.theme import GREY
from dashboards.trace_picker import DIGITS
from dashboards.view import View
from models.core.queries import SpanNode, TraceTree
from models.core.vocabulary import INPUT_BUCKETS

GRID = "trace-grid"


def spans(view: View, tree: TraceTree) -> Component:
    """The card with every span of the trace; selecting a model call shows its proof beside it."""
    length = max((tree.end - tree.start).total_seconds(), 1e-9)
    most = max((node.self_cost or Decimal(0) for node in tree.spans), default=Decimal(0))
    rows = [_span_row(view, tree, length, most, node) for node in tree.spans]
    axis = f"0 s to {fmt.span_of_time(tree.end - tree.start)}"
    columns = [
        grids.text_column(
            "name",
            "Span",
            minWidth=170,
            flex=2,
            tooltipField="full",
            cellStyle={
                "function": "({paddingLeft: (8 + 14 * params.data.depth) + 'px', fontWeight: params.data.weight})"
            },
        ),
        grids.text_column("what", "Model", minWidth=110, flex=1.2, cellClass="quiet", tooltipField="why"),
        grids.text_column(
            "time",
            axis,
            minWidth=140,
            flex=2.2,
            tooltipField="took",
            cellStyle={
                "function": "({backgroundImage: params.data.line, backgroundRepeat: 'no-repeat',"
                " backgroundSize: 'calc(100% - 12px) 32%', backgroundPosition: '6px center'})"
            },
        ),
        grids.number_column("context", "Context", minWidth=80, flex=0.7),
        grids.number_column(
            "cost",
            "Cost",
            minWidth=110,
            flex=1,
            cellStyle=grids.bar_style("bar", "fontWeight: params.data.weight"),
        ),
    ]
    legend = parts.legend(
        ("model call", "var(--series-0)"),
        ("failed", "var(--series-5)"),
        ("agent or other span", f"var(--series-{GREY})"),
    )
    return html.Section(
        [
            html.Div([html.Div(html.H2("Spans")), html.Div(legend, className="card-end")], className="card-head"),
            grids.grid(
                GRID,
                columns,
                rows,
                label="Spans of the trace",
                row_height=grids.TRACE_ROW,
                most_height=900,
                selected=view.get("span"),
                rowSelection=grids.one_row("params.data.is_call"),
            ),
            parts.lines([_span_line(view, row) for row in rows]),
        ],
        className="card flush",
    )


def _span_line(view: View, row: Mapping[str, Any]) -> parts.Line:
    facts = " · ".join(word for word in (row["what"], row["took"], row["context_text"]) if word)
    href = view.href(span=row["id"]) if row["is_call"] else ""
    return parts.Line(
        row["name"], row["cost_text"], facts, href, row["depth"], row["weight"] == 600, chosen=row["chosen"]
    )


def _span_row(view: View, tree: TraceTree, length: float, most: Decimal, node: SpanNode) -> dict[str, Any]:
    call: Mapping[str, Any] | None = node.call
    has_children_cost = call is None and node.inclusive_cost is not None
    cost = node.self_cost if call is not None else node.inclusive_cost
    failed = node.status == "error"
    colour = "var(--series-5)" if failed else "var(--series-0)" if call is not None else f"var(--series-{GREY})"
    entered = None
    if call is not None:
        counts = [call["tokens"].get(bucket.value) for bucket in INPUT_BUCKETS]
        known = [count for count in counts if count is not None]
        entered = sum(known) if known else None
    what = {"rollup": "roll-up, not counted", "duplicate": "repeat, not counted"}.get(node.role, "")
    if call is not None:
        model = call.get("model") or ""
        what = "" if model and model in node.name else model
    took = node.end - node.start
    shown = "" if call is None and not has_children_cost else fmt.money(cost, DIGITS)
    return {
        "id": node.span_id,
        "span_id": node.span_id,
        "trace_id": tree.trace_id,
        "is_call": call is not None,
        "chosen": call is not None and node.span_id == view.get("span"),
        "depth": node.depth,
        "name": node.name,
        "full": f"{node.name} · {node.instrumentation}" + (f" · {node.agent}" if node.agent else ""),
        "what": what,
        "why": f"{node.role}, {node.status}",
        "time": "",
        "took": fmt.span_of_time(took),
        "line": grids.interval(
            (node.start - tree.start).total_seconds() / length, (node.end - tree.start).total_seconds() / length, colour
        ),
        "context": entered,
        "context_text": "" if call is None else fmt.tokens(entered),
        "context_full": "" if entered is None else fmt.count(entered),
        "cost": None if cost is None else float(cost),
        "cost_text": shown,
        "cost_full": fmt.money_exact(cost) if shown else "",
        "bar": grids.bar(float(cost / most)) if call is not None and cost is not None and most else "none",
        "weight": 600 if has_children_cost else 400,
    }
