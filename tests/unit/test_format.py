"""Numbers as people read them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import format as fmt


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ("45600.07", "$45.6k"),
        ("2520", "$2.52k"),
        ("999.96", "$1.00k"),
        ("999960", "$1.00M"),
        ("67.123", "$67.1"),
        ("0.101242", "$0.101"),
        ("0.000034812", "$0.0000348"),
        ("-1045", "\u2212$1.04k"),
        ("0", "$0"),
        (None, "—"),
    ],
)
def test_tiles_show_three_significant_figures(cost: str | None, expected: str) -> None:
    assert fmt.money_short(None if cost is None else Decimal(cost)) == expected


@pytest.mark.parametrize(
    ("cost", "digits", "expected"),
    [
        ("17607.034", 2, "$17,607.03"),
        ("1.3037", 4, "$1.3037"),
        ("0.101242", 6, "$0.101242"),
        ("-182.4", 2, "\u2212$182.40"),
        ("0", 2, "0"),
        ("0.0001", 2, "<$0.01"),
        (None, 2, "—"),
    ],
)
def test_tables_show_cents_and_keep_unknown_tiny_and_zero_apart(cost: str | None, digits: int, expected: str) -> None:
    assert fmt.money(None if cost is None else Decimal(cost), digits) == expected


def test_a_change_always_has_its_sign() -> None:
    assert fmt.money_change(Decimal("17607"), Decimal("14401"), 0) == "+$3,206"
    assert fmt.money_change(Decimal("11285"), Decimal("12330"), 0) == "\u2212$1,045"
    assert fmt.money_change(Decimal(1), None) == "—"
    assert fmt.percent_change(Decimal("111.7"), Decimal(100)) == "+11.7\u00a0%"
    assert fmt.percent_change(Decimal(88), Decimal(100)) == "\u221212.0\u00a0%"
    assert fmt.percent_change(Decimal(1), Decimal(0)) == "—"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(18_400_000_000, "18.4B"), (36_900, "36.9k"), (214, "214"), (0, "0"), (999_999, "1.00M"), (None, "—")],
)
def test_token_counts_are_short(number: int | None, expected: str) -> None:
    assert fmt.tokens(number) == expected


def test_an_exact_amount_keeps_every_digit() -> None:
    assert fmt.money_exact(Decimal("45600.070000000000001")) == "$45,600.070000000000001"
    assert fmt.money_exact(Decimal("0.101242000000000")) == "$0.101242"
    assert fmt.money_exact(Decimal("5.000")) == "$5.00"


@given(st.decimals(min_value=Decimal("0.000001"), max_value=Decimal("9e12"), places=6))
def test_three_figures_are_within_half_a_unit_of_the_third(cost: Decimal) -> None:
    text = fmt.significant(cost)
    sizes = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
    shown = Decimal(text[:-1]) * sizes[text[-1]] if text[-1] in sizes else Decimal(text)
    assert abs(shown - cost) <= cost * Decimal("0.005")


def test_durations_read_as_people_say_them() -> None:
    assert fmt.span_of_time(timedelta(milliseconds=240)) == "240 ms"
    assert fmt.span_of_time(timedelta(seconds=24)) == "24.0 s"
    assert fmt.span_of_time(timedelta(seconds=330)) == "5 min 30 s"
    assert fmt.span_of_time(timedelta(hours=3, minutes=12)) == "3 h 12 min"
