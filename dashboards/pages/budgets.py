"""Budgets & alerts: who is over, what is running away, and what can be done about it now."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import acts, alerts, control_figures, control_forms, meters, parts, shell
from dashboards import format as fmt
from dashboards.asking import may
from dashboards.control_downloads import incidents_href
from dashboards.desk import Desk, current_desk
from dashboards.incident import incident_page
from dashboards.view import View
from models.core.controls import Channel, Incident, IncidentState
from models.core.desk import Delivery, Standing

PATH = "/budgets"
TITLE = "Budgets & alerts · Jevons"
BODY, BURN = "budgets-body", "budgets-burn"
TABS = (("Open", "open"), ("Muted", "muted"), ("Resolved", "resolved"))
MOST_SHOWN = 50


def build(view: View) -> Component:
    """The page, or one incident; what it shows is drawn anew after every action and with the clock."""
    return html.Div([acts.stores(), html.Div(_body(view), id=BODY), acts.said()])


layout = shell.page(build)


def _body(view: View) -> Component:
    desk = current_desk()
    if desk is None:
        header = parts.page_header("Budgets & alerts", ["This server shows pages only: it has no guardrails."])
        return html.Div([header])
    number = view.get("incident")
    if number:
        return incident_page(view, desk, number)
    incidents = list(desk.incidents(view.project.id))
    standings = list(desk.standings(view.project.id))
    channels, sent = desk.channels(view.project.id), desk.deliveries(view.project.id)
    form = view.get("form") if may("editor") else ""
    return html.Div(
        [
            parts.page_header(
                "Budgets & alerts",
                _sentence(incidents, standings),
                parts.csv_link(incidents_href(view)),
                parts.copy_link(view.href()),
            ),
            html.Div(control_forms.form(view, form, standings, channels), className="grid") if form else None,
            html.Div(parts.safely("Inbox", view, lambda: _inbox(view, incidents)), className="grid"),
            html.Div(parts.safely("Budgets", view, lambda: _budgets(view, standings)), className="grid"),
            html.Div(
                [
                    parts.safely("Burn", view, lambda: _burn(view, desk, standings)),
                    parts.safely("Channels", view, lambda: _channels(view, channels, sent)),
                ],
                className="split wide-side",
            ),
            html.Div(
                [
                    acts.way("Add a channel", view.href(form="channel")),
                    acts.way("Add a budget", view.href(form="budget"), "main"),
                ],
                className="thumb",
            )
            if not form and may("editor")
            else None,
        ],
        className="over-thumb",
    )


def _sentence(incidents: Sequence[Incident], standings: Sequence[Standing]) -> list[Any]:
    still = [one for one in incidents if one.state is IncidentState.OPEN]
    hot = max(
        (one for one in still if alerts.burning(one)), key=lambda one: one.cost_per_minute or Decimal(0), default=None
    )
    words: list[Any] = []
    if not still:
        words.append("No alert is open.")
    elif hot is not None:
        many = f"{len(still)} alerts are" if len(still) > 1 else "One alert is"
        own = "one is burning money now" if len(still) > 1 else "it is burning money now"
        name = hot.agent or hot.team or hot.session or "an agent without a name"
        words += [
            f"{many} open and ",
            parts.strong(own),
            f": {name}, {fmt.money_short(hot.cost_per_minute)} a minute.",
        ]
    else:
        words += [parts.strong("One alert is" if len(still) == 1 else f"{len(still)} alerts are"), " open."]
    over = [one for one in standings if one.percent >= 100]
    coming = [one for one in standings if one.will_exceed and one.percent < 100]
    if over:
        verb = "is" if len(over) == 1 else "are"
        words += [" ", parts.strong(", ".join(one.budget.name for one in over)), f" {verb} over budget."]
    if coming:
        first = coming[0]
        words += [
            " ",
            parts.strong(first.budget.name),
            f" is on the way to {fmt.money_short(first.forecast)} of {fmt.money_short(first.budget.amount)}.",
        ]
    if standings and not over and not coming:
        words.append(" Every budget is on plan.")
    return words


def _of_tab(incidents: Sequence[Incident], tab: str) -> list[Incident]:
    if tab == "open":
        return [one for one in incidents if one.state is IncidentState.OPEN]
    if tab == "muted":
        return [one for one in incidents if one.state in alerts.MUTED]
    return [one for one in incidents if one.state is IncidentState.RESOLVED]


def _inbox(view: View, incidents: Sequence[Incident]) -> Component:
    tab = view.get("inbox", "open")
    if tab not in dict(TABS).values():
        tab = "open"
    shown = _of_tab(incidents, tab)
    choices = [
        (f"{name} {len(_of_tab(incidents, key))}", view.href(inbox=None if key == "open" else key), key == tab)
        for name, key in TABS
    ]
    body: list[Any] = (
        [_inbox_table(view, shown[:MOST_SHOWN]), _inbox_lines(view, shown[:MOST_SHOWN])]
        if shown
        else [_quiet(view, tab, incidents)]
    )
    more = f"{len(shown) - MOST_SHOWN} older ones in the CSV" if len(shown) > MOST_SHOWN else None
    return parts.card(
        "Inbox",
        *body,
        subtitle="one alert per cause; it updates instead of repeating",
        end=parts.segments("Which alerts", choices),
        foot=more,
    )


def _quiet(view: View, tab: str, incidents: Sequence[Incident]) -> Component:
    if tab == "muted":
        return html.P("Nothing was acknowledged or snoozed.", className="note")
    if tab == "resolved":
        return html.P("Nothing was resolved yet.", className="note")
    last = incidents[0] if incidents else None
    watched = (
        "Each trace is watched as it arrives: the same step five times in a row, cycles, retry storms, contexts that "
        "only grow, and more than 50 live sub-agents. Budgets and burn rates are checked every minute."
    )
    before = (
        html.P(["The last one: ", alerts.link(view, last), f", {alerts.fact(last)}."], className="note")
        if last is not None
        else None
    )
    return html.Div([html.P(["Nothing runs away. ", watched], className="quiet-inbox"), before])


def _inbox_table(view: View, incidents: Sequence[Incident]) -> Component:
    rows = [
        html.Tr(
            [
                html.Td(
                    html.Div(
                        [
                            html.Span(className=f"bar {_tone(one)}", **parts.aria(hidden="true")),
                            html.Div(
                                [
                                    alerts.link(view, one),
                                    html.Div([f"{one.severity} · ", alerts.fact(one)], className="card-sub"),
                                ],
                                className="said-of",
                            ),
                        ],
                        className="alert",
                    )
                ),
                html.Td(one.team or fmt.UNKNOWN),
                html.Td(alerts.since(one, view.now), className="num"),
                parts.number(alerts.per_minute(one), fmt.money_exact(one.cost_per_minute)),
                parts.number(_so_far(one), fmt.money_exact(one.cost_so_far), "strong"),
                html.Td(alerts.state_badge(one)),
                html.Td(html.Div(alerts.buttons(view, one), className="row-acts")),
            ]
        )
        for one in incidents
    ]
    head = [
        ("Alert", False), ("Team", False), ("Since, UTC", False), ("Burn", True), ("So far", True), ("State", False),
        ("", False),
    ]  # fmt: skip
    return html.Div(parts.table(head, rows, "Alerts", "inbox"), className="hide-narrow")


def _so_far(incident: Incident) -> str:
    return fmt.money(incident.cost_so_far, fmt.digits_for(incident.cost_so_far))


def _tone(incident: Incident) -> str:
    return "" if incident.state is IncidentState.RESOLVED else incident.severity


def _inbox_lines(view: View, incidents: Sequence[Incident]) -> Component:
    """The inbox of a phone: the whole row opens the incident, where the buttons are under the thumb."""
    items: list[Any] = []
    for one in incidents:
        running = one.state is not IncidentState.RESOLVED and one.cost_per_minute is not None
        number = alerts.per_minute(one) if running else _so_far(one)
        facts = " · ".join(part for part in (one.team, alerts.since(one, view.now)) if part)
        inside = html.Div(
            [
                html.Span(className=f"bar {_tone(one)}", **parts.aria(hidden="true")),
                html.Div(
                    [
                        html.Div(
                            [html.Span(alerts.headline(one)), html.Span(number, className="num")],
                            className="first strong",
                        ),
                        html.Div(alerts.fact(one), className="quiet-line"),
                        html.Div([f"{one.severity} · {facts} ", alerts.state_badge(one)], className="second"),
                    ],
                    className="said-of",
                ),
            ],
            className="alert",
        )
        items.append(html.Li(dcc.Link(inside, href=alerts.href(view, one))))
    return html.Ul(items, className="lines")


def _budgets(view: View, standings: Sequence[Standing]) -> Component:
    add = acts.way([parts.icon("plus"), "Budget"], view.href(form="budget"), "hide-narrow")
    if not standings:
        return parts.card(
            "Budgets",
            html.P(
                "No budget yet. A budget is an amount for a day, a week or a month over anything you can filter by: "
                "a team, an agent, a model, a tag. It speaks at the thresholds you name and when the forecast passes "
                "the amount; it counts what its period has spent already.",
                className="quiet-inbox",
            ),
            html.Div(
                acts.way("Add the first budget", view.href(form="budget"), "main"),
                className="chips",
            ),
            subtitle="none in force",
        )
    rows = [_budget_row(view, one) for one in standings]
    head = [
        ("Budget", False), ("Scope", False), ("Spent", True), ("Amount", True), ("Used", True),
        ("Spent and forecast; tick = 100 %", False), ("Forecast", True), ("Mode", False), ("", False),
    ]  # fmt: skip
    lines = [
        html.Li(
            dcc.Link(
                [
                    html.Div(
                        [
                            html.Span([html.B(one.budget.name), " ", html.Span(_scope(one), className="quiet")]),
                            html.Span(f"{one.percent:.0f} %", className="num strong"),
                        ],
                        className="first",
                    ),
                    meters.burn_track(one.percent, _expected(one), one.will_exceed),
                    html.Div(
                        [
                            html.Span(f"{_whole(one.spent)} of {_whole(one.budget.amount)}"),
                            html.Span(["forecast ", html.Span(_whole(one.forecast), className=_warm(one))]),
                        ],
                        className="second first",
                    ),
                ],
                href=view.href(budget=str(one.budget.id)),
            )
        )
        for one in standings
    ]
    return parts.card(
        "Budgets",
        html.Div(parts.table(head, rows, "Budgets", "budgets"), className="hide-narrow"),
        html.Ul(lines, className="lines"),
        subtitle="the period in force of each; pale is the forecast",
        end=add,
    )


def _budget_row(view: View, one: Standing) -> html.Tr:
    budget = one.budget
    mode = parts.badge("hard cap", "accent", "lock") if budget.mode == "enforce" else budget.mode
    return html.Tr(
        [
            html.Td(dcc.Link(budget.name, href=view.href(budget=str(budget.id)), className="strong")),
            html.Td(_scope(one), className="quiet"),
            parts.number(fmt.money(one.spent), fmt.money_exact(one.spent)),
            parts.number(_whole(budget.amount), fmt.money_exact(budget.amount)),
            parts.number(f"{one.percent:.1f} %"),
            html.Td(meters.burn_track(one.percent, _expected(one), one.will_exceed), className="wide-cell"),
            parts.number(_whole(one.forecast), fmt.money_exact(one.forecast), _warm(one)),
            html.Td(mode, className="quiet"),
            html.Td(html.Div(acts.way("Edit", view.href(form=str(budget.id))), className="row-acts")),
        ],
        className="chosen" if view.get("budget") == str(budget.id) else None,
    )


def _scope(one: Standing) -> str:
    every = f"rolling {one.budget.rolling_days} d" if one.budget.period == "rolling" else one.budget.period
    return f"{', '.join(one.budget.filters) or 'all'}, {every}"


def _expected(one: Standing) -> Decimal | None:
    return None if one.forecast is None else one.forecast * 100 / one.budget.amount


def _whole(amount: Decimal | None) -> str:
    """Budget amounts and forecasts in whole dollars, where they are large enough for it."""
    return fmt.money(amount, 0 if amount is not None and abs(amount) >= 1000 else 2)


def _warm(one: Standing) -> str:
    return "up" if one.will_exceed else ""


def _burn(view: View, desk: Desk, standings: Sequence[Standing]) -> Component:
    if not standings:
        return parts.card("Burn", html.P("A budget shows here how fast it is used.", className="note"))
    wanted = view.get("budget")
    worst = max(standings, key=lambda one: (_expected(one) or one.percent, one.percent))
    one = next((each for each in standings if str(each.budget.id) == wanted), worst)
    found = desk.burndown(view.project.id, one.budget.id)
    figure = control_figures.burn_down(found, one.budget.amount, view.theme)
    last = control_figures.label_of_day(found.last)
    amount = fmt.money(one.budget.amount, 0)
    if found.crosses is not None:
        past = found.crosses <= view.now.date()
        said = f"{'Crossed' if past else 'Crosses'} {amount} on {control_figures.label_of_day(found.crosses)}."
    elif found.end is not None:
        said = f"Stays under {amount} until {last}."
    else:
        said = "No forecast yet: it takes seven whole days with spend."
    if found.end is not None:
        said += f" {last}: {fmt.money_short(found.end.low)} to {fmt.money_short(found.end.high)} (80 %)."
    return parts.card(
        f"Burn: {one.budget.name}",
        parts.graph(BURN, figure, 190, f"{one.budget.name}: {fmt.money_short(one.spent)} of {amount} spent. {said}"),
        subtitle=f"cumulative spend against the budget, UTC days; thresholds at "
        f"{', '.join(map(str, one.budget.thresholds))} %" + (f"; owner {one.budget.owner}" if one.budget.owner else ""),
        foot=f"{said} Grey line: even pace.",
    )


def _channels(view: View, channels: Sequence[Channel], sent: Sequence[Delivery]) -> Component:
    add = acts.way([parts.icon("plus"), "Channel"], view.href(form="channel"), "hide-narrow")
    if not channels:
        return parts.card(
            "Channels",
            html.P(
                "Nobody is told yet. A webhook, a Slack hook or a mail address gets every alert of this project, "
                "signed, at least once, with a stable dedup key.",
                className="quiet-inbox",
            ),
            html.Div(acts.way("Add a channel", view.href(form="channel"), "main"), className="chips"),
            subtitle="where alerts go",
        )
    rows = [_channel_row(view, channel, [one for one in sent if one.channel_id == channel.id]) for channel in channels]
    head = [("Channel", False), ("Last delivery", False), ("", False)]
    return parts.card("Channels", parts.table(head, rows, "Channels", "channels"), subtitle="where alerts go", end=add)


def _channel_row(view: View, channel: Channel, sent: Sequence[Delivery]) -> html.Tr:
    dead = [one for one in sent if one.state == "dead"]
    arrived = next((one for one in sent if one.delivered_at is not None), None)
    if dead:
        said: Any = html.Span(f"{len(dead)} in dead letters", className="critical-text", title=dead[0].last_error or "")
        ask = acts.request(view, "POST", f"/deliveries/{dead[0].id}/retry", said="It is sent again.")
        first = acts.button("Retry", ask, title=dead[0].last_error or "")
    else:
        took = arrived.delivered_at - arrived.created_at if arrived and arrived.delivered_at else None
        said = (
            f"{fmt.day_and_time(arrived.created_at)}, {fmt.span_of_time(took)}"
            if arrived is not None and took is not None
            else "none yet"
        )
        ask = acts.request(view, "POST", f"/channels/{channel.id}/test", said=f"{channel.name} took the test.")
        first = acts.button("Test", ask, title="Send a message that says it is a test")
    if view.get("remove") == str(channel.id):
        gone = acts.request(view, "DELETE", f"/channels/{channel.id}", then=view.href(remove=None))
        second: Component | None = acts.button("Confirm", gone, "danger")
    else:
        second = acts.way("Remove", view.href(remove=str(channel.id)))
    dot = html.Span(className="dot bad" if dead else "dot" if arrived else "dot none", **parts.aria(hidden="true"))
    return html.Tr(
        [
            html.Td(
                html.Span(
                    [
                        dot,
                        html.Span(
                            [channel.name, html.Span(f" {channel.kind.value}", className="quiet")], className="cut"
                        ),
                    ],
                    className="channel",
                    title=", ".join(channel.filters) or "every alert",
                )
            ),
            html.Td(said, className="quiet num"),
            html.Td(html.Div([first, second], className="row-acts")),
        ]
    )


def register(app: Dash) -> None:
    """Redraw after an action and with the clock; a form that is being filled in is left alone."""
    control_forms.register(app)

    @app.callback(
        Output(BODY, "children"),
        Input(acts.DONE, "data"),
        Input(shell.TICK, "n_intervals"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    async def redraw(done: float | None, _: int | None, href: str) -> Any:
        view = await asyncio.to_thread(shell.current_view, href)
        if view.path != PATH or view.get("form"):
            raise PreventUpdate
        return await asyncio.to_thread(_body, view) if done or _ else no_update


def open_alerts(view: View) -> Sequence[Incident]:
    """Open incidents of a project, the costliest a minute first; empty without guardrails."""
    desk = current_desk()
    found = desk.incidents(view.project.id) if desk is not None else []
    still = [one for one in found if one.state is IncidentState.OPEN]
    return sorted(still, key=lambda one: (one.severity != "critical", -(one.cost_per_minute or Decimal(0))))
