"""Trace: what happened in one run, span by span, and what each call cost and why."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import data, figures, grids, parts, shell
from dashboards import format as fmt
from dashboards.downloads import calls_href
from dashboards.proof import proof
from dashboards.reader import current_reader
from dashboards.theme import GREY
from dashboards.view import View
from models.core.errors import BadInput, NotFound
from models.core.queries import SpanNode, TraceTree
from models.core.vocabulary import CACHE_WRITE_BUCKETS, INPUT_BUCKETS

PATH = "/trace"
TITLE = "Trace · Jevons"
GRID, PICKER, CONTEXT = "trace-grid", "trace-picker", "trace-context"
MOST_TRACES = 50
MOST_AGENTS = 4
"""Agents whose context can be chosen: the costliest."""
NAMELESS = "no agent attribute"
DIGITS = 4
"""Digits after the point of one trace."""


def build(view: View) -> Component:
    """One trace, or the costliest ones to choose from."""
    chosen = view.get("trace")
    return _trace(view, chosen) if chosen else _picker(view)


layout = shell.page(build)


def _picker(view: View) -> Component:
    traces = list(current_reader().recent_traces(view.project.id, view.period.start, view.period.end, MOST_TRACES))
    if not traces:
        return html.Div([parts.page_header("Trace", ["No trace ended here."]), parts.teach(view)])
    spend = data.whole(view.costs()).totals.cost(view.basis) if not view.filters else None
    first = traces[0]
    sentence: list[Any] = [
        f"The costliest run of {view.period.label()} cost ",
        parts.strong(fmt.money_short(first.effective_cost), first.effective_cost),
    ]
    share = fmt.share_of(first.effective_cost, spend)
    if share is not None:
        sentence.append(f", {fmt.percent(share)} of all spend")
    sentence.append(". Choose a run to see where its money went.")
    most = max((trace.effective_cost or Decimal(0) for trace in traces), default=Decimal(0))
    rows = [_picker_row(trace, most) for trace in traces]
    columns = [
        grids.text_column("name", "Trace", minWidth=120, flex=1, cellClass="link mono", tooltipField="id"),
        grids.text_column("started", "Started, UTC", minWidth=120, flex=1),
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
                    grids.grid(PICKER, columns, rows, label="Costliest traces", most_height=760),
                    parts.lines([_picker_line(view, row) for row in rows]),
                ],
                className="card flush",
            ),
        ]
    )


def _picker_row(trace: TraceTree, most: Decimal) -> dict[str, Any]:
    took, cost = trace.end - trace.start, trace.effective_cost
    return {
        "id": trace.trace_id,
        "name": _short(trace.trace_id),
        "started": fmt.day_and_time(trace.start),
        "took": took.total_seconds(),
        "took_text": fmt.span_of_time(took),
        "calls": trace.calls,
        "calls_text": fmt.count(trace.calls),
        "unpriced": trace.unpriced_calls,
        "unpriced_text": fmt.count(trace.unpriced_calls),
        "cost": None if cost is None else float(cost),
        "cost_text": fmt.money(cost, DIGITS),
        "cost_full": fmt.money_exact(cost),
        "bar": grids.bar(float((cost or Decimal(0)) / most)) if most else "none",
    }


def _picker_line(view: View, row: Mapping[str, Any]) -> parts.Line:
    facts = f"{row['started']} · {row['took_text']} · {row['calls_text']} calls"
    return parts.Line(row["name"], row["cost_text"], facts, view.href(trace=row["id"]))


def _short(trace_id: str) -> str:
    return f"{trace_id[:4]} {trace_id[4:8]}"


def _trace(view: View, trace_id: str) -> Component:
    try:
        key = bytes.fromhex(trace_id)
    except ValueError:
        raise BadInput(f"trace={trace_id} is no trace id. It has 32 hexadecimal digits.") from None
    tree = current_reader().trace(view.project.id, key)
    if tree is None:
        raise NotFound(f"project {view.project.name} has no trace {trace_id}. Choose another project or trace.")
    calls = [node for node in tree.spans if node.call is not None]
    chosen = next((node for node in calls if node.span_id == view.get("span")), None)
    main = html.Div(
        [
            parts.safely("Context size", view, lambda: _context(view, tree, calls)),
            parts.safely("Spans", view, lambda: _spans(view, tree)),
        ],
        className="stack",
    )
    call = chosen.call if chosen is not None else None
    side = (
        parts.safely("Model call", view, lambda: proof(view, call, view.href(span=None)))
        if call is not None
        else parts.safely("This run", view, lambda: _summary(view, tree, calls))
    )
    return html.Div(
        [
            parts.page_header(
                ["Trace ", html.Span(_short(trace_id), title=trace_id)],
                _sentence(tree, calls),
                dcc.Link("Other traces", href=view.href(trace=None, span=None), className="button"),
                parts.csv_link(calls_href(view, trace_id)),
                parts.copy_link(view.href()),
            ),
            html.Div([main, side], className="split"),
        ]
    )


def _by_agent(calls: Sequence[SpanNode]) -> list[tuple[str, Decimal]]:
    sums: dict[str, Decimal] = {}
    for node in calls:
        if node.self_cost is not None:
            name = node.agent or NAMELESS
            sums[name] = sums.get(name, Decimal(0)) + node.self_cost
    return sorted(sums.items(), key=lambda pair: -pair[1])


def _sentence(tree: TraceTree, calls: Sequence[SpanNode]) -> list[Any]:
    took = fmt.span_of_time(tree.end - tree.start)
    words: list[Any] = [
        f"{fmt.plural(tree.calls, 'model call')} for ",
        parts.strong(f"{fmt.money(tree.effective_cost, DIGITS)} in {took}", tree.effective_cost),
    ]
    agents = _by_agent(calls)
    if len(agents) > 1 and tree.effective_cost:
        share = fmt.percent(fmt.share_of(agents[0][1], tree.effective_cost), 0)
        words += ["; ", parts.strong(f"{share} is {agents[0][0]}", agents[0][1])]
    words.append(".")
    if tree.unpriced_calls:
        words.append(f" {fmt.plural(tree.unpriced_calls, 'call')} without a price, in no amount here.")
    return words


def _steps(calls: Sequence[SpanNode]) -> list[figures.ContextStep]:
    steps: list[figures.ContextStep] = []
    for node in calls:
        tokens = node.call["tokens"] if node.call else {}
        writes = sum(tokens.get(bucket.value) or 0 for bucket in CACHE_WRITE_BUCKETS)
        read = tokens.get("cache_read") or 0
        entered = sum(tokens.get(bucket.value) or 0 for bucket in INPUT_BUCKETS)
        if entered:
            steps.append(figures.ContextStep(node.start, node.end, read, writes, entered - read - writes))
    return sorted(steps, key=lambda step: (step.start, step.end))


def _context(view: View, tree: TraceTree, calls: Sequence[SpanNode]) -> Component:
    """The context of one agent, the costliest unless the address says another: agents have contexts of their own."""
    agents = [name for name, _ in _by_agent(calls)][:MOST_AGENTS]
    chosen = view.get("of") if view.get("of") in agents else (agents[0] if agents else NAMELESS)
    steps = _steps([node for node in calls if (node.agent or NAMELESS) == chosen])
    title = f"Context size of {chosen}, per call"
    choices = [(name, view.href(of=name), name == chosen) for name in agents]
    end = parts.segments("Agent", choices) if len(choices) > 1 else None
    if not steps:
        return parts.card(title, html.P("No call of it reports its input tokens.", className="note"), end=end)
    figure = figures.context_size(steps, tree.start, view.theme)
    most = max(step.total for step in steps)
    shrunk = figures.compactions(steps)
    said = f"{fmt.plural(len(steps), 'call')}, at most {fmt.tokens(most)} input tokens"
    if shrunk:
        said += f"; {fmt.plural(len(shrunk), 'compaction')}"
    colours = (
        ("cache read", "var(--series-4)"),
        ("cache write", "var(--series-0)"),
        ("uncached input", "var(--series-1)"),
    )
    return parts.card(
        title,
        parts.graph(CONTEXT, figure, 168, f"Input tokens of {chosen} over time: {said}."),
        parts.legend(*colours),
        subtitle=said,
        end=end,
    )


def _summary(view: View, tree: TraceTree, calls: Sequence[SpanNode]) -> Component:
    agents = _by_agent(calls)
    rows = [
        html.Tr(
            [
                html.Td(name, className="name", title=name),
                parts.number(fmt.money(cost, DIGITS), fmt.money_exact(cost)),
                parts.number(fmt.percent(fmt.share_of(cost, tree.effective_cost), 0)),
            ]
        )
        for name, cost in agents
    ]
    total = [
        html.Td("Trace"),
        parts.number(fmt.money(tree.effective_cost, DIGITS), fmt.money_exact(tree.effective_cost)),
        parts.number("100\u00a0%"),
    ]
    rows.append(html.Tr(total, className="total"))
    roles = {role: sum(node.role == role for node in tree.spans) for role in ("rollup", "duplicate")}
    pairs: list[tuple[str, Any]] = [
        ("Started", f"{fmt.day_and_time(tree.start)} UTC"),
        ("Duration", fmt.span_of_time(tree.end - tree.start)),
        ("Spans", fmt.count(len(tree.spans))),
        ("Model calls", fmt.count(tree.calls)),
        ("Errors", fmt.count(sum(node.status == "error" for node in tree.spans))),
    ]
    if roles["rollup"]:
        pairs.append(("Roll-ups, not counted", fmt.count(roles["rollup"])))
    if roles["duplicate"]:
        pairs.append(("Repeats, not counted", fmt.count(roles["duplicate"])))
    pairs.append(("Trace id", html.Span(tree.trace_id, className="mono")))
    return parts.card(
        "This run, by agent",
        parts.table([("Agent", False), ("Cost", True), ("Share", True)], rows, "Cost by agent"),
        html.Hr(className="rule"),
        parts.facts(*pairs),
        subtitle="own calls of each agent; click a model call for its price proof",
    )


def _spans(view: View, tree: TraceTree) -> Component:
    length = max((tree.end - tree.start).total_seconds(), 1e-9)
    most = max((node.self_cost or Decimal(0) for node in tree.spans), default=Decimal(0))
    rows = [_span_row(view, tree.start, length, most, node) for node in tree.spans]
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
            grids.grid(GRID, columns, rows, label="Spans of the trace", row_height=grids.TRACE_ROW, most_height=900),
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


def _span_row(view: View, start: datetime, length: float, most: Decimal, node: SpanNode) -> dict[str, Any]:
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
        what = call.get("model") or ""
    took = node.end - node.start
    shown = "" if call is None and not has_children_cost else fmt.money(cost, DIGITS)
    return {
        "id": node.span_id,
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
            (node.start - start).total_seconds() / length, (node.end - start).total_seconds() / length, colour
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


def register(app: Dash) -> None:
    """A click on a trace opens it; one on a model call shows its proof."""

    @app.callback(
        Output(shell.LOCATION, "href", allow_duplicate=True),
        Input(PICKER, "cellClicked"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def picked(cell: dict[str, Any] | None, href: str) -> str:
        if not cell:
            raise PreventUpdate
        view = await asyncio.to_thread(shell.current_view, href)
        return view.href(trace=str(cell["rowId"]))

    @app.callback(
        Output(shell.LOCATION, "href", allow_duplicate=True),
        Input(GRID, "cellClicked"),
        State(GRID, "rowData"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def clicked(cell: dict[str, Any] | None, rows: list[dict[str, Any]], href: str) -> str:
        row = next((one for one in rows if cell and one["id"] == cell["rowId"]), None)
        if row is None or not row["is_call"]:
            raise PreventUpdate
        view = await asyncio.to_thread(shell.current_view, href)
        return view.href(span=row["id"])
