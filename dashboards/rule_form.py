"""The editor of ownership rules: what a rule would move is shown while it is written; saving it is a request."""

import asyncio
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import acts, parts, shell
from dashboards import format as fmt
from dashboards.month_desk import MonthDesk, current_month_desk
from dashboards.view import View
from models.core.closing import Move, RuleDraft, RuleLine
from models.core.errors import JevonsError

DIMENSION, MATCH, PATTERN = "rule-dimension", "rule-match", "rule-pattern"
TARGET, VALUE, SINCE = "rule-target", "rule-value", "rule-since"
PREVIEW, SAVE = "rule-preview", "rule-save"
DIMENSIONS = (
    "service",
    "agent",
    "agent_path",
    "environment",
    "model",
    "provider",
    "operation",
    "task",
    "session",
    "user",
)
MATCHES = [
    {"value": "equals", "label": "is"},
    {"value": "prefix", "label": "starts with"},
    {"value": "glob", "label": "looks like (*, ?)"},
    {"value": "regex", "label": "matches (regex)"},
]
TARGETS = [{"value": "cost_center", "label": "Cost centre"}, {"value": "team", "label": "Team"}]
MOST_MOVES = 8


def editor(view: View, books: MonthDesk, by: str) -> Component:
    """The card: fields, what they would move, and the rules in force."""
    fields = html.Div(
        [
            dmc.Autocomplete(
                id=DIMENSION,
                label="Where (a dimension, or tag:KEY)",
                value="service",
                data=[*DIMENSIONS, "tag:"],
                size="sm",
            ),
            dmc.Select(id=MATCH, label="How", value="prefix", data=MATCHES, allowDeselect=False, size="sm"),
            dmc.TextInput(id=PATTERN, label="What", placeholder="rag-", size="sm", debounce=300),
            dmc.Select(id=TARGET, label="Belongs to a", value=by, data=TARGETS, allowDeselect=False, size="sm"),
            dmc.Autocomplete(
                id=VALUE, label="Named", placeholder="CC-410", data=list(books.payers(view.project.id, by)), size="sm"
            ),
            dmc.TextInput(id=SINCE, label="From (a UTC day)", placeholder="2026-10-01", size="sm", debounce=300),
        ],
        className="fields three",
    )
    return parts.card(
        "What a rule would move",
        fields,
        html.Div(html.P("Write a rule to see what it would move.", className="note"), id=PREVIEW),
        html.Div(
            html.Button("Save and apply", id=SAVE, className="button main", n_clicks=0, **acts.locked()),
            className="card-acts",
        ),
        _rules(view, books.rules(view.project.id)),
        subtitle="dry run over open months; nothing is saved yet",
        extra="form",
    )


def _rules(view: View, rules: Sequence[RuleLine]) -> Component | None:
    if not rules:
        return html.P("No rule is in force: a call belongs to the team its spans or resource name.", className="note")
    rows = [
        html.Tr(
            [
                html.Td([one.asks, " → ", html.B(one.value)], className="wrap"),
                html.Td(one.period, className="quiet"),
                html.Td(_retire(view, one)),
            ]
        )
        for one in rules
    ]
    head = [("Rules in force, first match wins", False), ("", False), ("", False)]
    return parts.table(head, rows, "Rules in force", "rules-in-force")


def _retire(view: View, one: RuleLine) -> Component | None:
    if view.get("retire") == str(one.id):
        ask = acts.request(view, "DELETE", f"/tag-rules/{one.id}?apply=true", then=view.href(retire=None))
        return acts.button("Confirm", ask, "danger")
    return acts.way("Retire", view.href(retire=str(one.id)), "plain")


def moves_table(calls: int, moves: Sequence[Move], target: str) -> Component:
    """What moves, one line per month and pair of payers; what leaves one reaches the other."""
    shown = [one for one in moves if one.target == target]
    if not shown:
        return html.P("No call of an open month would move.", className="note")
    total = sum((one.effective_cost for one in shown if one.effective_cost is not None), Decimal(0))
    digits = fmt.digits_for(total)
    rows = [
        html.Tr(
            [
                html.Td(f"{one.month:%b %Y}", className="quiet"),
                html.Td([one.before or "Unallocated", " → ", html.B(one.after or "Unallocated")], className="wrap"),
                parts.number(fmt.count(one.calls)),
                parts.number(fmt.money(one.effective_cost, digits), fmt.money_exact(one.effective_cost)),
            ]
        )
        for one in shown[:MOST_MOVES]
    ]
    rest = f"{len(shown) - MOST_MOVES} more lines. " if len(shown) > MOST_MOVES else ""
    said = f"{rest}{fmt.plural(calls, 'call')} would move, the sum stays; closed months do not."
    head = [("Month", False), ("From → to", False), ("Calls", True), ("Moves", True)]
    return html.Div([parts.table(head, rows, "What would move"), html.P(said, className="note")])


def _draft(
    dimension: str | None, match: str, pattern: str | None, target: str, value: str | None, since: str | None
) -> RuleDraft | None:
    if not (dimension and pattern and value):
        return None
    return RuleDraft(
        target=target,
        value=value.strip(),
        dimension=dimension.strip(),
        match=match,
        pattern=pattern,
        valid_from=(since or "").strip() or None,
    )


def _preview(href: str, draft: RuleDraft) -> Component:
    view, books = shell.current_view(href), current_month_desk()
    if books is None:
        raise PreventUpdate
    if draft.valid_from:
        try:
            date.fromisoformat(draft.valid_from)
        except ValueError:
            return html.P(f"{draft.valid_from} is no day; write it as 2026-10-01.", className="note critical-text")
    try:
        calls, moves = books.preview(view.project.id, draft)
    except JevonsError as fault:
        return html.P(str(fault), className="note critical-text")
    return moves_table(calls, moves, draft.target)


def register(app: Dash) -> None:
    """The preview follows the fields; the button asks the API."""
    fields = [(DIMENSION, "value"), (MATCH, "value"), (PATTERN, "value")]
    fields += [(TARGET, "value"), (VALUE, "value"), (SINCE, "value")]

    @app.callback(
        Output(PREVIEW, "children"),
        *(Input(*field) for field in fields),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def preview(*given: Any) -> Any:
        draft = _draft(*given[:6])
        if draft is None:
            raise PreventUpdate
        return await asyncio.to_thread(_preview, given[6], draft)

    @app.callback(
        Output(acts.ASKED, "data", allow_duplicate=True),
        Input(SAVE, "n_clicks"),
        *(State(*field) for field in fields),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def save(clicks: int | None, *given: Any) -> Any:
        draft = _draft(*given[:6])
        if not clicks or draft is None:
            raise PreventUpdate
        view = await asyncio.to_thread(shell.current_view, given[6])
        condition = {"dimension": draft.dimension, "match": draft.match, "pattern": draft.pattern}
        body = {"target": draft.target, "value": draft.value, "conditions": [condition]}
        if draft.valid_from:
            body["valid_from"] = f"{draft.valid_from}T00:00:00Z"
        return acts.request(view, "POST", "/tag-rules?apply=true", body, then=view.href(saved=str(clicks)))
