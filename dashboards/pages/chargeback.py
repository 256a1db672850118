"""Chargeback: what each payer owes for a month, who owns what nobody owns yet, and whether the month can close."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import acts, data, parts, rule_form, shell
from dashboards import format as fmt
from dashboards.month_desk import MonthDesk, current_month_desk
from dashboards.period import month_of
from dashboards.reader import current_reader
from dashboards.view import Filter, View
from models.core.closing import CheckLine, PeriodState
from models.core.payers import TIED_ON_PAGES, ZERO, Statement, StatementRow
from models.core.queries import CostRow

PATH = "/chargeback"
TITLE = "Chargeback · Jevons"
REASON, DO_CLOSE, DO_REOPEN = "period-reason", "period-close", "period-reopen"
PAYERS = {"cost_center": "cost centre", "team": "team"}
NOBODY = "Unallocated"
STATES = {"open": "", "reopened": "warn", "soft_closed": "accent", "closed": "ok"}
MARKS = {"ok": ("check", "ok", "ready"), "warn": ("warning", "warn", "look"), "fail": ("close", "critical", "stop")}
MOST_LINES = 12


def build(view: View) -> Component:
    """The statement of the month the period ends in, its drill-down, the rule editor and the close checklist."""
    books = current_month_desk()
    if books is None:
        return html.Div([parts.page_header("Chargeback", ["This server shows figures only: it keeps no books."])])
    month = view.period.last.replace(day=1)
    by = view.get("by", "cost_center")
    by = by if by in PAYERS else "cost_center"
    reader = current_reader()
    statement = reader.statement([view.project.id], month, by, TIED_ON_PAGES)
    before = reader.statement([view.project.id], (month - timedelta(days=1)).replace(day=1), by, most_charges=0)
    period = books.period(view.project.id, month)
    chosen = next((row for row in statement.rows if _key(row) == view.own.get("payer")), None)
    side = [
        parts.safely("Statement", view, lambda: _drill(view, month, by, chosen)) if chosen is not None else None,
        parts.safely("Rules", view, lambda: rule_form.editor(view, books, by)),
    ]
    checklist = parts.safely("Close checklist", view, lambda: _checklist(view, period))
    return html.Div(
        [
            acts.stores(),
            parts.page_header(
                "Chargeback",
                _sentence(statement, period),
                parts.csv_link(_api(view, "statements", month, by=by, format="csv")),
                parts.copy_link(view.href()),
            ),
            html.Div(
                parts.safely("Statement", view, lambda: _statement(view, books, statement, before, period)),
                className="grid",
            ),
            html.Div(
                [html.Div([one for one in side if one is not None], className="stack"), checklist], className="split"
            ),
            acts.said(),
        ]
    )


layout = shell.page(build)


def _key(row: StatementRow) -> str:
    """How a payer stands in the address: empty for nobody."""
    return row.payer or ""


def _api(view: View, what: str, month: date, **more: str) -> str:
    asked = {"period": f"{month:%Y-%m}", "project": view.project.name, **more}
    return f"/api/v1/{what}?{urlencode(asked)}"


def _sentence(statement: Statement, period: PeriodState) -> list[Any]:
    month = f"{statement.month:%B %Y}"
    if not statement.rows:
        return [f"{month} has no charges."]
    nobody = sum((row.total for row in statement.rows if row.payer is None), ZERO)
    words: list[Any] = [f"{month} is ", parts.strong(fmt.money(statement.amount), statement.total), " and "]
    owned = fmt.share_of(statement.total - nobody, statement.total)
    words += [parts.strong(f"{fmt.percent(owned)} has an owner"), ". "]
    looks = [check for check in period.checks if check.state != "ok"]
    if period.state == "closed":
        words.append("It is closed: what arrives late becomes a correction in the open month.")
    elif looks:
        verb = "checks want" if len(looks) > 1 else "check wants"
        words.append(f"{len(looks)} {verb} a look before it can close.")
    else:
        words.append("It is ready to close.")
    return words


def _statement(view: View, books: MonthDesk, statement: Statement, before: Statement, period: PeriodState) -> Component:
    earlier = {row.payer: row.total for row in before.rows}
    digits = fmt.digits_for(statement.total)
    by, month = statement.by, statement.month
    rows = [_row(view, row, earlier, statement, digits) for row in statement.rows]
    rows.append(_total(statement, before, digits))
    head = [(PAYERS[by].capitalize(), False), ("Owner", False), ("Direct", True), ("Corrections", True), ("Idle", True)]
    head += [("Other", True), ("Total", True), (f"vs {before.month:%b}", True), ("Share", True)]
    lines = [
        parts.Line(
            row.payer or NOBODY,
            fmt.money(row.total, digits),
            f"direct {fmt.money(row.direct, digits)} · corrections {fmt.money(_corrected(row), digits)} · "
            f"{fmt.percent(fmt.share_of(row.total, statement.total))}",
            view.href(payer=_key(row)),
            chosen=_key(row) == view.own.get("payer"),
        )
        for row in statement.rows
    ]
    foot = [
        *_tie(statement, digits),
        f". {fmt.plural(statement.unpriced_calls, 'call')} without a price are not in it."
        if statement.unpriced_calls
        else ".",
    ]
    links = [
        parts.csv_link(_api(view, "exports/focus", month), "FOCUS"),
        parts.csv_link(_api(view, "exports/focus", month, format="parquet"), "Parquet"),
        parts.csv_link(_api(view, "exports/journal", month), "Journal"),
    ]
    choices = [(name.capitalize(), view.href(by=key, payer=None), key == by) for key, name in PAYERS.items()]
    return parts.card(
        [f"{month:%B %Y}, by {PAYERS[by]} ", parts.badge(period.state.replace("_", "-"), STATES[period.state])],
        html.Div([_months(view, books, month), parts.segments("Who pays", choices)], className="chips statement-bar"),
        html.Div(parts.table(head, rows, "Statement", "statement"), className="hide-narrow"),
        parts.lines([*lines, parts.Line("Total", fmt.money(statement.total, digits), bold=True)]),
        subtitle="effective cost, UTC month, USD",
        end=links,
        foot=foot,
    )


def _months(view: View, books: MonthDesk, month: date) -> Component:
    known = sorted({when for when, _ in books.months(view.project.id)} | {month})[-6:]
    choices = [(f"{when:%b %Y}", view.href(period=f"{when:%Y-%m}", payer=None), when == month) for when in known]
    return parts.segments("Month", choices)


def _corrected(row: StatementRow) -> Decimal:
    return sum(row.corrections.values(), ZERO)


def _tie(statement: Statement, digits: int) -> list[Any]:
    """What the rows are held against, as far as a page adds it up."""
    if statement.ledger_total is None:
        return [
            f"{statement.charges:,} charges are more than a page adds up: ",
            html.Code(f"jevons statement --period {statement.month:%Y-%m}"),
            " ties them out",
        ]
    return [
        "Direct + corrections + idle + other = ledger total ",
        parts.strong(fmt.money(statement.ledger_total, digits), statement.ledger_total),
        ", difference ",
        parts.strong(fmt.money_exact(statement.difference), statement.difference),
    ]


def _row(
    view: View, row: StatementRow, earlier: Mapping[str | None, Decimal], statement: Statement, digits: int
) -> html.Tr:
    name: list[Any] = [dcc.Link(row.payer or NOBODY, href=view.href(payer=_key(row)))]
    if row.payer is None and row.total:
        name += [" ", parts.badge("needs a rule", "warn")]
    before = earlier.get(row.payer, ZERO)
    told = ", ".join(f"{month}: {fmt.money_exact(cost)}" for month, cost in sorted(row.corrections.items()))
    return html.Tr(
        [
            html.Td(name),
            html.Td(row.owner or ("no owner" if row.payer is None else fmt.UNKNOWN), className="quiet"),
            parts.number(fmt.money(row.direct, digits), fmt.money_exact(row.direct)),
            parts.number(fmt.money(_corrected(row), digits), told),
            parts.number(fmt.money(row.idle, digits), fmt.money_exact(row.idle)),
            parts.number(fmt.money(row.other, digits), fmt.money_exact(row.other)),
            parts.number(fmt.money(row.total, digits), fmt.money_exact(row.total), "strong"),
            parts.number(
                fmt.money_change(row.total, before, digits), fmt.money_exact(before),
                parts.change_class(row.total, before),
            ),
            parts.number(fmt.percent(fmt.share_of(row.total, statement.total))),
        ],
        className="chosen" if _key(row) == view.own.get("payer") else None,
    )  # fmt: skip


def _total(statement: Statement, before: Statement, digits: int) -> html.Tr:
    def added(amounts: Sequence[Decimal]) -> html.Td:
        total = sum(amounts, ZERO)
        return parts.number(fmt.money(total, digits), fmt.money_exact(total))

    return html.Tr(
        [
            html.Td("Total"),
            html.Td(),
            added([row.direct for row in statement.rows]),
            added([_corrected(row) for row in statement.rows]),
            added([row.idle for row in statement.rows]),
            added([row.other for row in statement.rows]),
            added([row.total for row in statement.rows]),
            parts.number(fmt.money_change(statement.total, before.total, digits)),
            parts.number(fmt.percent(Decimal(1)) if statement.total else fmt.UNKNOWN),
        ],
        className="total",
    )


def _drill(view: View, month: date, by: str, row: StatementRow) -> Component:
    whole = month_of(month)
    only = [(by, row.payer)]
    answer = data.whole(view.costs("agent", "model", period=whole, only=only))
    digits = fmt.digits_for(row.total)
    costs = [(one, cost) for one in answer.rows if (cost := one.effective_cost) is not None]
    lines = [
        html.Tr(
            [
                html.Td(_made_of(view, month, (by, row.payer), one), className="wrap"),
                html.Td(one.keys["model"] or fmt.UNKNOWN, className="wrap quiet"),
                parts.number(fmt.count(one.calls)),
                parts.number(fmt.money(cost, digits), fmt.money_exact(cost)),
            ]
        )
        for one, cost in costs[:MOST_LINES]
    ]
    rest = costs[MOST_LINES:]
    if rest:
        left = sum((cost for _, cost in rest), ZERO)
        cells = [html.Td(f"{len(rest)} more"), html.Td(), html.Td(), parts.number(fmt.money(left, digits))]
        lines.append(html.Tr(cells))
    total = answer.totals.effective_cost
    name = [html.Td("Statement total"), html.Td(), parts.number(fmt.count(answer.totals.calls))]
    lines.append(html.Tr([*name, parts.number(fmt.money(total, digits), fmt.money_exact(total))], className="total"))
    late = [
        html.Tr([html.Td(f"of these, corrections of {when}"), html.Td(), html.Td(),
                 parts.number(fmt.money(cost, digits), fmt.money_exact(cost))])
        for when, cost in sorted(row.corrections.items())
    ]  # fmt: skip
    head = [("Agent", False), ("Model", False), ("Calls", True), ("Cost", True)]
    calls = view.with_filter((by, row.payer), path="/calls", period=whole.text)
    return parts.card(
        f"Statement: {row.payer or NOBODY}",
        parts.table(head, [*lines, *late], "What the statement is made of"),
        subtitle=f"{month:%B %Y}, what it is made of; an agent leads to its calls",
        end=[
            dcc.Link("Calls", href=calls, className="button"),
            dcc.Link([parts.icon("close")], href=view.href(payer=None), className="button plain", title="Close"),
        ],
    )


def _made_of(view: View, month: date, payer: Filter, one: CostRow) -> Component:
    if not one.calls and one.keys["agent"] is None:
        return html.Span("no call: capacity, corrections that cancel out")
    only = (payer, ("agent", one.keys["agent"]), ("model", one.keys["model"]))
    href = view.with_filter(*only, path="/calls", period=f"{month:%Y-%m}")
    return dcc.Link(one.keys["agent"] or "no agent named", href=href)


def _checklist(view: View, period: PeriodState) -> Component:
    ready = sum(check.state == "ok" for check in period.checks)
    name = f"{period.month:%B}"
    path = f"/periods/{period.month:%Y-%m}"
    body: list[Any] = [html.Ul([_check(check) for check in period.checks], className="checks")]
    if period.state == "closed":
        body += [
            _reason("Why it has to be opened again"),
            html.Div(
                html.Button(f"Reopen {name}", id=DO_REOPEN, className="button", n_clicks=0, **acts.locked()),
                className="card-acts",
            ),
        ]
        foot: Any = [
            f"Closed by {period.changed_by}, {fmt.day_and_time(period.changed_at, True)} UTC. "
            if period.changed_at
            else "",
            f"Snapshot {period.snapshot}, SHA-256 ",
            html.Span((period.sha256 or "")[:16], className="mono", title=period.sha256 or ""),
            "…",
        ]
    elif period.ready:
        ask = acts.request(view, "POST", f"{path}/close", {}, then=view.href(closed="1"))
        body.append(html.Div(acts.button([parts.icon("lock"), f"Close {name}"], ask, "main"), className="card-acts"))
        foot = "Closing takes a snapshot; the database then refuses every change to the month."
    else:
        body += [
            _reason("Why it is closed all the same"),
            html.Div(
                html.Button(f"Force close {name}", id=DO_CLOSE, className="button", n_clicks=0, **acts.locked()),
                className="card-acts",
            ),
        ]
        foot = "A check stops the close. With a reason it can be forced; the reason stands in the snapshot."
    return parts.card(
        "Close checklist", *body, subtitle=f"{ready} of {len(period.checks)} ready", foot=foot, extra="form"
    )


def _reason(label: str) -> Component:
    return dmc.TextInput(id=REASON, label=label, size="sm", mt=10)


def _check(check: CheckLine) -> html.Li:
    symbol, tone, word = MARKS[check.state]
    name = check.name.replace("_", " ").capitalize()
    inside = [
        html.Span(parts.icon(symbol), className=f"mark {tone}"),
        html.Div(
            [
                html.Div([html.B(name), html.Span(word, className=f"word {tone}")]),
                html.Div(check.what, className="card-sub"),
                html.Div(check.todo.replace("`", ""), className="card-sub") if check.todo else None,
            ]
        ),
    ]
    return html.Li(inside)


def register(app: Dash) -> None:
    """Forced closing and reopening ask the API with the reason that was written."""
    rule_form.register(app)
    for button, verb, more in ((DO_CLOSE, "close", {"force": True}), (DO_REOPEN, "reopen", {})):
        _register_act(app, button, verb, more)


def _register_act(app: Dash, button: str, verb: str, more: Mapping[str, Any]) -> None:
    @app.callback(
        Output(acts.ASKED, "data", allow_duplicate=True),
        Input(button, "n_clicks"),
        State(REASON, "value"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def ask(clicks: int | None, reason: str | None, href: str) -> Any:
        if not clicks:
            raise PreventUpdate
        view = await asyncio.to_thread(shell.current_view, href)
        month = view.period.last
        body = {**more, "reason": reason or ""} if reason or verb == "close" else {"reason": " "}
        return acts.request(
            view, "POST", f"/periods/{month:%Y-%m}/{verb}", body, then=view.href(done=f"{verb}-{clicks}")
        )
