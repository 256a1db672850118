"""The forms of budgets and channels: they ask the API for what a script would ask it for."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import acts, data, parts, shell
from dashboards.view import View
from models.core.controls import Budget, Channel
from models.core.desk import Standing
from models.core.errors import JevonsError
from models.core.money import plain

NAME, AMOUNT, PERIOD, ROLLING = "budget-name", "budget-amount", "budget-period", "budget-rolling"
SCOPE, THRESHOLDS, TOLD, OWNER, MODE, SAVE = (
    "budget-scope", "budget-thresholds", "budget-channels", "budget-owner", "budget-mode", "budget-save",
)  # fmt: skip
KIND, CALLED, TARGET, SECRET, ONLY, ADD = (
    "channel-kind", "channel-name", "channel-url", "channel-secret", "channel-only", "channel-add",
)  # fmt: skip
SCOPES = ("team", "agent", "model", "service")
PERIODS = [
    {"value": "day", "label": "Day"},
    {"value": "week", "label": "Week, from Monday"},
    {"value": "month", "label": "Month"},
    {"value": "rolling", "label": "Rolling days"},
]
TARGETS = {
    "webhook": "https://hooks.example.org/jevons",
    "slack": "https://hooks.slack.com/services/…",
    "email": "mailto:oncall@example.org",
}


def form(view: View, which: str, standings: Sequence[Standing], channels: Sequence[Channel]) -> Component:
    """The form that the address asks for: `budget` for a new one, `channel`, or the number of a budget."""
    if which == "channel":
        return _channel_form(view)
    budget = next((one.budget for one in standings if str(one.budget.id) == which), None)
    return _budget_form(view, budget, channels)


def _scopes(view: View) -> list[str]:
    """What was spent on lately, as filters to choose from."""
    found: list[str] = []
    for dimension in SCOPES:
        rows = data.largest_first(data.whole(view.costs(dimension)).rows, dimension, view.basis)
        found += [f"{dimension}:{name}" for row in rows[:20] if (name := row.keys.get(dimension)) is not None]
    return found


def _budget_form(view: View, budget: Budget | None, channels: Sequence[Channel]) -> Component:
    fields = html.Div(
        [
            dmc.TextInput(
                id=NAME, label="Name", value=budget.name if budget else "", placeholder="payments", size="sm"
            ),
            dmc.TextInput(
                id=AMOUNT,
                label="Amount, USD",
                value=plain(budget.amount) if budget else "",
                placeholder="1500.00",
                inputProps={"inputMode": "decimal"},
                size="sm",
            ),
            dmc.Select(
                id=PERIOD,
                label="Every",
                data=PERIODS,
                value=budget.period if budget else "month",
                allowDeselect=False,
                size="sm",
            ),
            dmc.NumberInput(
                id=ROLLING,
                label="Days, if rolling",
                value=budget.rolling_days if budget and budget.rolling_days else 30,
                min=1,
                max=366,
                size="sm",
            ),
            dmc.TagsInput(
                id=SCOPE,
                label="Only where (empty: everything)",
                value=list(budget.filters) if budget else [],
                data=_scopes(view),
                placeholder="team:payments",
                size="sm",
            ),
            dmc.TagsInput(
                id=THRESHOLDS,
                label="Speak at, %",
                value=[str(one) for one in budget.thresholds] if budget else ["50", "80", "100"],
                size="sm",
            ),
            dmc.MultiSelect(
                id=TOLD,
                label="Tell (empty: every channel)",
                data=[{"value": str(one.id), "label": one.name} for one in channels],
                value=[str(one) for one in budget.channels] if budget else [],
                size="sm",
            ),
            dmc.TextInput(
                id=OWNER,
                label="Owner",
                value=(budget.owner or "") if budget else "",
                placeholder="who decides when it is over",
                size="sm",
            ),
            dmc.Select(
                id=MODE,
                label="When it is used up",
                data=[
                    {"value": "notify", "label": "Notify"},
                    {"value": "enforce", "label": "Hard cap (kept; not in force yet)"},
                ],
                value=budget.mode if budget else "notify",
                allowDeselect=False,
                size="sm",
            ),
        ],
        className="fields",
    )
    close = view.href(form=None, confirm=None)
    buttons: list[Any] = []
    if budget is not None:
        if view.get("confirm") == "end":
            ask = acts.request(view, "DELETE", f"/budgets/{budget.id}", then=close)
            buttons.append(acts.button("Confirm: end this budget", ask, "danger"))
        else:
            buttons.append(dcc.Link("End budget", href=view.href(confirm="end"), className="button"))
    buttons += [
        dcc.Link("Cancel", href=close, className="button"),
        html.Button("Save" if budget else "Add budget", id=SAVE, className="button main", n_clicks=0),
    ]
    title = f"Edit {budget.name}" if budget else "New budget"
    return parts.card(
        title,
        fields,
        html.Div(buttons, className="form-acts"),
        subtitle="it counts what its period has spent already; an alert goes out at each threshold, once",
        extra="form",
    )


def _channel_form(view: View) -> Component:
    fields = html.Div(
        [
            dmc.Select(
                id=KIND,
                label="Kind",
                data=[
                    {"value": "webhook", "label": "Webhook"},
                    {"value": "slack", "label": "Slack"},
                    {"value": "email", "label": "E-mail"},
                ],
                value="webhook",
                allowDeselect=False,
                size="sm",
            ),
            dmc.TextInput(id=CALLED, label="Name", placeholder="on-call", size="sm"),
            dmc.TextInput(id=TARGET, label="Address", placeholder=TARGETS["webhook"], size="sm"),
            dmc.PasswordInput(id=SECRET, label="Secret that signs webhooks", size="sm"),
            dmc.TagsInput(
                id=ONLY, label="Only where (empty: every alert)", data=_scopes(view), placeholder="team:payments",
                size="sm",
            ),
        ],
        className="fields",
    )  # fmt: skip
    return parts.card(
        "New channel",
        fields,
        html.Div(
            [
                dcc.Link("Cancel", href=view.href(form=None), className="button"),
                html.Button("Add channel", id=ADD, className="button main", n_clicks=0),
            ],
            className="form-acts",
        ),
        subtitle="an e-mail address is written mailto:name@example.org; addresses inside your network need "
        "JEVONS_ALLOW_PRIVATE_WEBHOOKS=1",
        extra="form",
    )


def amount_of(text: str) -> str:
    """An amount as people write it (`1,500.00`, `$1500`) as the decimal string of the API; as typed if it is none.

    What is no amount is left to the API, which says so.
    """
    cleaned = text.strip().removeprefix("$").replace(",", "").replace(" ", "")
    try:
        return plain(Decimal(cleaned)) or text
    except InvalidOperation:
        return text


def register(app: Dash) -> None:
    """Forms become requests; the browser sends them as the person who filled them in."""

    @app.callback(
        Output(acts.ASKED, "data", allow_duplicate=True),
        Input(SAVE, "n_clicks"),
        State(NAME, "value"),
        State(AMOUNT, "value"),
        State(PERIOD, "value"),
        State(ROLLING, "value"),
        State(SCOPE, "value"),
        State(THRESHOLDS, "value"),
        State(TOLD, "value"),
        State(OWNER, "value"),
        State(MODE, "value"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    def save(
        clicks: int | None,
        name: str,
        amount: str,
        period: str,
        days: int | None,
        scope: list[str],
        thresholds: list[str],
        told: list[str],
        owner: str,
        mode: str,
        href: str,
    ) -> Any:
        if not clicks:
            raise PreventUpdate
        try:
            view = shell.current_view(href)
        except JevonsError:
            return no_update
        which = view.get("form")
        body = {
            "name": name,
            "amount": amount_of(amount or ""),
            "period": period,
            "filter": scope or [],
            "thresholds": thresholds or [],
            "channels": told or [],
            "owner": owner or None,
            "mode": mode,
            "rolling_days": days if period == "rolling" else None,
        }
        method, path = ("PUT", f"/budgets/{which}") if which.isdecimal() else ("POST", "/budgets")
        then = view.href(form=None, confirm=None)
        return {**acts.request(view, method, path, body, "Saved.", then), "clicks": clicks}

    @app.callback(
        Output(acts.ASKED, "data", allow_duplicate=True),
        Input(ADD, "n_clicks"),
        State(KIND, "value"),
        State(CALLED, "value"),
        State(TARGET, "value"),
        State(SECRET, "value"),
        State(ONLY, "value"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    def add(
        clicks: int | None, kind: str, name: str, target: str, secret: str, only: list[str] | None, href: str
    ) -> Any:
        if not clicks:
            raise PreventUpdate
        view = shell.current_view(href)
        body = {
            "kind": kind, "name": name or "", "url": target or "", "secret": secret or None, "filter": only or [],
        }  # fmt: skip
        return {
            **acts.request(view, "POST", "/channels", body, "Added.", view.href(form=None)),
            "clicks": clicks,
        }

    @app.callback(Output(TARGET, "placeholder"), Input(KIND, "value"), prevent_initial_call=True)
    def example(kind: str) -> str:
        return TARGETS.get(kind, "")
