"""Cost per task as a distribution: quantiles that were really paid, bins that lose no task."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.distribution import bins, quantile, share_of_costliest

COSTS = [Decimal(cost) for cost in ("0.01", "0.02", "0.03", "0.04", "1")]
costs = st.lists(st.decimals("0.000001", "10000", places=6), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("share", "expected"), [("0.5", "0.03"), ("0.2", "0.01"), ("0.21", "0.02"), ("0.95", "1"), ("1", "1")]
)
def test_a_quantile_is_the_nearest_cost_that_was_paid(share: str, expected: str) -> None:
    assert quantile(COSTS, Decimal(share)) == Decimal(expected)


def test_no_tasks_have_no_quantile() -> None:
    assert quantile([], Decimal("0.5")) is None
    assert share_of_costliest([], Decimal("0.05")) is None
    assert bins([Decimal(0)]) == []


def test_the_costliest_fifth_makes_up_its_part_of_the_whole() -> None:
    assert share_of_costliest(COSTS, Decimal("0.2")) == Decimal(1) / Decimal("1.10")


@given(costs)
def test_every_task_is_in_the_bin_that_holds_its_cost(paid: list[Decimal]) -> None:
    found = bins(paid)
    assert sum(each.tasks for each in found) == len(paid)
    for each in found:
        assert each.tasks == sum(each.low <= cost < each.high for cost in paid)
