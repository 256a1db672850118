"""The forecast: plain histories go on as they must, and the interval covers what it says it covers."""

from datetime import date

import numpy as np
import pytest

from models.core.errors import BadInput
from models.costs.forecast import Forecast, forecast

FIRST = date(2026, 3, 2)
WEEKDAYS = np.array([0.1, 0.1, 0.1, 0.08, 0.0, -0.6, -0.7])


def history(seed: int, ahead: int) -> tuple[np.ndarray, np.ndarray]:
    """Weekly season, exponential growth or decline, scatter, and level shifts about every two months."""
    rng = np.random.default_rng(seed)
    known = int(rng.integers(60, 150))
    days = np.arange(known + ahead)
    logs = 5 + rng.uniform(-0.002, 0.015) * days + WEEKDAYS[days % 7] * rng.uniform(0.3, 1.3)
    logs = logs + rng.normal(0, rng.uniform(0.08, 0.25), len(days))
    for _ in range(rng.poisson(len(days) / 60)):
        logs[rng.integers(0, len(days)) :] += rng.normal(0, 0.25)
    spend = np.exp(logs)
    return spend[:known], spend[known:]


def share_covered(histories: int, ahead: int) -> tuple[float, float]:
    """Shares of seeded histories whose sum lay in the 80 % and the 95 % interval."""
    narrow = wide = 0
    for seed in range(histories):
        known, actual = history(seed, ahead)
        total = forecast(FIRST, known.tolist(), ahead).total
        narrow += total.low_80 <= actual.sum() <= total.high_80
        wide += total.low_95 <= actual.sum() <= total.high_95
    return narrow / histories, wide / histories


@pytest.mark.slow
def test_eight_of_ten_sums_lie_in_the_80_percent_interval() -> None:
    # docs/spend-curves.md tells the figures of two hundred; at thirty, one standard error is 7 %.
    covered, _ = share_covered(30, 15)
    assert 0.65 <= covered <= 0.95


def test_growth_and_weekends_go_on() -> None:
    days = np.arange(70)
    spend = 100 * np.exp(0.01 * days + WEEKDAYS[days % 7])
    ahead = np.arange(70, 84)
    expected = 100 * np.exp(0.01 * ahead + WEEKDAYS[ahead % 7])
    found = forecast(FIRST, spend.tolist(), 14)
    assert found.method == "seasonal"
    assert [band.middle for _, band in found.days] == pytest.approx(expected.tolist(), rel=0.02)
    assert found.total.middle == pytest.approx(expected.sum(), rel=0.02)
    assert found.days[0][0] == date(2026, 5, 11)


def test_a_short_history_goes_on_with_its_trend_and_says_so() -> None:
    found = forecast(FIRST, [100 * 1.02**day for day in range(20)], 10)
    assert found.method == "trend"
    assert found.note is not None
    assert "20 days" in found.note
    assert found.total.middle == pytest.approx(sum(100 * 1.02**day for day in range(20, 30)), rel=0.02)


def test_the_same_history_gives_the_same_forecast() -> None:
    known, _ = history(1, 7)
    assert forecast(FIRST, known.tolist(), 7) == forecast(FIRST, known.tolist(), 7)


def test_the_intervals_lie_inside_each_other_and_what_is_spent_moves_them() -> None:
    known, _ = history(2, 30)
    found: Forecast = forecast(FIRST, known.tolist(), 30)
    for band in (found.total, *(band for _, band in found.days)):
        assert 0 < band.low_95 < band.low_80 < band.middle < band.high_80 < band.high_95
    assert found.plus(1000).low_80 == found.total.low_80 + 1000
    assert found.back_test.origins == 6
    assert found.back_test.covered_80 <= 6


def test_days_without_spend_are_taken_and_a_flat_history_stays_flat() -> None:
    flat = forecast(FIRST, [50.0] * 60, 30)
    assert flat.total.middle == pytest.approx(1500, rel=0.01)
    holes = [0.0 if day % 7 >= 5 else 100.0 for day in range(63)]
    assert forecast(FIRST, holes, 7).total.middle == pytest.approx(600, rel=0.1)


@pytest.mark.parametrize("spend", [[1.0] * 6, [0.0] * 30, [1.0] * 29 + [-1.0]])
def test_too_little_is_refused(spend: list[float]) -> None:
    with pytest.raises(BadInput, match="not enough to forecast"):
        forecast(FIRST, spend, 7)


def test_a_history_that_tells_nothing_of_what_comes_is_said_to_be_one() -> None:
    stopped = [300.0] * 31 + [0.0] * 27
    with pytest.raises(BadInput, match="58 days changed so abruptly"):
        forecast(FIRST, stopped, 90)
