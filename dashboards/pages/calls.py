"""Calls: the rows under every number, newest first, each with its proof."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import data, grids, parts, selection, shell
from dashboards import format as fmt
from dashboards.downloads import calls_href
from dashboards.proof import DIGITS, charge_cost, proof
from dashboards.reader import current_reader
from dashboards.view import View
from models.core.queries import CostRow
from models.core.vocabulary import INPUT_BUCKETS, OUTPUT_BUCKETS

PATH = "/calls"
TITLE = "Calls · Jevons"
GRID, PROOF = "calls-grid", "calls-proof"
PAGE = 200


def build(view: View) -> Component:
    """The calls of the view, one page of them, with totals of all."""
    totals = data.whole(view.costs()).totals
    if not totals.calls:
        return html.Div([parts.page_header("Calls", ["No model was called here."]), parts.teach(view)])
    page = current_reader().calls(view.calls(limit=PAGE, cursor=view.get("cursor") or None))
    spend = totals.cost(view.basis)
    sentence = [
        parts.strong(fmt.plural(totals.calls, "call")),
        " cost ",
        parts.strong(fmt.money_short(spend), spend),
        f" in {view.period.label()}" + ("; " + _narrowed(view) if view.filters else "") + ". ",
        f"{fmt.plural(totals.unpriced_calls, 'call')} of them unpriced." if totals.unpriced_calls else None,
    ]
    chosen = next((call for call in page.calls if call["span_id"] == view.get("span")), None)
    body = parts.safely("Calls", view, lambda: _table(view, page.calls, page.next_cursor, totals))
    shown = None
    if chosen is not None:
        shown = parts.safely("Model call", view, lambda: proof(view, chosen, view.href(span=None)))
    body = html.Div([body, html.Div(shown, id=PROOF)], className="split")
    return html.Div(
        [
            parts.page_header("Calls", sentence, parts.csv_link(calls_href(view)), parts.copy_link(view.href())),
            body,
        ]
    )


layout = shell.page(build)


def _narrowed(view: View) -> str:
    by_name: dict[str, list[str]] = {}
    for name, value in view.filters:
        by_name.setdefault(name, []).append(value or "none")
    return "; ".join(
        f"{name.replace('_', ' ')} {values[0] if len(values) == 1 else f'one of {len(values)}'}"
        for name, values in by_name.items()
    )


def _table(view: View, calls: Sequence[Mapping[str, Any]], following: str | None, totals: CostRow) -> Component:
    only_unpriced = view.get("only") == "unpriced"
    whole = (totals.unpriced_calls if only_unpriced else totals.calls) or 0
    columns = [
        grids.text_column("ended", "Ended, UTC", minWidth=170 if view.period.spans_years else 136, flex=1),
        grids.text_column("agent", "Agent", minWidth=110, flex=1.2, tooltipField="path"),
        grids.text_column("model", "Model", minWidth=140, flex=1.5, tooltipField="provider"),
        grids.text_column("state", "Status", minWidth=74, flex=0.7),
        grids.number_column("input", "Input", minWidth=74, flex=0.8, sortable=True),
        grids.number_column("cached", "Cached", minWidth=78, flex=0.8, sortable=True),
        grids.number_column("output", "Output", minWidth=76, flex=0.8, sortable=True),
        grids.number_column("cost", "Cost", minWidth=100, flex=1, sortable=True),
        grids.text_column("trace", "Trace", minWidth=96, flex=0.9, cellClass="link mono", tooltipField="trace_id"),
    ]
    rows = [_row(view, call) for call in calls]
    selected = next((row["id"] for row in rows if row["chosen"]), "")
    position = "the newest" if not view.get("cursor") else "a later page"
    links = [
        dcc.Link("Newest", href=view.href(cursor=None), className="button") if view.get("cursor") else None,
        dcc.Link("Older calls", href=view.href(cursor=following, span=None), className="button") if following else None,
    ]
    choices = [
        ("All", view.href(only=None, cursor=None), not only_unpriced),
        ("Unpriced", view.href(only="unpriced", cursor=None), only_unpriced),
    ]
    said = f"{position}, {fmt.count(len(rows))} of {fmt.count(whole)}; a row opens its price proof, a trace its spans"
    return html.Section(
        [
            html.H2("Calls of the period", className="unseen"),
            html.Div(
                [
                    parts.segments("Which calls", choices),
                    html.Span(said, className="note"),
                    html.Div(links, className="card-end"),
                ],
                className="chips grid-bar",
            ),
            grids.grid(
                GRID,
                columns,
                rows,
                label="Calls",
                most_height=720,
                selected=selected,
                sort=view.get("sort"),
                rowSelection=grids.one_row(),
            ),
            selection.chosen(PROOF),
            parts.lines([_line(view, row) for row in rows]),
        ],
        className="card flush",
    )


def _line(view: View, row: Mapping[str, Any]) -> parts.Line:
    facts = f"{row['ended']} · {row['agent']} · in {row['input_text']} · out {row['output_text']} · {row['state']}"
    return parts.Line(row["model"], row["cost_text"], facts, view.href(span=row["span_id"]), chosen=row["chosen"])


def _row(view: View, call: Mapping[str, Any]) -> dict[str, Any]:
    tokens = call["tokens"]

    def known(names: Sequence[str]) -> int | None:
        counts = [tokens[name] for name in names if tokens.get(name) is not None]
        return sum(counts) if counts else None

    entered = known([bucket.value for bucket in INPUT_BUCKETS])
    left = known([bucket.value for bucket in OUTPUT_BUCKETS])
    cached = tokens.get("cache_read")
    cost = charge_cost(call, view.basis.value)
    ended = datetime.fromisoformat(str(call["end"]).replace("Z", "+00:00"))
    estimated = "~" if call["usage_source"] in ("estimated", "partial") else ""
    numbers: dict[str, Any] = {}
    for name, value, text, full in (
        ("input", entered, f"{estimated}{fmt.tokens(entered)}", fmt.count(entered)),
        ("cached", cached, fmt.tokens(cached), fmt.count(cached)),
        ("output", left, f"{estimated}{fmt.tokens(left)}", fmt.count(left)),
        ("cost", cost, f"{estimated if cost else ''}{fmt.money(cost, DIGITS)}", fmt.money_exact(cost)),
    ):
        numbers.update({name: None if value is None else float(value), f"{name}_text": text, f"{name}_full": full})
    return {
        "id": f"{call['trace_id']}:{call['span_id']}",
        "span_id": call["span_id"],
        "chosen": call["span_id"] == view.get("span"),
        "trace_id": call["trace_id"],
        "ended": f"{fmt.day_and_time(ended, view.period.spans_years)}:{ended:%S}",
        "agent": call.get("agent") or fmt.UNKNOWN,
        "path": call.get("agent_path"),
        "model": call.get("model") or fmt.UNKNOWN,
        "provider": call.get("provider"),
        "state": call["status"],
        "trace": str(call["trace_id"])[:8],
        **numbers,
    }


def register(app: Dash) -> None:
    """A click on a row shows the proof of the call beside the table; one on the trace id goes there."""
    selection.register(app, GRID, PROOF)
    shell.remember_sort(app, GRID)

    @app.callback(
        Output(shell.LOCATION, "href", allow_duplicate=True),
        Input(GRID, "cellClicked"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def clicked(cell: dict[str, Any] | None, href: str) -> str:
        if not cell or cell["colId"] != "trace":
            raise PreventUpdate
        trace, _, span = str(cell["rowId"]).partition(":")
        view = await asyncio.to_thread(shell.current_view, href)
        return view.href("/trace", trace=trace, span=span)
