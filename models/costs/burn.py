"""Burn rate: money per minute against its own history and its budget, in a fast and a slow window at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from models.core.money import EXACT

WINDOWS: tuple[tuple[Decimal, int, int], ...] = ((Decimal("14.4"), 60, 5), (Decimal(6), 360, 30))
"""(times the normal rate, slow window, fast window) in minutes; both windows of a pair must be over.

Source   the multi-window, multi-burn-rate alerts of "The Site Reliability Workbook" (O'Reilly 2018), chapter 5.
"""
VELOCITY_TIMES = Decimal(6)
VELOCITY_MINUTES = 5
VELOCITY_PER_MINUTE = Decimal(1)
"""Currency per minute below which velocity alone pages nobody."""
LEAST_HISTORY = 3
"""Earlier hours of the same weekday and hour needed for a median."""
ZERO = Decimal(0)


@dataclass(slots=True, frozen=True, kw_only=True)
class Burn:
    """A spend that is too fast, and by which rule."""

    per_minute: Decimal
    normal_per_minute: Decimal
    times: Decimal | None
    """Rate in normal rates; None where nothing is normal yet."""
    rule: str
    window_minutes: int
    spent_in_window: Decimal


def burn_rate(
    minutes: Sequence[Decimal], normal_per_minute: Decimal | None, same_hours: Sequence[Decimal] = ()
) -> Burn | None:
    """Whether the spend of the last minutes is out of proportion.

    Shapes   spend by minute, the newest last (360 for the slow pair) → the first rule that fires, or None.
    Units    currency per minute. `normal_per_minute` is the budget's or the history's average rate, None where there
             is neither; `same_hours` are the spends of earlier hours of the same weekday and hour.
    Rules    14.4 × normal over 1 h and 5 min; 6 × normal over 6 h and 30 min; or more than 6 × the median of the
             same weekday hour and over 1 per minute on average of the last five minutes.
    """
    if normal_per_minute:
        for times, slow, fast in WINDOWS:
            limit = EXACT.multiply(times, normal_per_minute)
            if len(minutes) >= slow and _rate(minutes, slow) > limit and _rate(minutes, fast) > limit:
                return _burn(minutes, fast, normal_per_minute, f"{times} × normal over {slow} min and {fast} min", slow)
    if len(same_hours) >= LEAST_HISTORY and len(minutes) >= VELOCITY_MINUTES:
        usual = EXACT.divide(Decimal(median(same_hours)), Decimal(60))
        rate = _rate(minutes, VELOCITY_MINUTES)
        if rate > VELOCITY_PER_MINUTE and rate > EXACT.multiply(VELOCITY_TIMES, usual):
            rule = f"{VELOCITY_TIMES} × the usual weekday hour and over {VELOCITY_PER_MINUTE} a minute"
            return _burn(minutes, VELOCITY_MINUTES, usual, rule, VELOCITY_MINUTES)
    return None


def _rate(minutes: Sequence[Decimal], window: int) -> Decimal:
    return EXACT.divide(EXACT.create_decimal(sum(minutes[-window:], ZERO)), Decimal(window))


def _burn(minutes: Sequence[Decimal], fast: int, normal: Decimal, rule: str, window: int) -> Burn:
    rate = _rate(minutes, fast)
    return Burn(
        per_minute=rate,
        normal_per_minute=normal,
        times=EXACT.divide(rate, normal) if normal else None,
        rule=rule,
        window_minutes=window,
        spent_in_window=EXACT.create_decimal(sum(minutes[-window:], ZERO)),
    )
