"""Money: exact products, splits that lose nothing, plain text."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core.errors import NothingToSplitBy
from models.core.money import exact_cost, plain, split_exactly

COSTS = st.decimals(min_value=-(10**12), max_value=10**12, places=15, allow_nan=False, allow_infinity=False)
WEIGHTS = st.dictionaries(st.text(max_size=4), st.integers(0, 10**9).map(Decimal), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("quantity", "price", "expected"),
    [
        pytest.param(1_000_000, "3", "3", id="a-million-at-three-dollars"),
        pytest.param(1, "0.000000001", "0.000000000000001", id="the-smallest-price-keeps-its-last-digit"),
        pytest.param(90_112, "0.3", "0.0270336", id="cache-reads-of-one-call"),
        pytest.param(0, "15", "0", id="nothing-costs-nothing"),
    ],
)
def test_a_count_times_a_price_is_exact(quantity: int, price: str, expected: str) -> None:
    assert exact_cost(quantity, Decimal(price)) == Decimal(expected)


@given(COSTS, WEIGHTS)
def test_the_parts_of_a_split_sum_to_the_whole(cost: Decimal, weights: dict[str, Decimal]) -> None:
    if sum(weights.values()) == 0:
        with pytest.raises(NothingToSplitBy):
            split_exactly(cost, weights)
        return
    parts = split_exactly(cost, weights)
    assert sum(parts.values(), Decimal(0)) == cost
    total = sum(weights.values())
    for key, part in parts.items():
        assert abs(part - cost * weights[key] / total) <= Decimal(1).scaleb(-14) + abs(cost) * Decimal(1).scaleb(-25)


@given(COSTS, WEIGHTS)
def test_a_split_does_not_depend_on_the_order_of_the_payers(cost: Decimal, weights: dict[str, Decimal]) -> None:
    if sum(weights.values()) > 0:
        backwards = dict(reversed(weights.items()))
        assert split_exactly(cost, weights) == split_exactly(cost, backwards)


def test_ten_dollars_among_three_gives_the_spare_cent_to_the_first_key() -> None:
    parts = split_exactly(Decimal("10.00"), {"b": Decimal(1), "a": Decimal(1), "c": Decimal(1)}, scale=2)
    assert parts == {"a": Decimal("3.34"), "b": Decimal("3.33"), "c": Decimal("3.33")}


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (Decimal("0.020847000000000"), "0.020847"),
        (Decimal("1E+2"), "100"),
        (Decimal("0E-15"), "0"),
        (Decimal("-0.5"), "-0.5"),
        (None, None),
    ],
)
def test_money_leaves_as_a_plain_decimal_string(cost: Decimal | None, text: str | None) -> None:
    assert plain(cost) == text
