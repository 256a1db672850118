"""Overview: how much, where, and what changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import data, figures, parts, shell
from dashboards import format as fmt
from dashboards.data import Group
from dashboards.downloads import costs_href
from dashboards.identity import colour, places
from dashboards.movers import NAMELESS, movers
from dashboards.period import Period
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
    groups, answer = data.groups_by_day(view, dimension)
    if not answer.totals.calls:
        header = parts.page_header("Overview", ["Nothing was spent here yet."])
        return html.Div([header, parts.teach(view)])
    before = data.whole(view.costs(period=view.compare, until=view.compare_until)).totals if view.compare else None
    return html.Div(
        [
            parts.page_header(
                "Overview",
                _sentence(view, answer, before, groups),
                parts.csv_link(costs_href(view, dimension, granularity=Granularity.DAY)),
                parts.copy_link(view.href()),
            ),
            _quality(view, answer.totals),
            parts.safely("Tiles", view, lambda: _tiles(view, answer.totals, before)),
            html.Div(
                parts.safely("Spend by day", view, lambda: _by_day(view, dimension, groups, answer)), className="grid"
            ),
            html.Div(
                [
                    html.Div(
                        parts.safely(f"Top movers · {name.lower()}s", view, partial(movers, view, key, name)),
                        className="w4",
                    )
                    for name, key in (DIMENSIONS[1], DIMENSIONS[0], DIMENSIONS[2])
                ],
                className="grid",
            ),
        ]
    )


layout = shell.page(build)


def _known(row: CostRow | None, view: View) -> Decimal | None:
    return row.cost(view.basis) if row is not None and row.calls else None


def _sentence(view: View, answer: Costs, before: CostRow | None, groups: Sequence[Group]) -> list[Any]:
    """Spend, change and the largest part, from the same answers as the tiles."""
    spend = answer.totals.cost(view.basis)
    passed = _days_passed(view)
    words: list[Any] = ["Spend is ", parts.strong(f"{fmt.money_short(spend)} in {fmt.plural(passed, 'day')}", spend)]
    earlier = _known(before, view)
    if spend is not None and earlier and view.compare is not None:
        share = spend / earlier - 1
        direction = "above" if share >= 0 else "below"
        words.append(f", {fmt.percent(abs(share))} {direction} {view.compare.label(False)}")
    elif view.compare is not None:
        words.append(f"; there is none in {view.compare.label()} to compare with")
    words.append(". ")
    largest = groups[0] if groups else None
    if largest is not None and largest.name is not None and spend:
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
            ),
            dcc.Link("Which ones", href=view.href("/calls", only="unpriced")),
        ],
        className="quality",
        role="note",
    )


def _tiles(view: View, totals: CostRow, before: CostRow | None) -> Component:
    spend, earlier = totals.cost(view.basis), _known(before, view)
    run = _run_rate(view)
    change = fmt.percent_change(spend, earlier)
    against = f" vs {view.compare.label(False)}" if view.compare else ""
    note = (
        [html.Span(change, className=parts.change_class(spend, earlier)), against]
        if earlier
        else [f"no spend in {view.compare.label()}" if view.compare else "no comparison"]
    )
    savings = totals.cache_savings
    return html.Div(
        [
            parts.tile(
                "Spend to date" if view.is_open else "Spend",
                fmt.money_short(spend),
                note=note,
                title=fmt.money_exact(spend),
                href=view.href("/calls"),
            ),
            parts.tile(
                f"Run rate, {fmt.plural(run.days, 'day')}",
                fmt.money_short(run.rate),
                unit="/ day",
                note=[
                    html.Span(
                        fmt.percent_change(run.rate, run.rate_before),
                        className=parts.change_class(run.rate, run.rate_before),
                    ),
                    f" vs the {fmt.plural(run.days, 'day')} before",
                ]
                if run.rate_before
                else f"{run.period.label()}",
                title=f"{fmt.money_exact(run.spend)} in {run.period.label()}",
            ),
            parts.tile(
                "Saved by cache",
                fmt.money_short(savings),
                note=_savings_note(spend, savings),
                title=f"{fmt.money_exact(savings)}: the same tokens at the uncached rate, less what they cost",
            ),
            _coverage(view, totals),
        ],
        className="tiles",
    )


def _savings_note(spend: Decimal | None, savings: Decimal | None) -> str:
    if spend is None or savings is None or not spend + savings:
        return "not reported"
    return f"{fmt.percent(savings / (spend + savings))} of the cost without it"


@dataclass(slots=True, frozen=True)
class RunRate:
    """Spend per day over the last whole days, and over as many days before them."""

    period: Period
    spend: Decimal | None
    before: Decimal | None

    @property
    def days(self) -> int:
        """How many whole days it looks at."""
        return self.period.days

    @property
    def rate(self) -> Decimal | None:
        """Dollars a day."""
        return None if self.spend is None else self.spend / self.days

    @property
    def rate_before(self) -> Decimal | None:
        """Dollars a day in the days before."""
        return None if self.before is None else self.before / self.days


def _run_rate(view: View) -> RunRate:
    """The last seven whole days of the period; a running day would pull the rate down, so it is left out."""
    last = view.period.last
    if view.is_open and view.period.first < view.now.date():
        last = view.now.date() - timedelta(days=1)
    first = max(view.period.first, last - timedelta(days=6))
    period = Period(first, last)
    earlier = Period(first - timedelta(days=period.days), first - timedelta(days=1))
    now, before = (data.whole(view.costs(period=asked)).totals for asked in (period, earlier))
    return RunRate(period, _known(now, view), _known(before, view))


def _coverage(view: View, totals: CostRow) -> Component:
    spend, processed = totals.cost(view.basis), data.all_tokens(totals)
    teamless = data.whole(view.costs("team", only=(("team", None),))).totals if not _filters_team(view) else None
    ownerless = _known(teamless, view)
    priced = None if not processed else 1 - Decimal(totals.unpriced_tokens) / processed
    allocated = None if not spend or teamless is None else 1 - (ownerless or Decimal(0)) / spend
    rows: list[Any] = []
    for name, share, note in (
        ("Metered", None, "no bill to compare with"),
        ("Priced", priced, "of tokens"),
        (
            "Allocated",
            allocated,
            "of spend" if not ownerless else f"{fmt.money_short(ownerless)} has no team",
        ),
    ):
        low = share is not None and share < Decimal("0.98")
        rows += [
            html.Span(name),
            parts.track(share, low),
            html.Span(fmt.percent(share), className="strong num"),
            html.Span(note, className="quiet"),
        ]
    return html.Div(
        [html.Div("Coverage", className="tile-label"), html.Div(rows, className="coverage")], className="tile wide"
    )


def _filters_team(view: View) -> bool:
    return any(name == "team" for name, _ in view.filters)


def _by_day(view: View, dimension: str, groups: Sequence[Group], answer: Costs) -> Component:
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
    today = view.now.date() if view.is_open else None
    figure = figures.spend_by_day(view.period.dates, stack, today, view.theme)
    total = answer.totals.cost(view.basis)
    digits = fmt.digits_for(total)
    rows = [
        html.Tr(
            [
                html.Td([parts.swatch(tone(group)), _linked(view, dimension, group)], className="name"),
                parts.number(fmt.money(group.cost, digits), fmt.money_exact(group.cost)),
                parts.number(fmt.percent(fmt.share_of(group.cost, total), 0)),
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
    head = [(dimension.capitalize(), False), (view.period.label(False), True), ("Share", True)]
    table = parts.table(head, rows, f"Spend by {dimension}")
    note = _unpriced_note(view, dimension, answer)
    choices = [(name, view.href(by=key), key == dimension) for name, key in DIMENSIONS]
    largest = ", ".join(f"{_name(dimension, group)} {fmt.money_short(group.cost)}" for group in groups[:3])
    chart = parts.graph(CHART, figure, 330, f"Spend by day, stacked by {dimension}. Largest: {largest}.")
    legend = html.Div([table, html.Div(note, className="card-foot") if note else None])
    return parts.card(
        "Spend by day",
        html.Div([chart, legend], className="chart-and-legend"),
        subtitle=f"{view.basis.value} cost, UTC days; click a bar for its calls",
        end=parts.segments("Group by", choices),
    )


def _key(dimension: str, group: Group) -> str:
    # What stands for many has no filter of its own.
    return "" if group.row is None else f"{dimension}:{group.name or ''}"


def _name(dimension: str, group: Group) -> str:
    if group.row is None:
        return fmt.plural(group.members, "other")
    return group.name if group.name is not None else NAMELESS[dimension]


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
    lost = fmt.tokens(sum(row.unpriced_tokens for row in hidden))
    return [
        "Not in the total: ",
        dcc.Link(
            f"{fmt.plural(calls, 'call')}, {lost} tokens",
            href=view.href("/calls", only="unpriced"),
            className="more strong",
        ),
        f" of {listed} without a price (—).",
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
        key, day, _ = click["points"][0]["customdata"]
        view = shell.current_view(href)
        pairs = [parse_filter(key)] if key else []
        return view.with_filter(*pairs, path="/calls", period=f"{day}..{day}")
