"""Budgets and burn rates: calendars, thresholds, and both windows at once."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core.errors import BadInput
from models.costs.budgets import BudgetPeriod, budget_state, parse_filters, period_bounds, run_rate
from models.costs.burn import burn_rate

D = Decimal


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "moment", "zone", "start", "end"),
    [
        pytest.param("month", "2028-02-29T12:00", "UTC", "2028-02-01T00:00", "2028-03-01T00:00", id="leap-february"),
        pytest.param("month", "2026-10-31T23:59", "UTC", "2026-10-01T00:00", "2026-11-01T00:00", id="last-minute"),
        pytest.param(
            "month",
            "2026-11-01T02:00",
            "America/Los_Angeles",
            "2026-10-01T07:00",
            "2026-11-01T07:00",
            id="still-october",
        ),
        pytest.param("day", "2026-10-25T12:00", "Europe/Lisbon", "2026-10-24T23:00", "2026-10-26T00:00", id="25-hours"),
        pytest.param("day", "2026-11-20T12:00", "Asia/Kolkata", "2026-11-19T18:30", "2026-11-20T18:30", id="half-hour"),
        pytest.param("week", "2026-11-20T12:00", "UTC", "2026-11-16T00:00", "2026-11-23T00:00", id="from-monday"),
    ],
)
def test_a_budget_period_follows_the_calendar_of_its_zone(
    period: str, moment: str, zone: str, start: str, end: str
) -> None:
    assert period_bounds(BudgetPeriod(period), at(moment), ZoneInfo(zone)) == (at(start), at(end))


def test_a_rolling_budget_ends_now_and_needs_its_days() -> None:
    assert period_bounds(BudgetPeriod.ROLLING, at("2026-11-20T12:00"), ZoneInfo("UTC"), 30)[0] == at("2026-10-21T12:00")
    with pytest.raises(BadInput, match="rolling_days"):
        period_bounds(BudgetPeriod.ROLLING, at("2026-11-20T12:00"), ZoneInfo("UTC"))


def test_thresholds_are_crossed_when_they_are_reached_and_the_forecast_speaks_before() -> None:
    calm = budget_state(D(100), [50, 80, 100], D("79.999999999999999"), D(99))
    assert calm.crossed == [50]
    assert calm.reached == ["50"]
    warned = budget_state(D(100), [50, 80, 100], D(80), D(120))
    assert warned.reached == ["50", "80", "forecast"]
    assert budget_state(D(100), [80, 120], D(110), D(130)).reached == ["80"]
    assert budget_state(D(100), [120], D(110)).reached == ["forecast"]
    assert budget_state(D(100), [120], D(90)).reached == []
    over = budget_state(D(100), [100, 50, 80], D("100.5"), D(150))
    assert over.reached == ["50", "80", "100"]
    assert over.remaining == D("-0.5")
    with pytest.raises(BadInput, match="positive amount"):
        budget_state(D(0), [100], D(0))


def test_a_run_rate_is_told_after_a_tenth_of_the_period() -> None:
    start, end = at("2026-11-01T00:00"), at("2026-12-01T00:00")
    assert run_rate(D(10), start, end, at("2026-11-03T23:59")) is None
    assert run_rate(D(10), start, end, at("2026-11-11T00:00")) == D(30)


def test_filters_are_dimension_and_value() -> None:
    assert parse_filters(["team:payments", "agent:", "tag:env:prod"]) == (
        ("team", "payments"),
        ("agent", None),
        ("tag:env", "prod"),
    )
    with pytest.raises(BadInput, match="1 of 2 filters"):
        parse_filters(["team:a", "colour:red"])


def spent(per_minute: str, minutes: int, before: str = "0") -> list[Decimal]:
    return [D(before)] * (360 - minutes) + [D(per_minute)] * minutes


@pytest.mark.parametrize(
    ("minutes", "fires"),
    [
        pytest.param(spent("15", 60), True, id="both-windows-over"),
        pytest.param(spent("15", 5), False, id="a-short-burst-is-no-hour"),
        pytest.param([*spent("20", 60)[:-5], *[D(0)] * 5], False, id="it-has-stopped"),
        pytest.param(spent("7", 360), True, id="six-hours-at-seven-times"),
        pytest.param(spent("5", 360), False, id="five-times-is-allowed"),
    ],
)
def test_a_burn_needs_the_slow_and_the_fast_window(minutes: list[Decimal], fires: bool) -> None:
    assert (burn_rate(minutes, D(1)) is not None) is fires


def test_velocity_needs_a_history_and_more_than_a_dollar_a_minute() -> None:
    five = [D("2")] * 5
    assert burn_rate(five, None) is None
    assert burn_rate(five, None, [D(1), D(1)]) is None
    found = burn_rate(five, None, [D(1), D(1), D(1)])
    assert found is not None
    assert found.per_minute == 2
    assert found.times is not None
    assert round(found.times, 9) == 120
    assert burn_rate([D("0.9")] * 5, None, [D(1)] * 3) is None
    assert burn_rate(five, None, [D(30)] * 3) is None


@given(st.lists(st.integers(0, 1000).map(D), min_size=360, max_size=360), st.integers(1, 1000).map(D))
def test_a_higher_norm_never_makes_a_burn(minutes: list[Decimal], normal: Decimal) -> None:
    if burn_rate(minutes, normal) is None:
        assert burn_rate(minutes, normal * 2) is None
