"""The price index: an example by hand, and the tests an index number must pass."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.curve_figures import told_chain
from models.core.errors import BadInput
from models.costs.index import Item, Period, chained, fisher
from models.costs.outlook import rebound_of

D = Decimal
A: Item = ("openai", "gpt", "input")
B: Item = ("openai", "gpt", "output")
C: Item = ("anthropic", "claude", "input")


def period(label: str, bought: dict[Item, tuple[str, str]], tasks: int | None = None) -> Period:
    return Period(
        label=label,
        quantities={item: D(quantity) for item, (quantity, _) in bought.items()},
        costs={item: D(cost) for item, (_, cost) in bought.items()},
        tasks=tasks,
    )


def test_price_halves_volume_triples_and_the_bill_is_half_more() -> None:
    points = chained([period("2026-09", {A: ("100", "10")}, 5), period("2026-10", {A: ("300", "15")}, 10)])
    last = points[-1]
    assert (last.price_index, last.volume_index, last.bill_index) == (D(50), D(300), D(150))
    assert (last.bill, last.price_per_task, last.matched_share) == (D(15), D("1.5"), D(1))


def test_fisher_is_the_geometric_mean_of_laspeyres_and_paasche() -> None:
    # Prices A 1 → 2, B 1 → 1; baskets 1:1 then 1:3. Laspeyres 3/2, Paasche 5/4.
    before, after = period("1", {A: ("1", "1"), B: ("1", "1")}), period("2", {A: ("1", "2"), B: ("3", "3")})
    link = fisher(before, after)
    assert link is not None
    assert abs(link**2 - D("1.875")) < D("1e-25")


def test_a_month_without_overlap_breaks_the_chain_and_says_so() -> None:
    points = chained(
        [period("2026-08", {A: ("1", "1")}), period("2026-09", {C: ("1", "9")}), period("2026-10", {C: ("1", "3")})]
    )
    assert [point.chain for point in points] == [0, 1, 1]
    assert points[1].note is not None
    assert "2026-08" in points[1].note
    assert points[1].price_index == 100
    assert points[1].matched_share is None
    assert [round(point.price_index, 6) for point in points] == [D(100), D(100), D("33.333333")]


def test_labels_rise_and_a_cost_has_a_quantity() -> None:
    with pytest.raises(BadInput, match="does not come after"):
        chained([period("2", {}), period("1", {})])
    with pytest.raises(BadInput, match="without a quantity"):
        chained([period("1", {A: ("0", "1")})])


BASKET = st.fixed_dictionaries(
    {item: st.tuples(st.integers(1, 10**9).map(str), st.integers(1, 10**9).map(str)) for item in (A, B, C)}
)


@given(BASKET)
def test_nothing_changed_means_an_index_of_one(basket: dict[Item, tuple[str, str]]) -> None:
    link = fisher(period("1", basket), period("2", basket))
    assert link is not None
    assert abs(link - 1) < D("1e-40")


@given(BASKET, BASKET)
def test_there_and_back_is_one(first: dict[Item, tuple[str, str]], second: dict[Item, tuple[str, str]]) -> None:
    forth, back = fisher(period("1", first), period("2", second)), fisher(period("1", second), period("2", first))
    assert forth is not None
    assert back is not None
    assert abs(forth * back - 1) < D("1e-25")


@given(st.lists(BASKET, min_size=1, max_size=6))
def test_price_times_volume_is_the_bill(baskets: list[dict[Item, tuple[str, str]]]) -> None:
    for point in chained([period(str(n), basket) for n, basket in enumerate(baskets)]):
        assert abs(point.price_index * point.volume_index / 100 - point.bill_index) < D("1e-15") * point.bill_index


def test_rebound_is_told_of_the_last_chain_that_has_two_months() -> None:
    cut = [period("2025-05", {B: ("100", "4000")}), period("2025-06", {B: ("300", "2400")})]
    points = chained([*cut, period("2025-12", {C: ("1", "25")})])
    assert [point.chain for point in points] == [0, 0, 1]
    found = rebound_of(points)
    assert found is not None
    assert (found.first.label, found.last.label, found.price_change) == ("2025-05", "2025-06", D("-0.8"))
    # 3,200 of 4,000 were promised at the old volume; 1,600 came.
    assert (found.found.expected_saving, found.found.actual_saving, found.found.rebound) == (3200, 1600, D("0.5"))
    assert told_chain(points) == points[:2]
    assert rebound_of(points[2:]) is None
