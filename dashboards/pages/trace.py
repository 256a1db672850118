"""Trace: what happened in one run, span by span, and what each call cost and why."""

import asyncio
from collections.abc import Sequence
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import format as fmt
from dashboards import parts, selection, shell
from dashboards.downloads import calls_href
from dashboards.proof import proof
from dashboards.reader import current_reader
from dashboards.trace_cards import by_agent, context, icicle, summary
from dashboards.trace_picker import DIGITS, PICKER, picker, short
from dashboards.trace_sections import is_told, sections
from dashboards.trace_spans import GRID, spans
from dashboards.view import View
from models.core.errors import BadInput, NotFound
from models.core.queries import SpanNode, TraceTree

PATH = "/trace"
TITLE = "Trace · Jevons"
PROOF = "trace-proof"


def build(view: View) -> Component:
    """One trace, or the costliest ones to choose from."""
    chosen = view.get("trace")
    return _trace(view, chosen) if chosen else picker(view)


layout = shell.page(build)


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
            parts.safely("Context size", view, lambda: context(view, tree, calls)),
            parts.safely("What the input was made of", view, lambda: sections(view, calls)) if is_told(calls) else None,
            parts.safely("Where the money sits", view, lambda: icicle(view, tree)) if tree.effective_cost else None,
            parts.safely("Spans", view, lambda: spans(view, tree)),
            selection.chosen(PROOF),
        ],
        className="stack",
    )
    call = chosen.call if chosen is not None else None
    run = parts.safely("This run", view, lambda: summary(view, tree, calls))
    shown = parts.safely("Model call", view, lambda: proof(view, call, view.href(span=None))) if call else None
    side = html.Div([html.Div(shown, id=PROOF), html.Div(run)], className="stack")
    return html.Div(
        [
            parts.page_header(
                ["Trace ", html.Span(short(trace_id), title=trace_id)],
                _sentence(tree, calls),
                dcc.Link("Other traces", href=view.href(trace=None, span=None), className="button"),
                parts.csv_link(calls_href(view, trace_id)),
                parts.copy_link(view.href()),
            ),
            html.Div([main, side], className="split"),
        ]
    )


def _sentence(tree: TraceTree, calls: Sequence[SpanNode]) -> list[Any]:
    took = fmt.span_of_time(tree.end - tree.start)
    words: list[Any] = [
        f"{fmt.plural(tree.calls, 'model call')} for ",
        parts.strong(f"{fmt.money(tree.effective_cost, DIGITS)} in {took}", tree.effective_cost),
    ]
    agents = by_agent(calls)
    if len(agents) > 1 and tree.effective_cost:
        share = fmt.percent(fmt.share_of(agents[0][1], tree.effective_cost), 0)
        words += ["; ", parts.strong(f"{share} is {agents[0][0]}", agents[0][1])]
    words.append(".")
    if tree.unpriced_calls:
        words.append(f" {fmt.plural(tree.unpriced_calls, 'call')} without a price, in no amount here.")
    return words


def register(app: Dash) -> None:
    """A click on a trace opens it; a selected model call shows its proof."""
    selection.register(app, GRID, PROOF)
    shell.remember_sort(app, PICKER)

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
