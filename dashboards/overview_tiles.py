"""The tiles of the overview: spend, run rate, what the cache saved, and how much of it all is covered."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards import data, parts
from dashboards import format as fmt
from dashboards.period import Period
from dashboards.plan import budget_tile, forecast_tile
from dashboards.view import View
from models.core.queries import CostRow


def known(row: CostRow | None, view: View) -> Decimal | None:
    """The cost of an answer; None where nothing was called or priced."""
    return row.cost(view.basis) if row is not None and row.calls else None


def tiles(view: View, totals: CostRow, before: CostRow | None, run: "RunRate") -> Component:
    """The row of tiles; each value leads to its calls."""
    spend, earlier = totals.cost(view.basis), known(before, view)
    change = fmt.percent_change(spend, earlier)
    against = f" vs {view.compare.label(False)}" if view.compare else ""
    note = (
        [html.Span(change, className=parts.change_class(spend, earlier)), against]
        if earlier
        else (f"no spend in {view.compare.label()}" if view.compare else view.period.label())
    )
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
            *_outlook(view, spend, totals.cache_savings),
            _coverage(view, totals),
        ],
        className="tiles five" if view.is_open else "tiles",
    )


def _outlook(view: View, spend: Decimal | None, savings: Decimal | None) -> list[Component]:
    """Where the running month goes and how much of its budget is used; what the cache saved where neither is asked."""
    saved = parts.tile(
        "Saved by cache",
        fmt.money_short(savings),
        note=_savings_note(spend, savings),
        title=f"{fmt.money_exact(savings)}: the same tokens at the uncached rate, less what they cost",
        href=view.href("/cache"),
    )
    if not view.is_open:
        return [saved]
    return [parts.safely("Forecast", view, lambda: forecast_tile(view)), budget_tile(view) or saved]


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


def run_rate(view: View) -> RunRate:
    """The last seven whole days of the period; a running day would pull the rate down, so it is left out."""
    last = view.period.last
    if view.is_open and view.period.first < view.now.date():
        last = view.now.date() - timedelta(days=1)
    first = max(view.period.first, last - timedelta(days=6))
    period = Period(first, last)
    earlier = Period(first - timedelta(days=period.days), first - timedelta(days=1))
    now, before = (_spent(view, asked) for asked in (period, earlier))
    return RunRate(period, now, before)


def _spent(view: View, period: Period) -> Decimal | None:
    """Cost of days; nothing where no call ended after the project's first one, unknown before that."""
    totals = data.whole(view.costs(period=period)).totals
    first = view.project.first_charge
    return Decimal(0) if not totals.calls and first is not None and first < period.end else known(totals, view)


def _coverage(view: View, totals: CostRow) -> Component:
    spend, processed = totals.cost(view.basis), data.all_tokens(totals)
    by_team = any(name == "team" for name, _ in view.filters)
    teamless = None if by_team else data.whole(view.costs("team", only=(("team", None),))).totals
    ownerless = known(teamless, view)
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
