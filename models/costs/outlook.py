"""Where the spend goes from here, and whether a saving came: forecast and rebound asked of a cost reader. No clock."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from models.core.queries import CostQuery
from models.core.running import Run
from models.costs.elasticity import Rebound, break_even_volume, rebound
from models.costs.forecast import Band, Forecast, forecast
from models.costs.index import IndexPoint
from models.costs.questions import Ask, daily_spend

HISTORY = timedelta(days=400)
AHEAD_DAYS = 90


@dataclass(slots=True, frozen=True, kw_only=True)
class Outlook:
    """This month's end and the next ninety days."""

    today: date
    first: date
    spend: Sequence[Decimal]
    """Spend of each whole day from `first` to yesterday."""
    spent: Decimal
    """Spend of the whole days of this month."""
    month: Forecast
    quarter: Forecast

    @property
    def month_end(self) -> Band:
        """The whole month: spent and expected."""
        return self.month.plus(float(self.spent))


def outlook(ask: Ask, query: CostQuery, at: datetime, run: Run) -> Outlook:
    """Forecast from whole UTC days before a moment; the period of the query is replaced by the history it takes.

    Raises   BadInput under 7 days of history, or without any spend. NotCalculated where `run` fails.
    """
    today = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first, spend = daily_spend(ask, replace(query, start=today - HISTORY, end=today))
    left = monthrange(today.year, today.month)[1] - today.day + 1
    before = max((today.replace(day=1).date() - first).days, 0)
    history = [float(cost) for cost in spend]
    return Outlook(
        today=today.date(),
        first=first,
        spend=spend,
        spent=sum(spend[before:], Decimal(0)),
        month=run(forecast, first, history, left),
        quarter=run(forecast, first, history, AHEAD_DAYS),
    )


@dataclass(slots=True, frozen=True, kw_only=True)
class ReboundReport:
    """Rebound between two months, in money of the first."""

    first: IndexPoint
    last: IndexPoint
    price_change: Decimal
    """Share by which the price index moved; −0.2 is 20 % cheaper."""
    found: Rebound
    break_even_volume: Decimal | None
    """How many times the volume may grow before the bill is where it was; None where the price did not fall."""


def rebound_of(points: Sequence[IndexPoint]) -> ReboundReport | None:
    """Rebound between the ends of the last chain of an index that has two months; None where no chain has."""
    chains: dict[int, list[IndexPoint]] = {}
    for point in points:
        chains.setdefault(point.chain, []).append(point)
    usable = [each for each in chains.values() if len(each) > 1 and each[0].bill]
    if not usable:
        return None
    chain = usable[-1]
    first, last = chain[0], chain[-1]
    # One unit of volume is what the first month bought for one unit of money.
    price, volume = last.price_index / 100, first.bill * last.volume_index / 100
    return ReboundReport(
        first=first,
        last=last,
        price_change=price - 1,
        found=rebound(Decimal(1), first.bill, price, volume),
        break_even_volume=break_even_volume(1 - price) if 0 < price < 1 else None,
    )
