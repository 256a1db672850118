"""Burn-down of a budget: spend by the end of each day, and the days to come by a forecast. No I/O, no clock."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate

from models.core.desk import Ahead, Burndown
from models.core.money import rounded
from models.costs.forecast import Forecast


def burn_down(
    first: date, last: date, amount: Decimal, spent: Sequence[Decimal], whole_days: int, ahead: Forecast | None
) -> Burndown:
    """Add up the days of a budget's period and put the forecast behind them.

    Shapes   one spend per day from `first` on, the running day included; the first `whole_days` of them are over, and
             the forecast starts at the day after those.
    Units    USD. Each day of the forecast takes its share of the forecast's sum, so the last point is the sum that
             the interval belongs to; a point never lies below what is spent already.
    """
    sums = list(accumulate(spent))
    days = [(first + timedelta(days=number), total) for number, total in enumerate(sums)]
    now = sums[-1] if sums else Decimal(0)
    if ahead is None:
        return Burndown(days=days, first=first, last=last, ahead=[], end=None, crosses=None)
    whole = sum(spent[:whole_days], Decimal(0))
    middles = [max(band.middle, 0.0) for _, band in ahead.days]
    scale = ahead.total.middle / sum(middles) if any(middles) else 0.0
    points = [
        (day, max(now, _cents(float(whole) + part * scale)))
        for (day, _), part in zip(ahead.days, accumulate(middles), strict=True)
    ]
    band = ahead.plus(float(whole))
    return Burndown(
        days=days,
        first=first,
        last=last,
        ahead=points,
        end=Ahead(
            middle=max(now, _cents(band.middle)), low=max(now, _cents(band.low_80)), high=max(now, _cents(band.high_80))
        ),
        crosses=next((day for day, total in [*days, *points] if total > amount), None),
    )


def _cents(amount: float) -> Decimal:
    return rounded(Decimal(amount), 2)
