"""Overview: how much, where, and what changed."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import data, figures, parts, sample_tour, shell
from dashboards import format as fmt
from dashboards.data import Group
from dashboards.downloads import costs_href
from dashboards.identity import colour, places
from dashboards.movers import NAMELESS, movers, nameless
from dashboards.overview_tiles import RunRate, known, run_rate, tiles
from dashboards.period import Period, month_of
from dashboards.plan import alerts_card
from dashboards.theme import GREY
from dashboards.view import View, parse_filter
from models.core.queries import CostRow, Costs
from models.core.vocabulary import Granularity

PATH = "/"
TITLE = "Overview · Jevons"
CHART = "overview-by-day"
DIMENSIONS = (("Model", "model"), ("Agent", "agent"), ("Team", "team"))


def build(view: View) -> Component:
    """Header, tiles, spend by day, movers."""
    dimension = view.get("by", "model")
    if dimension not in NAMELESS:
        dimension = "model"
    groups, answer = data.groups_by_step(view, dimension)
    if not answer.totals.calls:
        header = parts.page_header("Overview", ["Nothing was spent here yet."])
        return html.Div([header, parts.teach(view)])
    before = data.whole(view.costs(period=view.compare, until=view.compare_until)).totals if view.compare else None
    run = run_rate(view)
    title = "Spend by month" if view.grain is Granularity.MONTH else "Spend by day"
    return html.Div(
        [
            parts.page_header(
                "Overview",
                _sentence(view, answer, before, groups),
                parts.csv_link(costs_href(view, dimension, granularity=view.grain)),
                parts.copy_link(view.href()),
            ),
            sample_tour.price_cut(view) if "period" not in view.query else None,
            _quality(view, answer.totals),
            parts.safely("Tiles", view, lambda: tiles(view, answer.totals, before, run)),
            html.Div(
                [
                    parts.safely(title, view, lambda: _over_time(view, title, dimension, groups, answer, run)),
                    parts.safely("Open alerts", view, lambda: alerts_card(view)),
                ],
                className="with-side",
            ),
            html.Div(
                [
                    html.Div(
                        parts.safely(f"Top {name.lower()}s", view, partial(movers, view, key, name)),
                        className="w4",
                    )
                    for name, key in (DIMENSIONS[1], DIMENSIONS[0], DIMENSIONS[2])
                ],
                className="grid",
            ),
        ]
    )


layout = shell.page(build)


def _sentence(view: View, answer: Costs, before: CostRow | None, groups: Sequence[Group]) -> list[Any]:
    """Spend, change and the largest part, from the same answers as the tiles."""
    spend = answer.totals.cost(view.basis)
    passed = _days_passed(view)
    span = fmt.plural(passed, "day") if view.grain is Granularity.DAY else view.period.label()
    words: list[Any] = ["Spend is ", parts.strong(f"{fmt.money_short(spend)} in {span}", spend)]
    earlier = known(before, view)
    if spend is not None and earlier and view.compare is not None:
        share = spend / earlier - 1
        direction = "above" if share >= 0 else "below"
        words.append(f", {fmt.percent(abs(share))} {direction} {view.compare.label(False)}")
    elif view.compare is not None:
        words.append(f"; there is none in {view.compare.label()} to compare with")
    words.append(". ")
    largest = groups[0] if groups else None
    if largest is not None and largest.row is not None and largest.name is not None and spend:
        share = fmt.percent(fmt.share_of(largest.cost, spend), 0)
        words += [parts.strong(largest.name), f" is {share} of it."]
    return words


def _days_passed(view: View) -> int:
    if not view.is_open:
        return view.period.days
    return (view.now.date() - view.period.first).days + 1


def _quality(view: View, totals: CostRow) -> Component | None:
    if not totals.unpriced_calls:
        return None
    return html.Div(
        [
            parts.icon("warning"),
            html.Span(
                f"{fmt.plural(totals.unpriced_calls, 'call')} with {fmt.tokens(totals.unpriced_tokens)} tokens "
                "have no price and are in no amount on this page."
                if totals.unpriced_tokens
                else f"{fmt.plural(totals.unpriced_calls, 'call')} reported no tokens, most of them failed: "
                "what they cost is unknown and in no amount on this page."
            ),
            dcc.Link("Which ones", href=view.href("/calls", only="unpriced")),
        ],
        className="quality",
        role="note",
    )


def _over_time(
    view: View, title: str, dimension: str, groups: Sequence[Group], answer: Costs, run: RunRate
) -> Component:
    by_month = view.grain is Granularity.MONTH
    known = places(view.project, dimension)

    def tone(group: Group) -> str:
        return colour(known.get(group.name) if group.name and group.row else None, view.theme)

    # Same order in chart and table; grey parts lie on top.
    stack = [
        figures.Series(
            _name(dimension, group),
            tone(group),
            group.days,
            "" if group.members > 1 else f"{dimension}:{group.name or ''}",
        )
        for group in sorted(groups, key=lambda group: tone(group) == colour(GREY, view.theme))
    ]
    today = view.now.date()
    running = None
    if view.is_open:
        running = figures.Running(month_of(today).first) if by_month else figures.Running(today, run.rate or None)
    figure = figures.spend_over_time(view.steps, stack, running, view.theme, by_month)
    total = answer.totals.cost(view.basis)
    digits = fmt.digits_for(total)
    rows = [
        html.Tr(
            [
                html.Td([parts.swatch(tone(group)), _linked(view, dimension, group)], className="name"),
                parts.number(fmt.money(group.cost, digits), fmt.money_exact(group.cost)),
                parts.number(fmt.share(fmt.share_of(group.cost, total))),
            ]
        )
        for group in groups
    ]
    rows.append(
        html.Tr(
            [
                html.Td("Total"),
                parts.number(fmt.money(total, digits), fmt.money_exact(total)),
                parts.number("100\u00a0%"),
            ],
            className="total",
        )
    )
    spend = "Spend" if view.period.spans_years else view.period.label(False)
    head = [(dimension.capitalize(), False), (spend, True), ("Share", True)]
    table = parts.table(head, rows, f"Spend by {dimension}")
    note = _unpriced_note(view, dimension, answer)
    choices = [(name, view.href(by=key), key == dimension) for name, key in DIMENSIONS]
    controls: list[Component] = [parts.segments("Group by", choices)]
    if len(view.period.months) > 1:
        steps = (("Day", Granularity.DAY), ("Month", Granularity.MONTH))
        said = [(name, view.href(step=grain.value), grain is view.grain) for name, grain in steps]
        controls.insert(0, parts.segments("Step", said))
    largest = ", ".join(f"{_name(dimension, group)} {fmt.money_short(group.cost)}" for group in groups[:3])
    chart = parts.graph(CHART, figure, 330, f"{title}, stacked by {dimension}. Largest: {largest}.")
    legend = html.Div([table, html.Div(note, className="card-foot") if note else None])
    return parts.card(
        title,
        html.Div([chart, legend], className="chart-and-legend"),
        subtitle=f"{view.basis.value} cost, UTC {'months' if by_month else 'days'}; click a bar for its calls",
        end=controls,
    )


def _name(dimension: str, group: Group) -> str:
    if group.row is None:
        return fmt.plural(group.members, "other")
    return group.name if group.name is not None else nameless(dimension, group.row)


def _linked(view: View, dimension: str, group: Group) -> Component | str:
    name = _name(dimension, group)
    if group.row is None:
        return name
    return dcc.Link(name, href=view.with_filter((dimension, group.name), path="/calls"), title=name)


def _unpriced_note(view: View, dimension: str, answer: Costs) -> list[Any] | None:
    hidden = [row for row in answer.rows if row.unpriced_calls]
    if not hidden:
        return None
    names = [row.keys.get(dimension) or NAMELESS[dimension] for row in hidden]
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    calls = sum(row.unpriced_calls or 0 for row in hidden)
    tokens = sum(row.unpriced_tokens for row in hidden)
    said = f"{fmt.plural(calls, 'call')}, {fmt.tokens(tokens)} tokens" if tokens else fmt.plural(calls, "call")
    why = "without a price (—)" if tokens else "that reported no tokens (—)"
    return [
        "Not in the total: ",
        dcc.Link(
            said,
            href=view.href("/calls", only="unpriced"),
            className="more strong",
        ),
        f" of {listed} {why}.",
    ]


def register(app: Dash) -> None:
    """A click on a bar leads to the calls of that day and group."""

    @app.callback(
        Output(shell.LOCATION, "href", allow_duplicate=True),
        Input(CHART, "clickData"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    def drill(click: dict[str, Any] | None, href: str) -> str:
        if not click:
            raise PreventUpdate
        key, step, _ = click["points"][0]["customdata"]
        view = shell.current_view(href)
        pairs = [parse_filter(key)] if key else []
        first = date.fromisoformat(step)
        period = month_of(first) if view.grain is Granularity.MONTH else Period(first, first)
        return view.with_filter(*pairs, path="/calls", period=period.text)
