"""What the spend will be: seasonal exponential smoothing on log spend, with intervals that its own errors widen."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from models.core.errors import BadInput

WEEK = 7
LEAST_FOR_SEASON = 28
LEAST = 7
PATHS = 1000
ORIGINS = 6
"""Most back-test origins."""
PRIOR = 2.0
"""Weight, in errors, of the model's own spread before the back-test has spoken."""
TELLING = 100
"""An interval whose end is so many times the dearest day, every day, tells nothing."""
SEED = 1865
"""Year of The Coal Question; fixed, so that the same history gives the same forecast."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Band:
    """A figure with its 80 % and 95 % intervals. Estimates are floats; no ledger amount comes from here."""

    middle: float
    low_80: float
    high_80: float
    low_95: float
    high_95: float


@dataclass(slots=True, frozen=True, kw_only=True)
class BackTest:
    """How the same method would have done on the user's own past."""

    origins: int
    median_error: float | None
    """Median of |forecast − actual| ÷ actual of the sum over the horizon; None where there was no room to test."""
    covered_80: int
    """Origins whose actual lay in the 80 % interval that was given then."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Forecast:
    """Spend to come, by day and as a sum."""

    method: str
    """`seasonal` or `trend`."""
    days: Sequence[tuple[date, Band]]
    total: Band
    """The sum over the horizon."""
    back_test: BackTest
    note: str | None = None

    def plus(self, spent: float) -> Band:
        """The sum with what is already spent, such as of the month so far."""
        return Band(
            middle=self.total.middle + spent,
            low_80=self.total.low_80 + spent,
            high_80=self.total.high_80 + spent,
            low_95=self.total.low_95 + spent,
            high_95=self.total.high_95 + spent,
        )


def forecast(first_day: date, spend: Sequence[float], horizon: int) -> Forecast:
    """Forecast daily spend and its sum over the days after a history of whole days.

    Shapes   n days of spend from `first_day` on, without gaps → `horizon` days.
    Method   additive exponential smoothing of ln spend with trend and weekly season, a thousand paths drawn from it;
             under 28 days the linear trend of ln spend over the last two weeks. Days without spend take half of the
             smallest day, since zero has no logarithm.
    Spread   up to six rolling origins give past errors of the sum in units of the spread predicted then; their root
             mean square, with the prediction itself counted as two errors of one, scales the intervals, whose
             width is Student's. So level shifts that smoothing cannot foresee are in the interval once seen.
    Raises   BadInput under 7 days, without any spend, for a negative day, or where the interval would tell nothing.
    Source   Hyndman, Koehler, Ord & Snyder, "Forecasting with Exponential Smoothing" (2008), through statsmodels.
    """
    history = np.asarray(spend, dtype=float)
    if len(history) < LEAST or not history.any() or (history < 0).any():
        raise BadInput(
            f"{len(history)} days with a sum of {history.sum():.2f} are not enough to forecast: "
            f"at least {LEAST} whole days, none negative and not all zero, are needed."
        )
    history = np.where(history > 0, history, history[history > 0].min() / 2)
    errors, shares, covered = _past_errors(history, horizon)
    widen = _Spread.of(errors)
    paths = _paths(history, horizon)
    with np.errstate(over="ignore"):
        total = _band(paths.sum(axis=0), widen)
        days = [(first_day + timedelta(days=len(history) + step), _band(paths[step], widen)) for step in range(horizon)]
    if total.high_80 > TELLING * horizon * history.max() or not all(np.isfinite(band.high_95) for _, band in days):
        raise BadInput(
            f"spend of these {len(history)} days changed so abruptly, as where agents stopped or began, that nothing "
            f"can be told of the next {horizon}: the interval would pass {TELLING} times the dearest day, every day."
        )
    seasonal = len(history) >= LEAST_FOR_SEASON
    return Forecast(
        method="seasonal" if seasonal else "trend",
        days=days,
        total=total,
        back_test=BackTest(
            origins=len(errors), median_error=float(np.median(shares)) if shares else None, covered_80=covered
        ),
        note=None
        if seasonal
        else f"{len(history)} days of history: the trend of the last two weeks. A weekly season needs 28 days.",
    )


@dataclass(slots=True, frozen=True)
class _Spread:
    """How much wider than its paths an interval is."""

    scale: float
    freedom: float

    @staticmethod
    def of(errors: Sequence[float]) -> "_Spread":
        squares = sum(error * error for error in errors)
        freedom = PRIOR + len(errors)
        return _Spread(float(np.sqrt((PRIOR + squares) / freedom)), freedom)

    def half_width(self, share: float, deviation: float) -> float:
        from scipy.special import stdtrit  # Slow to import; most processes never forecast.

        return float(stdtrit(self.freedom, 0.5 + share / 2)) * self.scale * deviation


def _band(draws: np.ndarray, widen: _Spread) -> Band:
    logs = np.log(draws)
    middle, deviation = float(np.median(logs)), float(logs.std())
    narrow, wide = widen.half_width(0.80, deviation), widen.half_width(0.95, deviation)
    return Band(
        middle=float(np.exp(middle)),
        low_80=float(np.exp(middle - narrow)),
        high_80=float(np.exp(middle + narrow)),
        low_95=float(np.exp(middle - wide)),
        high_95=float(np.exp(middle + wide)),
    )


def _past_errors(history: np.ndarray, horizon: int) -> tuple[list[float], list[float], int]:
    """Errors of the sum at past origins in predicted spreads, as shares, and how many lay in their interval."""
    reach = max(min(horizon, len(history) // 4), 1)
    step = max(reach // 3, 3)
    origins = [len(history) - reach - step * number for number in range(ORIGINS)]
    least = LEAST_FOR_SEASON if len(history) >= LEAST_FOR_SEASON + reach else LEAST
    errors, shares, covered = list[float](), list[float](), 0
    for origin in reversed([origin for origin in origins if origin >= least]):
        actual = history[origin : origin + reach].sum()
        sums = _paths(history[:origin], reach).sum(axis=0)
        band = _band(sums, _Spread.of(errors))
        covered += bool(band.low_80 <= actual <= band.high_80)
        errors.append(float((np.log(actual) - np.log(band.middle)) / np.log(sums).std()))
        shares.append(float(abs(band.middle - actual) / actual))
    return errors, shares, covered


def _paths(history: np.ndarray, horizon: int) -> np.ndarray:
    """Drawn futures, horizon × paths, of spend per day."""
    random = np.random.default_rng(SEED)
    if len(history) < LEAST_FOR_SEASON:
        return np.exp(_trend_paths(np.log(history[-2 * WEEK :]), horizon, random))
    return np.exp(_seasonal_paths(np.log(history), horizon, random))


def _seasonal_paths(logs: np.ndarray, horizon: int, random: np.random.Generator) -> np.ndarray:
    # Seconds to import and a hundred megabytes: only the process that calculates pays them.
    from statsmodels.tools.sm_exceptions import ConvergenceWarning
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    model = ETSModel(logs, error="add", trend="add", seasonal="add", seasonal_periods=WEEK)
    with warnings.catch_warnings():
        # A likelihood that is flat at the optimum stops the search early; the parameters are as good.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted: Any = model.fit(disp=False, maxiter=200)
    alpha, beta, gamma = fitted.params[:3]
    # Six seasonal terms, level and trend are estimated from the same days.
    sigma = float(np.sqrt(np.sum(fitted.resid**2) / max(len(logs) - 5, 1)))
    level = np.full(PATHS, fitted.level[-1])
    slope = np.full(PATHS, fitted.slope[-1])
    season = [np.full(PATHS, term) for term in fitted.season[-WEEK:]]
    drawn = np.empty((horizon, PATHS))
    for step in range(horizon):
        shock = random.normal(0, sigma, PATHS) if sigma > 0 else np.zeros(PATHS)
        term = season.pop(0)
        drawn[step] = level + slope + term + shock
        level, slope = level + slope + alpha * shock, slope + beta * shock
        season.append(term + gamma * shock)
    return _never_certain(drawn, random)


def _trend_paths(logs: np.ndarray, horizon: int, random: np.random.Generator) -> np.ndarray:
    """Straight line through the logs, with the uncertainty of its level and slope."""
    days = np.arange(len(logs)) - (len(logs) - 1) / 2
    slope, level = np.polyfit(days, logs, 1)
    sigma = float(np.sqrt(np.sum((logs - level - slope * days) ** 2) / max(len(logs) - 2, 1)))
    ahead = days[-1] + 1 + np.arange(horizon)
    slopes = random.normal(slope, sigma / np.sqrt((days**2).sum()), PATHS)
    levels = random.normal(level, sigma / np.sqrt(len(logs)), PATHS)
    noise = random.normal(0, sigma, (horizon, PATHS))
    return _never_certain(levels + np.outer(ahead, slopes) + noise, random)


def _never_certain(drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A history without any scatter still does not make the future certain: at least 0.1 % a day."""
    return drawn + random.normal(0, 0.001, drawn.shape)
