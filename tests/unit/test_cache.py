"""Caching figures: the claims of the field as arithmetic, and sessions worked out by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest

from models.costs.cache import (
    CACHE_CALLS,
    SESSION_CALLS,
    cache_money,
    expiry,
    expiry_cost,
    hit_rates,
    hour_beats_five_minutes,
    input_share_with_cache,
    reads_to_break_even,
)
from models.costs.rating import rate_calls
from tests.unit.rating_frames import call, calls, rate, rates

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bucket", "price", "saved", "times"),
    [
        pytest.param("cache_write_5m", "1.25", "84.25", "6.35", id="writes-at-1.25"),
        pytest.param("cache_write_5m", "1", "85.5", "6.90", id="writes-at-1"),
        pytest.param("cache_write_1h", "2", "80.5", "5.13", id="one-hour-writes-at-2"),
    ],
)
def test_95_percent_hits_at_a_tenth(bucket: str, price: str, saved: str, times: str) -> None:
    book = rates(rate("input", "1"), rate("cache_read", "0.1"), rate(bucket, price))
    rated = rate_calls(calls(call(cache_read=950_000, **{bucket: 50_000})), book)
    money = cache_money(rated.lines).row(0, named=True)
    share = money["input_cost"] / money["input_cost_without_cache"]
    assert (1 - share) * 100 == Decimal(saved)
    assert f"{float(1 / share):.2f}" == times
    assert Fraction(share) == input_share_with_cache(Fraction(95, 100), Fraction(1, 10), Fraction(price))


def frame(*rows: dict[str, int | None]) -> pl.DataFrame:
    return pl.DataFrame([dict.fromkeys(CACHE_CALLS) | row for row in rows], schema=CACHE_CALLS)


def test_three_hit_rates_have_three_denominators() -> None:
    got = hit_rates(frame({"input": 100, "cache_read": 1170, "cache_write_5m": 100})).row(0, named=True)
    assert got["read_of_input"] == pytest.approx(1170 / 1370)
    assert got["read_of_cached"] == pytest.approx(11.7 / 12.7)  # 11.7 reads per write are 92.1 %, not 97.2 %
    assert got["read_of_readable"] == pytest.approx(1170 / 1270)


def test_not_reported_is_not_zero_percent() -> None:
    silent = hit_rates(frame({"input": 100})).row(0, named=True)
    none = hit_rates(frame({"input": 100, "cache_read": 0})).row(0, named=True)
    mixed = hit_rates(frame({"input": 900}, {"input": 50, "cache_read": 50})).row(0, named=True)
    assert (silent["read_of_input"], silent["reporting_calls"]) == (None, 0)
    assert (none["read_of_input"], none["read_of_cached"]) == (0.0, None)
    assert (mixed["read_of_input"], mixed["calls"], mixed["reporting_calls"]) == (0.5, 2, 1)


def test_writes_that_nobody_read_are_a_loss() -> None:
    book = rates(rate("input", "4"), rate("cache_write_5m", "5"), rate("cache_read", "0.4"))
    rated = rate_calls(calls(call(input=0, cache_write_5m=1_000_000)), book)
    money = cache_money(rated.lines).row(0, named=True)
    assert (money["savings"], money["write_premium"]) == (Decimal(-1), Decimal(1))


def test_an_unpriced_line_is_counted_and_left_out() -> None:
    book = rates(rate("input", "4"), rate("cache_read", "0.4"))
    rated = rate_calls(calls(call(cache_read=1_000_000), call(cache_write_1h=7)), book)
    money = cache_money(rated.lines).row(0, named=True)
    assert (money["savings"], money["unpriced_lines"]) == (Decimal("3.6"), 1)


def session(*rows: tuple[int, int, int]) -> pl.DataFrame:
    """(seconds after the start, read, written for five minutes) per call."""
    return pl.DataFrame(
        [
            dict.fromkeys(SESSION_CALLS)
            | {"session": "s", "at": START + timedelta(seconds=at), "cache_read": read, "cache_write_5m": written}
            for at, read, written in rows
        ],
        schema=SESSION_CALLS,
    )


def test_a_pause_beyond_the_lifetime_rewrites_what_was_cached() -> None:
    # 1000 written and read in time; then 301 s of pause: 1200 are written again, 1100 of them had been cached.
    got = expiry(session((0, 0, 1000), (300, 1000, 100), (601, 0, 1200)))
    assert got["expired"].to_list() == [False, False, True]
    assert got["rewritten_tokens"].to_list() == [0, 0, 1100]
    assert got["never_read_tokens"].to_list() == [0, 100, 1200]
    assert expiry_cost(1_000_000, Decimal("3.75"), Decimal("0.3")) == Decimal("3.45")


def test_reading_the_old_prefix_is_not_reading_what_was_added() -> None:
    got = expiry(session((0, 0, 1000), (10, 1000, 100), (20, 1000, 0)))
    assert got["never_read_tokens"].to_list() == [0, 100, 0]


def test_order_of_rows_does_not_matter_and_sessions_are_apart() -> None:
    one = session((0, 0, 1000), (301, 0, 1000))
    two = one.with_columns(pl.lit("other").alias("session"))
    both = expiry(pl.concat([two, one]).reverse())
    assert both["rewritten_tokens"].sum() == 2 * expiry(one)["rewritten_tokens"].sum() == 2000


def test_break_even() -> None:
    assert reads_to_break_even(Fraction(5, 4), Fraction(1, 10)) == Fraction(5, 18)  # one read is enough
    assert reads_to_break_even(Fraction(2), Fraction(1, 10)) == Fraction(10, 9)  # two reads are needed
    with pytest.raises(ValueError, match="never pays"):
        reads_to_break_even(Fraction(5, 4), Fraction(1))


def test_the_hour_pays_when_39_percent_of_writes_are_rewrites() -> None:
    share = hour_beats_five_minutes(Fraction(5, 4), Fraction(2), Fraction(1, 10))
    short, read, long = Fraction(5, 4), Fraction(1, 10), Fraction(2)
    assert (1 - share) * long + share * read == short
    assert float(share) == pytest.approx(0.3947, abs=1e-4)
