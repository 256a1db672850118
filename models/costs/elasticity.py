"""Did demand eat the saving? Rebound of a price change, elasticity of volume to price. No I/O, no clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

import numpy as np

from models.core.errors import BadInput
from models.core.money import EXACT

LEAST_PRICE_CHANGES = 4
"""Days on which the price moved, below which no slope is told."""
WIDEST_INTERVAL = 3.0
"""An interval wider than this says nothing about which side of −1 the elasticity lies."""
PRICE_MOVED = 1e-6
"""Smallest |Δ ln price| that counts as a change."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Rebound:
    """What a price change should have saved, and what it saved."""

    expected_saving: Decimal
    actual_saving: Decimal
    rebound: Decimal | None
    """1 − actual ÷ expected; None where the price did not move or nothing was bought."""
    backfire: bool
    """The price fell and the bill rose: the Jevons case."""


def rebound(price_before: Decimal, volume_before: Decimal, price_after: Decimal, volume_after: Decimal) -> Rebound:
    """Compare the saving a price change promised with the one that came.

    Units    price in currency per unit of volume, volume in any unit; savings in currency; the rebound a share
             (1.2 is 120 %). A price that rose has a negative expected saving and the same formula.
    Raises   BadInput for a negative price or volume.
    """
    if min(price_before, volume_before, price_after, volume_after) < 0:
        raise BadInput("prices and volumes cannot be negative. Leave credits out of the periods compared.")
    expected = EXACT.multiply(volume_before, EXACT.subtract(price_before, price_after))
    actual = EXACT.subtract(EXACT.multiply(price_before, volume_before), EXACT.multiply(price_after, volume_after))
    share = EXACT.subtract(Decimal(1), EXACT.divide(actual, expected)) if expected else None
    return Rebound(expected_saving=expected, actual_saving=actual, rebound=share, backfire=expected > 0 and actual < 0)


def break_even_volume(price_cut: Decimal) -> Decimal:
    """How many times the volume may grow before a price cut saves nothing: 1 ÷ (1 − d).

    Units    the cut as a share, 0.9 for −90 % → 10.
    Raises   BadInput when the cut is 1 or more: what is free can grow without end.
    """
    if not price_cut < 1:
        raise BadInput(f"a price cut of {price_cut} leaves nothing to pay. Give a share below 1, such as 0.9.")
    return EXACT.divide(Decimal(1), EXACT.subtract(Decimal(1), price_cut))


@dataclass(slots=True, frozen=True, kw_only=True)
class Day:
    """Price level and volume of one day, such as two columns of the chained index by day."""

    day: date
    price: float
    volume: float


@dataclass(slots=True, frozen=True, kw_only=True)
class Elasticity:
    """The slope of ln volume on ln price with its 95 % interval, or the reason why none is told."""

    elasticity: float | None
    low: float | None
    high: float | None
    days: int
    price_changes: int
    reason: str | None = None

    @property
    def jevons(self) -> bool | None:
        """Whether demand grows faster than prices fall (the whole interval below −1); None where not told."""
        if self.high is None or self.low is None:
            return None
        return True if self.high < -1 else False if self.low > -1 else None


def elasticity(days: Sequence[Day]) -> Elasticity:
    """Regress Δ ln volume on Δ ln price, with weekday and trend terms.

    Shapes   n days in order; days without price or volume, and the day after such a day, are left out.
    Units    elasticity in % volume per % price. These are estimates, so they are floats; no money is.
    Method   ordinary least squares; the interval uses the larger of the classical standard error and the one robust
             to heteroscedasticity and autocorrelation (Newey & West 1987, Bartlett window of one week).
    Unknown  `elasticity` is None with a reason where prices moved on fewer than 4 days or the interval
             is wider than 3.
    """
    changes = [
        (after.day, math.log(after.price / before.price), math.log(after.volume / before.volume))
        for before, after in pairwise(days)
        if (after.day - before.day).days == 1 and min(before.price, before.volume, after.price, after.volume) > 0
    ]
    moved = sum(abs(price) > PRICE_MOVED for _, price, _ in changes)
    if moved < LEAST_PRICE_CHANGES or len(changes) < 21:
        return _untold(
            len(changes),
            moved,
            f"Not enough price changes to tell: prices moved on {moved} of {len(changes)} days; "
            f"at least {LEAST_PRICE_CHANGES} in 21 days are needed.",
        )
    # Seconds to import and a hundred megabytes: only the process that calculates pays them.
    from scipy.special import stdtrit
    from statsmodels.regression.linear_model import OLS

    volume = np.array([change for _, _, change in changes])
    model = OLS(volume, _regressors(changes))
    plain = model.fit()
    robust = model.fit(cov_type="HAC", cov_kwds={"maxlags": 7, "use_correction": True})
    slope = float(plain.params[0])
    # Robust errors are too small when few days carry the slope (measured: 77 % coverage of a 95 % interval at six
    # price changes), so the wider of the two is used.
    margin = float(stdtrit(plain.df_resid, 0.975)) * max(float(plain.bse[0]), float(robust.bse[0]))
    low, high = slope - margin, slope + margin
    if not high - low <= WIDEST_INTERVAL:
        return _untold(
            len(changes),
            moved,
            f"Not enough price changes to tell: with {moved} of them the interval runs from {low:.1f} to {high:.1f}.",
        )
    return Elasticity(elasticity=slope, low=low, high=high, days=len(changes), price_changes=moved)


def _regressors(changes: Sequence[tuple[date, float, float]]) -> np.ndarray:
    """Δ ln price, a constant (growth), a trend in growth, and six weekdays."""
    n = len(changes)
    columns = [np.array([price for _, price, _ in changes]), np.ones(n), np.linspace(-0.5, 0.5, n)]
    weekdays = np.array([day.weekday() for day, _, _ in changes])
    columns += [(weekdays == weekday).astype(float) for weekday in range(1, 7)]
    return np.column_stack(columns)


def _untold(days: int, moved: int, reason: str) -> Elasticity:
    return Elasticity(elasticity=None, low=None, high=None, days=days, price_changes=moved, reason=reason)
