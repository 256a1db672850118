"""Budgets: the period in force, what is spent of it, and which thresholds are crossed. No I/O, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from models.core.errors import BadInput
from models.core.money import EXACT
from models.core.vocabulary import DIMENSIONS

FORECAST = "forecast"
"""The threshold that a forecast over 100 % crosses."""
HUNDRED = Decimal(100)


class BudgetPeriod(StrEnum):
    """How long a budget lasts before it starts again."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    ROLLING = "rolling"


class BudgetMode(StrEnum):
    """What a budget does when it is used up."""

    NOTIFY = "notify"
    ENFORCE = "enforce"


@dataclass(slots=True, frozen=True, kw_only=True)
class BudgetState:
    """How a budget stands."""

    amount: Decimal
    spent: Decimal
    remaining: Decimal
    """Negative when overspent."""
    percent: Decimal
    crossed: Sequence[int]
    """Thresholds in percent that are reached, the lowest first."""
    forecast: Decimal | None
    forecast_percent: Decimal | None
    will_exceed: bool | None
    """Whether the forecast for the whole period is over the amount; None where there is no forecast."""

    @property
    def reached(self) -> Sequence[str]:
        """Everything that deserves a word: thresholds as `80`, and `forecast`."""
        words = [str(threshold) for threshold in self.crossed]
        is_over = self.percent >= HUNDRED
        # Who has been told of a threshold and is over the amount needs no forecast.
        return words if (words and is_over) or not (is_over or self.will_exceed) else [*words, FORECAST]


def parse_filters(filters: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    """Filters written `dimension:value` as pairs; `dimension:` stands for what has no value.

    Raises   BadInput naming each filter that has no dimension of the vocabulary.
    """
    pairs, errors = list[tuple[str, str | None]](), list[dict[str, str]]()
    for position, one in enumerate(filters):
        dimension, found, value = one.partition(":")
        if dimension == "tag":
            key, found, value = value.partition(":")
            dimension = f"tag:{key}"
        known = dimension in DIMENSIONS or (dimension.startswith("tag:") and len(dimension) > 4)
        if not (known and found):
            reason = f"{one!r} is no `dimension:value`; dimensions are {', '.join(DIMENSIONS)}, tag:KEY"
            errors.append({"field": f"filter.{position}", "reason": reason})
        pairs.append((dimension, value or None))
    if errors:
        raise BadInput(f"{len(errors)} of {len(filters)} filters cannot be read: {errors[0]['reason']}.", errors)
    return tuple(pairs)


def period_bounds(
    period: BudgetPeriod, at: datetime, zone: ZoneInfo, rolling_days: int | None = None
) -> tuple[datetime, datetime]:
    """The half-open period of a budget that a moment lies in, as UTC.

    Units    days, weeks (from Monday) and months by the calendar of the zone, so a day with a change of the clock has
             23 or 25 hours. A rolling period ends at the moment itself.
    Raises   BadInput for a rolling period without its number of days.
    """
    if period is BudgetPeriod.ROLLING:
        if not rolling_days or rolling_days < 1:
            raise BadInput("a rolling budget needs `rolling_days`, such as 30.")
        return at - timedelta(days=rolling_days), at
    local = at.astimezone(zone)
    first = local.date()
    if period is BudgetPeriod.WEEK:
        first -= timedelta(days=first.weekday())
    elif period is BudgetPeriod.MONTH:
        first = first.replace(day=1)
    last = {
        BudgetPeriod.DAY: first + timedelta(days=1),
        BudgetPeriod.WEEK: first + timedelta(days=7),
        BudgetPeriod.MONTH: (first.replace(day=1) + timedelta(days=32)).replace(day=1),
    }[period]
    midnights = (datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in (first, last))
    start, end = midnights
    return start, end


def budget_state(
    amount: Decimal, thresholds: Sequence[int], spent: Decimal, forecast: Decimal | None = None
) -> BudgetState:
    """Hold what is spent against the amount.

    Units    all in one currency (or all in tokens); thresholds in percent; `forecast` is for the whole period,
             with what is spent in it.
    Raises   BadInput for an amount that is not positive.
    """
    if amount <= 0:
        raise BadInput(f"a budget of {amount} cannot be spent. Give a positive amount.")
    percent = _percent(spent, amount)
    return BudgetState(
        amount=amount,
        spent=spent,
        remaining=EXACT.subtract(amount, spent),
        percent=percent,
        crossed=[threshold for threshold in sorted(set(thresholds)) if percent >= threshold],
        forecast=forecast,
        forecast_percent=None if forecast is None else _percent(forecast, amount),
        will_exceed=None if forecast is None else forecast > amount,
    )


def run_rate(spent: Decimal, start: datetime, end: datetime, at: datetime) -> Decimal | None:
    """The whole period's spend if the rest goes on as the part so far; None in its first tenth.

    The plain forecast of a budget whose history is too short for smoothing.
    """
    gone, whole = at - start, end - start
    if gone * 10 < whole:
        return None
    seconds = Decimal(int(gone.total_seconds()))
    return EXACT.divide(EXACT.multiply(spent, Decimal(int(whole.total_seconds()))), seconds)


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return EXACT.divide(EXACT.multiply(part, HUNDRED), whole)
