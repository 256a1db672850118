"""Top movers: the agents, models or teams whose cost changed most, with the shape of their days.

Without a comparison: the largest, with their shares.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from dashboards import data, parts
from dashboards import format as fmt
from dashboards.identity import colour, places
from dashboards.view import View
from models.core.queries import CostRow
from models.core.vocabulary import Granularity

NAMELESS = {"model": "no model", "agent": "no agent attribute", "team": "no team"}
NO_CALL = "own capacity, no call"
MOVERS = 4


def nameless(dimension: str, row: CostRow | None) -> str:
    """What has no value of a dimension: calls that name none, or hours of own hardware that served none."""
    return NO_CALL if row is not None and row.calls == 0 else NAMELESS[dimension]


def movers(view: View, dimension: str, title: str) -> Component:
    """The groups whose cost changed most against the comparison, with their days."""
    now = {row.keys.get(dimension): row for row in data.whole(view.costs(dimension)).rows}
    then = (
        {
            row.keys.get(dimension): row
            for row in data.whole(view.costs(dimension, period=view.compare, until=view.compare_until)).rows
        }
        if view.compare
        else {}
    )

    def spent(rows: dict[str | None, CostRow], name: str | None) -> Decimal | None:
        # A group without calls spent nothing; one with unpriced calls only is unknown.
        return rows[name].cost(view.basis) if name in rows else Decimal(0)

    names = [name for name in {*now, *then} if spent(now, name) is not None and spent(then, name) is not None]

    def change(name: str | None) -> Decimal:
        return (spent(now, name) or Decimal(0)) - (spent(then, name) or Decimal(0))

    chosen = sorted(names, key=lambda name: (-abs(change(name)), name or ""))[:MOVERS]
    over_time = _steps_of(view, dimension, chosen)
    known = places(view.project, dimension)
    total = data.add(spent(now, name) for name in now)
    digits = 0 if total is not None and total >= 1000 else min(2, fmt.digits_for(total)) if total else 2
    steps = [step for step in view.steps if not view.is_open or step <= view.now.date()]

    def row(name: str | None) -> html.Tr:
        mark = parts.swatch(colour(known.get(name) if name else None, view.theme)) if dimension == "model" else None
        link = dcc.Link(
            name or nameless(dimension, now.get(name)), href=view.with_filter((dimension, name)), title=name or ""
        )
        share = fmt.share_of(spent(now, name), total)
        moved = (
            parts.number(
                fmt.money_change(spent(now, name), spent(then, name), digits),
                fmt.money_exact(change(name)),
                parts.change_class(spent(now, name), spent(then, name)),
            )
            if view.compare
            else parts.number(fmt.share(share))
        )
        shape = _sparkline([over_time.get(name, {}).get(step) for step in steps])
        cost = parts.number(fmt.money(spent(now, name), digits), fmt.money_exact(spent(now, name)))
        return html.Tr([html.Td([mark, link], className="name"), cost, moved, html.Td(shape, className="n")])

    shape = "Monthly" if view.grain is Granularity.MONTH else "Daily"
    head = [(title, False), ("Spend", True), ("Change" if view.compare else "Share", True), (shape, True)]
    plural = f"{title.lower()}s"
    return parts.card(
        f"Top movers · {plural}" if view.compare else f"Largest {plural}",
        parts.table(
            head,
            [row(name) for name in chosen],
            f"{title}s whose spend changed most" if view.compare else f"{title}s that cost most",
        ),
        end=html.Span(f"vs {view.compare.label(False)}", className="note") if view.compare else None,
    )


def _steps_of(view: View, dimension: str, names: Sequence[str | None]) -> dict[str | None, dict[date, Decimal]]:
    found: dict[str | None, dict[date, Decimal]] = {}
    if not names:
        return found
    only = [(dimension, name) for name in names]
    for row in data.whole(view.costs(dimension, by=view.grain, only=only)).rows:
        cost = row.cost(view.basis)
        if row.time is not None and cost is not None:
            found.setdefault(row.keys.get(dimension), {})[row.time.date()] = cost
    return found


def _sparkline(costs: Sequence[Decimal | None]) -> Component:
    # Shape only: a day without calls is drawn at nothing, the amounts stand beside it.
    values = [0.0 if cost is None else float(cost) for cost in costs]
    if len(values) < 2:
        return html.Span(fmt.UNKNOWN, className="quiet")
    return html.Div(
        dmc.Sparkline(
            data=values, w=56, h=22, color="var(--ink-3)", fillOpacity=0.12, curveType="linear", strokeWidth=1.5
        ),
        className="spark",
        **parts.aria(hidden="true"),
    )
