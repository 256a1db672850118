"""Is it on plan? The month-end forecast, the burn of the tightest budget, and the alerts that are open."""

from calendar import monthrange
from datetime import timedelta
from decimal import Decimal
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboards import alerts, curves, meters, parts
from dashboards import format as fmt
from dashboards.desk import current_desk
from dashboards.kept import kept
from dashboards.view import View
from models.core.controls import Incident, IncidentState
from models.core.desk import Standing
from models.core.errors import BadInput

MOST_ALERTS = 5
KEPT_SECONDS = 20.0


def standings(view: View) -> list[Standing]:
    """Budgets of the project; those of a month first, then the ones that are used most."""
    desk = current_desk()
    if desk is None:
        return []
    found = kept(("standings", view.project.id), lambda: list(desk.standings(view.project.id)), KEPT_SECONDS)
    return sorted(found, key=lambda one: (bool(one.budget.filters), one.budget.period != "month", -one.percent))


def forecast_tile(view: View) -> Component:
    """Where this month ends, with its 80 % interval, and a link to how it is known."""
    href = view.href("/spend-curves")
    try:
        found = curves.ahead(view)
    except BadInput:
        return parts.tile("Month-end forecast", fmt.UNKNOWN, note="it takes seven whole days with spend", href=href)
    band = found.month_end

    def dollars(amount: float) -> str:
        return fmt.money_short(Decimal(str(round(amount, 2))))

    last = monthrange(found.today.year, found.today.month)[1]
    return parts.tile(
        f"{found.today:%B} forecast",
        dollars(band.middle),
        note=f"80 %: {dollars(band.low_80)} to {dollars(band.high_80)}",
        title=f"{last - found.today.day + 1} days to come, from whole days to {found.today - timedelta(days=1)}",
        href=href,
    )


def budget_tile(view: View) -> Component | None:
    """How much of the widest budget is used, beside how much of its time is gone; None without a budget."""
    found = standings(view)
    if not found:
        return None
    one = found[0]
    gone = (view.now - one.start) / (one.end - one.start)
    expected = None if one.forecast is None else one.forecast * 100 / one.budget.amount
    note = f"of {fmt.money_short(one.budget.amount)}; {gone:.0%} gone".replace("%", f"{fmt.NBSP}%")
    return parts.tile(
        f"Budget burn, {one.budget.name}",
        f"{one.percent:.1f}{fmt.NBSP}%",
        note=[note, meters.burn_track(one.percent, expected, one.will_exceed)],
        title=f"{fmt.money_exact(one.spent)} of {fmt.money_exact(one.budget.amount)}",
        href=view.href("/budgets", budget=str(one.budget.id)),
    )


def open_alerts(view: View) -> list[Incident]:
    """Open incidents of the project, the most urgent first; empty without guardrails."""
    desk = current_desk()
    if desk is None:
        return []
    # Asked anew each time: who has just acknowledged an alert must not see it open on the next page.
    still = [one for one in desk.incidents(view.project.id) if one.state is IncidentState.OPEN]
    return sorted(still, key=lambda one: (one.severity != "critical", -(one.cost_per_minute or Decimal(0))))


def alerts_card(view: View) -> Component:
    """The open alerts beside the spend, each leading to its evidence."""
    found = open_alerts(view)
    rows: list[Any] = [_row(view, one) for one in found[:MOST_ALERTS]]
    if not found:
        rows.append(html.P("Nothing runs away and no budget is over.", className="note"))
    more = f"{len(found) - MOST_ALERTS} more" if len(found) > MOST_ALERTS else None
    return parts.card(
        "Open alerts",
        html.Div(rows, className="open-alerts"),
        end=dcc.Link("Inbox", href=view.href("/budgets"), className="trace-link strong"),
        foot=more,
    )


def _row(view: View, one: Incident) -> Component:
    digits = fmt.digits_for(one.cost_so_far)
    if one.kind == "budget":
        big = f"{Decimal(one.evidence['percent']):.0f}{fmt.NBSP}%"
        small = f"of {fmt.money_short(Decimal(one.evidence['amount']))}"
    else:
        big = alerts.per_minute(one)
        small = f"{fmt.money(one.cost_so_far, digits)} so far"
    owner = " · ".join(part for part in (one.severity, one.team, f"since {alerts.since(one, view.now)}") if part)
    return html.Div(
        [
            html.Span(className=f"bar {one.severity}", **parts.aria(hidden="true")),
            html.Div(
                [
                    html.Div([alerts.link(view, one), html.Span(big, className="num strong")], className="first"),
                    html.Div(
                        [html.Span(owner), html.Span(small, className="num", title=fmt.money_exact(one.cost_so_far))],
                        className="first note",
                    ),
                ],
                className="said-of",
            ),
        ],
        className="alert",
    )
