"""Tasks & sessions: what one unit of work costs, and which were far off."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dash import Dash, dcc, html
from dash.development.base_component import Component

from dashboards import data, parts, shell
from dashboards import format as fmt
from dashboards.books import current_books
from dashboards.distribution import histogram, quantile, share_of_costliest
from dashboards.downloads import costs_href
from dashboards.view import View
from models.core.queries import CostRow, Costs

PATH = "/tasks"
TITLE = "Tasks & sessions · Jevons"
CHART = "tasks-histogram"
MOST_ROWS = 15
QUANTILES = (("p50", Decimal("0.5")), ("p95", Decimal("0.95")), ("p99", Decimal("0.99")))


def build(view: View) -> Component:
    """Tiles, the distribution, the costliest tasks and sessions."""
    answer = data.whole(view.costs("task"))
    if not answer.totals.calls:
        return html.Div([parts.page_header("Tasks & sessions", ["No task was worked on here."]), parts.teach(view)])
    costs = sorted(
        cost for row in answer.rows if row.keys["task"] is not None and (cost := row.cost(view.basis)) is not None
    )
    return html.Div(
        [
            parts.page_header(
                "Tasks & sessions",
                _sentence(view, answer, costs),
                parts.csv_link(costs_href(view, "task")),
                parts.copy_link(view.href()),
            ),
            parts.safely("Tiles", view, lambda: _tiles(view, answer, costs)),
            html.Div(parts.safely("Cost per task", view, lambda: _distribution(view, costs)), className="grid"),
            html.Div(
                [
                    html.Div(
                        parts.safely("Costliest tasks", view, lambda: _tasks(view, answer, costs)), className="w6"
                    ),
                    html.Div(parts.safely("Costliest sessions", view, lambda: _sessions(view)), className="w6"),
                ],
                className="grid",
            ),
        ]
    )


layout = shell.page(build)


def _sentence(view: View, answer: Costs, costs: Sequence[Decimal]) -> list[Any]:
    if not costs:
        return ["No call names its task: set ", parts.strong("task.id"), " on a span to split spend by unit of work."]
    half = quantile(costs, Decimal("0.5"))
    words: list[Any] = [
        "Half of ",
        parts.strong(fmt.plural(len(costs), "task")),
        " cost at most ",
        parts.strong(fmt.money_short(half), half),
        "; the costliest 5\u00a0% make up ",
        parts.strong(fmt.percent(share_of_costliest(costs, Decimal("0.05")), 0)),
        ".",
    ]
    unknown = sum(row.keys["task"] is not None and row.cost(view.basis) is None for row in answer.rows)
    if unknown:
        words.append(f" What {fmt.plural(unknown, 'more task')} cost is unknown.")
    if answer.next_cursor is not None:
        words.append(f" Only the {len(answer.rows):,} costliest are looked at here; the CSV has all.")
    return words


def _tiles(view: View, answer: Costs, costs: Sequence[Decimal]) -> Component:
    mean = sum(costs, Decimal(0)) / len(costs) if costs else None
    found = {name: quantile(costs, share) for name, share in QUANTILES}
    return html.Div(
        [
            parts.tile("Mean per task", fmt.money_short(mean), note=fmt.plural(len(costs), "task"), title=_title(mean)),
            parts.tile(
                "Median", fmt.money_short(found["p50"]), note="half cost at most this", title=_title(found["p50"])
            ),
            parts.tile(
                "95th percentile",
                fmt.money_short(found["p95"]),
                note=f"99th {fmt.money_short(found['p99'])}",
                title=_title(found["p95"]),
            ),
            _outcomes(view, answer),
        ],
        className="tiles",
    )


def _title(cost: Decimal | None) -> str:
    return fmt.money_exact(cost)


def _outcomes(view: View, answer: Costs) -> Component:
    """How the tasks ended where anybody said so; filters do not narrow it, and then it is not shown."""
    without = next((row.cost(view.basis) for row in answer.rows if row.keys["task"] is None), None)
    lost = f"{fmt.money_short(without)} belongs to no task" if without else "all spend belongs to a task"
    books = current_books()
    known = books.outcomes(view.project.id, view.period.start, view.period.end) if books and not view.filters else None
    if known is None or not known.accepted + known.rejected + known.failed:
        note = "Nobody said how a task ended: POST /api/v1/outcomes"
        return html.Div(
            [
                html.Div("Cost per accepted task", className="tile-label"),
                html.Span(fmt.UNKNOWN, className="tile-value"),
                html.Div([note, html.Br(), lost], className="tile-note"),
            ],
            className="tile wide",
        )
    told = (
        f"{known.accepted:,} accepted, {known.rejected:,} rejected, {known.failed:,} failed, {known.unknown:,} unknown"
    )
    return html.Div(
        [
            html.Div("Cost per accepted task, all others paid for", className="tile-label"),
            html.Span(
                fmt.money_short(known.cost_per_accepted),
                className="tile-value",
                title=fmt.money_exact(known.cost_per_accepted),
            ),
            html.Div([told, html.Br(), lost], className="tile-note"),
        ],
        className="tile wide",
    )


def _distribution(view: View, costs: Sequence[Decimal]) -> Component:
    if not any(cost > 0 for cost in costs):
        return parts.card("Cost per task", html.P("No task has a cost.", className="note"))
    marks = [(name, quantile(costs, share)) for name, share in QUANTILES]
    said = ", ".join(f"{name} {fmt.money_short(cost)}" for name, cost in marks)
    free = sum(cost <= 0 for cost in costs)
    return parts.card(
        "Cost per task",
        parts.graph(CHART, histogram(costs, marks, view.theme), 300, f"Tasks by cost on a log axis: {said}."),
        subtitle="tasks per fifth of a factor of ten, log axis; quantiles are costs that a task really had",
        foot=f"{fmt.plural(free, 'task')} without cost cannot stand on a log axis." if free else None,
    )


def _tasks(view: View, answer: Costs, costs: Sequence[Decimal]) -> Component:
    rows = [row for row in data.largest_first(answer.rows, "task", view.basis) if row.keys["task"] is not None]
    half = quantile(costs, Decimal("0.5"))
    return _table(view, "Costliest tasks", "Task", "task", rows, half)


def _sessions(view: View) -> Component:
    rows = data.largest_first(data.whole(view.costs("session")).rows, "session", view.basis)
    return _table(view, "Costliest sessions", "Session", "session", rows, None)


def _table(
    view: View, title: str, head: str, dimension: str, rows: Sequence[CostRow], half: Decimal | None
) -> Component:
    digits = max((fmt.digits_for(row.cost(view.basis)) for row in rows[:1]), default=2)

    def shown(row: CostRow) -> html.Tr:
        name, cost = row.keys[dimension], row.cost(view.basis)
        times = "" if half is None or not half or cost is None else f"{cost / half:,.1f} ×"
        href = view.with_filter((dimension, name), path="/calls")
        last = parts.number(times) if half is not None else parts.number(fmt.count(row.tasks))
        return html.Tr(
            [
                html.Td(dcc.Link(name or f"no {dimension}", href=href, title=name or ""), className="name"),
                parts.number(fmt.count(row.calls)),
                parts.number(fmt.money(cost, digits), fmt.money_exact(cost)),
                last,
            ]
        )

    columns = [(head, False), ("Calls", True), ("Cost", True), ("Of median" if half is not None else "Tasks", True)]
    left = len(rows) - MOST_ROWS
    return parts.card(
        title,
        parts.table(columns, [shown(row) for row in rows[:MOST_ROWS]], title),
        foot=f"{left:,} more in the CSV" if left > 0 else None,
    )


def register(_: Dash) -> None:
    """Everything on the page is a link."""
