"""Rebound by hand, and a planted elasticity found again."""

import json
from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from models.core.errors import BadInput
from models.costs.elasticity import Day, Elasticity, break_even_volume, elasticity, rebound

D = Decimal


@pytest.mark.parametrize(
    ("after", "share", "backfire"),
    [
        pytest.param(("5", "10"), "0", False, id="same-volume-keeps-the-whole-saving"),
        pytest.param(("5", "15"), "0.5", False, id="half-the-saving-is-eaten"),
        pytest.param(("5", "20"), "1", False, id="twice-the-volume-at-half-the-price-saves-nothing"),
        pytest.param(("5", "30"), "2", True, id="three-times-the-volume-is-backfire"),
    ],
)
def test_rebound_is_the_share_of_the_promised_saving_that_demand_ate(
    after: tuple[str, str], share: str, backfire: bool
) -> None:
    found = rebound(D(10), D(10), D(after[0]), D(after[1]))
    assert found.expected_saving == D(50)
    assert found.rebound == D(share)
    assert found.backfire is backfire


def test_no_price_change_has_no_rebound() -> None:
    assert rebound(D(1), D(10), D(1), D(20)).rebound is None


def test_jevons_break_even_a_price_down_by_nine_tenths_pays_until_ten_times_the_volume() -> None:
    assert break_even_volume(D("0.9")) == 10
    assert break_even_volume(D("0.5")) == 2
    with pytest.raises(BadInput, match="leaves nothing to pay"):
        break_even_volume(D(1))


def history(seed: int, slope: float, days: int = 180, price_changes: int = 12) -> list[Day]:
    """Volume with weekday pattern, growth, autocorrelated noise and a planted elasticity; prices move in steps."""
    rng = np.random.default_rng(seed)
    steps = np.zeros(days)
    moved = rng.choice(np.arange(2, days - 2), price_changes, replace=False)
    steps[moved] = rng.normal(-0.1, 0.25, price_changes)
    log_price = np.cumsum(steps)
    noise = np.zeros(days)
    for n in range(1, days):
        noise[n] = 0.5 * noise[n - 1] + rng.normal(0, 0.08)
    first = date(2026, 3, 1)
    weekday = np.array([0.1, 0.12, 0.1, 0.1, 0.0, -0.7, -0.8])
    return [
        Day(
            day=first + timedelta(days=n),
            price=float(np.exp(log_price[n])),
            volume=float(
                np.exp(
                    10 + 0.005 * n + weekday[(first + timedelta(days=n)).weekday()] + slope * log_price[n] + noise[n]
                )
            ),
        )
        for n in range(days)
    ]


def holds(found: Elasticity, slope: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= slope <= found.high


@pytest.mark.slow
def test_a_planted_elasticity_lies_in_the_interval_in_nine_of_ten_histories() -> None:
    found = [elasticity(history(seed, -1.5)) for seed in range(200)]
    assert sum(holds(one, -1.5) for one in found) >= 180


def test_a_clear_jevons_case_is_called_one_and_an_inelastic_one_is_not() -> None:
    assert elasticity(history(7, -2.5)).jevons is True
    assert elasticity(history(7, -0.2)).jevons is False


def test_too_few_price_changes_give_a_reason_instead_of_a_number() -> None:
    found = elasticity(history(1, -1.5, price_changes=3))
    assert found.elasticity is None
    assert found.jevons is None
    assert found.reason is not None
    assert "Not enough price changes" in found.reason


@pytest.mark.parametrize("price_changes", [1, 3, 40])
def test_what_is_told_is_plain_numbers_that_json_can_carry(price_changes: int) -> None:
    found = elasticity(history(1, -1.5, price_changes=price_changes))
    assert type(found.price_changes) is int
    assert json.loads(json.dumps(asdict(found)))["days"] == found.days


def test_noise_that_hides_the_slope_gives_a_reason_instead_of_a_number() -> None:
    rng = np.random.default_rng(3)
    steps = rng.normal(0, 0.01, 60)
    days = [
        Day(day=date(2026, 3, 1) + timedelta(days=n), price=float(np.exp(steps[:n].sum())), volume=float(volume))
        for n, volume in enumerate(np.exp(rng.normal(5, 1.0, 60)))
    ]
    found = elasticity(days)
    assert found.elasticity is None
    assert "the interval runs from" in (found.reason or "")


def test_a_day_without_spend_is_left_out_with_the_change_after_it() -> None:
    days = history(5, -1.5)
    gap = [*days[:50], Day(day=days[50].day, price=0.0, volume=0.0), *days[51:]]
    assert elasticity(gap).days == elasticity(days).days - 2
