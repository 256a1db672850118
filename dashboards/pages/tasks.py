"""Tasks & sessions: what one unit of work costs, and which were far off."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dash import Dash, dcc, html
from dash.development.base_component import Component

from dashboards import data, parts, shell
from dashboards import format as fmt
from dashboards.books import current_books
from dashboards.distribution import histogram
from dashboards.downloads import costs_href
from dashboards.reader import current_reader
from dashboards.view import View
from models.core.queries import CostRow, Costs
from models.core.task_spread import TaskSpread

PATH = "/tasks"
TITLE = "Tasks & sessions · Jevons"
CHART = "tasks-histogram"
MOST_ROWS = 15


def build(view: View) -> Component:
    """Tiles, the distribution, the costliest tasks and sessions."""
    reader = current_reader()
    answer = reader.costs(view.costs("task", limit=MOST_ROWS + 2))
    if not answer.totals.calls:
        return html.Div([parts.page_header("Tasks & sessions", ["No task was worked on here."]), parts.teach(view)])
    spread = reader.task_spread(view.costs("task"))
    return html.Div(
        [
            parts.page_header(
                "Tasks & sessions",
                _sentence(spread),
                parts.csv_link(costs_href(view, "task")),
                parts.copy_link(view.href()),
            ),
            parts.safely("Tiles", view, lambda: _tiles(view, spread)),
            html.Div(parts.safely("Cost per task", view, lambda: _distribution(view, spread)), className="grid"),
            html.Div(
                [
                    html.Div(
                        parts.safely("Costliest tasks", view, lambda: _tasks(view, answer, spread)), className="w6"
                    ),
                    html.Div(parts.safely("Costliest sessions", view, lambda: _sessions(view)), className="w6"),
                ],
                className="grid",
            ),
        ]
    )


layout = shell.page(build)


def _sentence(spread: TaskSpread) -> list[Any]:
    if not spread.tasks:
        return ["No call names its task: set ", parts.strong("task.id"), " on a span to split spend by unit of work."]
    half = spread.quantiles["p50"]
    words: list[Any] = [
        "Half of ",
        parts.strong(fmt.plural(spread.tasks, "task")),
        " cost at most ",
        parts.strong(fmt.money_short(half), half),
        "; the costliest 5\u00a0% make up ",
        parts.strong(fmt.percent(spread.share_of_costliest, 0)),
        ".",
    ]
    if spread.unknown:
        words.append(f" What {fmt.plural(spread.unknown, 'more task')} cost is unknown.")
    return words


def _tiles(view: View, spread: TaskSpread) -> Component:
    found = spread.quantiles
    half, most, extreme = found.get("p50"), found.get("p95"), found.get("p99")
    return html.Div(
        [
            parts.tile(
                "Mean per task",
                fmt.money_short(spread.mean),
                note=fmt.plural(spread.tasks, "task"),
                title=_title(spread.mean),
            ),
            parts.tile("Median", fmt.money_short(half), note="half cost at most this", title=_title(half)),
            parts.tile(
                "95th percentile",
                fmt.money_short(most),
                note=f"99th {fmt.money_short(extreme)}",
                title=_title(most),
            ),
            _outcomes(view, spread),
        ],
        className="tiles",
    )


def _title(cost: Decimal | None) -> str:
    return fmt.money_exact(cost)


def _outcomes(view: View, spread: TaskSpread) -> Component:
    """How the tasks ended where anybody said so; filters do not narrow it, and then it is not shown."""
    without = spread.nameless
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


def _distribution(view: View, spread: TaskSpread) -> Component:
    if not spread.bins:
        return parts.card("Cost per task", html.P("No task has a cost.", className="note"))
    said = ", ".join(f"{name} {fmt.money_short(cost)}" for name, cost in spread.quantiles.items())
    return parts.card(
        "Cost per task",
        parts.graph(
            CHART,
            histogram(spread.bins, spread.quantiles, view.theme),
            300,
            f"Tasks by cost on a log axis: {said}.",
        ),
        subtitle="tasks per fifth of a factor of ten, log axis; quantiles are costs that a task really had",
        foot=f"{fmt.plural(spread.free, 'task')} without cost cannot stand on a log axis." if spread.free else None,
    )


def _tasks(view: View, answer: Costs, spread: TaskSpread) -> Component:
    rows = [row for row in data.largest_first(answer.rows, "task", view.basis) if row.keys["task"] is not None]
    more = f"{left:,} more in the CSV" if (left := spread.tasks + spread.unknown - MOST_ROWS) > 0 else None
    return _table(view, "Costliest tasks", "Task", "task", rows, more, spread.quantiles.get("p50"))


def _sessions(view: View) -> Component:
    answer = current_reader().costs(view.costs("session", limit=MOST_ROWS))
    rows = data.largest_first(answer.rows, "session", view.basis)
    more = html.A("All sessions as CSV", href=costs_href(view, "session")) if answer.next_cursor is not None else None
    return _table(view, "Costliest sessions", "Session", "session", rows, more)


def _table(
    view: View,
    title: str,
    head: str,
    dimension: str,
    rows: Sequence[CostRow],
    more: str | Component | None,
    half: Decimal | None = None,
) -> Component:
    """The first rows; `half` is the median that each is held against."""
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
    return parts.card(
        title,
        parts.table(columns, [shown(row) for row in rows[:MOST_ROWS]], title),
        foot=more,
    )


def register(_: Dash) -> None:
    """Everything on the page is a link."""
