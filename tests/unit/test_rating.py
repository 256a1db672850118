"""Rating: figures a person can work out, and laws."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core.frames import CALLS, CHARGES, LINES
from models.core.money import exact_cost
from models.costs.rate_cards import OverlappingRates, PriceTooFine
from models.costs.rating import rate_calls
from tests.unit.rating_frames import NOON, call, calls, rate, rates

JAN, FEB, MAR = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
PLAIN = (rate("input", "3"), rate("output", "15"), rate("cache_read", "0.3"), rate("cache_write_5m", "3.75"))


def charge(one: dict[str, Any], *book: dict[str, Any]) -> dict[str, Any]:
    return rate_calls(calls(one), rates(*book)).charges.row(0, named=True)


def test_quantity_times_rate_summed_over_buckets() -> None:
    got = rate_calls(
        calls(call(input=1000, cache_read=10_000, cache_write_5m=2_000, output=500, reasoning=0)), rates(*PLAIN)
    )
    # 1000×3 + 10000×0.3 + 2000×3.75 + 500×15 = 3000 + 3000 + 7500 + 7500 = 21000 millionths
    assert got.charges["list_cost"].to_list() == [Decimal("0.021")]
    assert got.charges["cost_without_cache"].to_list() == [Decimal("0.0465")]  # 13000×3 + 7500
    assert dict(got.lines.select("bucket", "list_cost").iter_rows()) == {
        "input": Decimal("0.003"),
        "cache_read": Decimal("0.003"),
        "cache_write_5m": Decimal("0.0075"),
        "output": Decimal("0.0075"),
    }
    assert pl.Schema(CHARGES) == got.charges.schema
    assert pl.Schema(LINES) == got.lines.schema


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        pytest.param(JAN, "3", id="first-moment-is-inside"),
        pytest.param(FEB - timedelta(microseconds=1), "3", id="last-microsecond-is-inside"),
        pytest.param(FEB, "6", id="last-moment-belongs-to-the-next-rate"),
        pytest.param(MAR, None, id="after-the-last-rate-is-unpriced-not-free"),
        pytest.param(JAN - timedelta(microseconds=1), None, id="before-the-first-rate-is-unpriced"),
    ],
)
def test_the_rate_in_force_at_the_end_decides(at: datetime, expected: str | None) -> None:
    book = (
        rate("input", "3", valid_from=JAN, valid_to=FEB),
        rate("input", "6", valid_from=FEB, valid_to=MAR),
    )
    got = charge(call(at=at, input=1_000_000), *book)
    assert got["list_cost"] == (Decimal(expected) if expected else None)
    assert (got["unpriced_reason"] is None) == (expected is not None)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param({"input": 200_000, "output": 10}, "0.25015", id="200000-is-the-low-band"),
        pytest.param({"input": 200_001, "output": 10}, "0.5002275", id="one-more-moves-every-token"),
        pytest.param({"input": 1, "cache_read": 200_000, "output": 0}, "0.0500025", id="the-cache-counts-for-the-band"),
    ],
)
def test_the_band_of_the_total_input_prices_all_tokens(counts: dict[str, int], expected: str) -> None:
    book = (
        rate("input", "1.25"),
        rate("input", "2.5", context_from=200_001),
        rate("output", "15"),
        rate("output", "22.5", context_from=200_001),
        rate("cache_read", "0.125"),
        rate("cache_read", "0.25", context_from=200_001),
    )
    assert charge(call(**counts), *book)["list_cost"] == Decimal(expected)


def test_a_time_of_day_may_pass_midnight() -> None:
    book = (rate("input", "4"), rate("input", "1", daily_start=time(16, 30), daily_end=time(0, 30)))
    hours = {(16, 29): "4", (16, 30): "1", (0, 0): "1", (0, 29): "1", (0, 30): "4"}
    batch = calls(*(call(at=NOON.replace(hour=h, minute=m), input=1_000_000) for h, m in hours))
    assert rate_calls(batch, rates(*book)).charges["list_cost"].to_list() == [Decimal(p) for p in hours.values()]


def test_tiers_have_rates_of_their_own_and_are_never_guessed() -> None:
    book = (*PLAIN, rate("input", "1.5", tier="batch"))
    assert charge(call(input=1_000_000, service_tier="batch"), *book)["list_cost"] == Decimal("1.5")
    assert charge(call(input=1_000_000, service_tier="Default"), *book)["list_cost"] == Decimal(3)
    flex = charge(call(input=1_000_000, service_tier="flex"), *book)
    assert (flex["list_cost"], flex["unpriced_tokens"]) == (None, 1_000_000)
    assert flex["unpriced_reason"] == "no price for tier flex of model m1 of provider acme"


def test_a_region_of_its_own_beats_every_region() -> None:
    book = (rate("input", "3"), rate("input", "3.3", region="eu"), rate("output", "15"))
    assert charge(call(input=1_000_000, output=1_000_000, region="eu"), *book)["list_cost"] == Decimal("18.3")
    assert charge(call(input=1_000_000, region="us"), *book)["list_cost"] == Decimal(3)


def test_a_call_with_one_unknown_part_is_unpriced_as_a_whole() -> None:
    got = rate_calls(calls(call(input=10, cache_write_1h=5, output=1)), rates(*PLAIN))
    row = got.charges.row(0, named=True)
    assert row["unpriced_reason"] == "no cache_write_1h price for model m1 of provider acme"
    assert (row["list_cost"], row["billed_cost"], row["effective_cost"]) == (None, None, None)
    assert (row["price_status"], row["unpriced_tokens"]) == ("unpriced", 16)
    assert got.lines["list_cost"].null_count() == got.lines.height == 3
    assert got.lines["quantity"].sum() == 16


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param({"model": "m9", "input": 1}, "no price for model m9 of provider acme", id="model"),
        pytest.param({}, "usage absent", id="usage-absent"),
        pytest.param({"input": -1}, "a count is below zero, or a part exceeds its bucket", id="negative"),
        pytest.param(
            {"input": 1, "web_search_requests": 1},
            "no web_search_requests price for model m1 of provider acme",
            id="web",
        ),
    ],
)
def test_unpriced_says_why(facts: dict[str, Any], reason: str) -> None:
    assert charge(call(**facts), *PLAIN)["unpriced_reason"] == reason


def test_nothing_used_costs_nothing_even_without_a_price() -> None:
    got = charge(call(model="m9", input=0, output=0), *PLAIN)
    assert (got["list_cost"], got["price_status"], got["unpriced_tokens"]) == (Decimal(0), "priced", 0)


def test_assumptions_stand_on_the_line() -> None:
    lines = rate_calls(calls(call(cache_write_unknown=10, reasoning=10, tool_use_input=10)), rates(*PLAIN)).lines
    assert {row["bucket"]: (row["price_per_m"], bool(row["assumption"])) for row in lines.to_dicts()} == {
        "cache_write_unknown": (Decimal("3.75"), True),
        "reasoning": (Decimal(15), True),
        "tool_use_input": (Decimal(3), True),
    }
    own = rate_calls(calls(call(reasoning=10)), rates(*PLAIN, rate("reasoning", "9"))).lines.row(0, named=True)
    assert (own["price_per_m"], own["assumption"]) == (Decimal(9), None)


def test_details_leave_their_bucket_only_where_they_have_a_rate() -> None:
    audio = call(input=100, input_audio=40, cache_read=10, cache_read_audio=4, output=0)
    assert charge(audio, *PLAIN)["list_cost"] == Decimal("0.000303")  # 100×3 + 10×0.3
    book = (*PLAIN, rate("input_audio", "32"))
    got = rate_calls(calls(audio), rates(*book))
    assert got.charges["list_cost"][0] == Decimal("0.001463")  # 60×3 + 40×32 + 10×0.3
    assert dict(got.lines.select("bucket", "quantity").iter_rows()) == {
        "input": 60,
        "input_audio": 40,
        "cache_read": 10,
    }
    too_many = charge(call(input=1, input_audio=2), *book)
    assert too_many["unpriced_reason"] == "a count is below zero, or a part exceeds its bucket"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param({"cache_read_audio": 30}, "0.001706", id="both-parts-told"),  # 60×3 + 40×32 + 20×0.3 + 30×8
        pytest.param({"cache_read_audio": 0}, "0.001475", id="none-of-it-was-read"),  # 60×3 + 40×32 + 50×0.3
        pytest.param({}, None, id="nobody-tells-how-much-was-read"),
    ],
)
def test_audio_beside_cached_tokens_needs_its_split(counts: dict[str, int], expected: str | None) -> None:
    book = (*PLAIN, rate("input_audio", "32"), rate("cache_read_audio", "8"))
    prompt = call(input=100, input_audio=40, cache_read=50, output=0, **counts)
    got = rate_calls(calls(prompt), rates(*book))
    row = got.charges.row(0, named=True)
    assert row["list_cost"] == (Decimal(expected) if expected else None)
    # Priced or not, every token of the prompt stands on one line.
    assert got.lines["quantity"].sum() == 150
    if expected is None:
        untold = "how much of input_audio was read from the cache is not told, and it has a rate of its own"
        assert (row["unpriced_reason"], row["unpriced_tokens"]) == (untold, 150)
    # Where audio costs what text costs, its split decides nothing: 100×3 + 50×0.3.
    assert charge(prompt, *PLAIN)["list_cost"] == Decimal("0.000315")


def test_images_read_from_the_cache_have_their_rate() -> None:
    book = (*PLAIN, rate("input_image", "10"), rate("cache_read_image", "2.5"))
    got = charge(call(input=100, input_image=40, cache_read=50, cache_read_image=20, output=0), *book)
    # 60×3 + 40×10 + 30×0.3 + 20×2.5; without a cache 60×3 + 60×10 + 30×3
    assert (got["list_cost"], got["cost_without_cache"]) == (Decimal("0.000639"), Decimal("0.00087"))


def test_a_fee_per_request_is_charged_once_for_a_call_that_used_tokens() -> None:
    book = (*PLAIN, rate("requests", "12000"))
    assert charge(call(input=1), *book)["list_cost"] == Decimal("0.012003")
    assert charge(call(input=0), *book)["list_cost"] == Decimal(0)


def test_a_contract_is_billed_and_the_list_price_stays_beside_it() -> None:
    book = (*PLAIN, rate("input", "2.4", kind="contract", priority=10))
    got = charge(call(input=1_000_000, output=1_000_000), *book)
    assert (got["list_cost"], got["billed_cost"], got["effective_cost"]) == (18, Decimal("17.4"), Decimal("17.4"))


def test_a_higher_priority_replaces_all_bands() -> None:
    book = (rate("input", "1"), rate("input", "2", context_from=100), rate("input", "5", priority=10))
    assert charge(call(input=1_000_000), *book)["list_cost"] == Decimal(5)


def test_equal_rates_may_not_overlap() -> None:
    with pytest.raises(OverlappingRates, match=r"rates 1 \(3\) and 2 \(4\) both price input of acme m1"):
        charge(call(input=1), rate("input", "3"), rate("input", "4", valid_from=JAN))


def test_a_price_finer_than_a_cost_can_hold_is_refused() -> None:
    with pytest.raises(PriceTooFine, match="more than 9"):
        charge(call(input=1), rate("input", "0.0000000001"))


def test_no_calls_give_no_charges() -> None:
    got = rate_calls(pl.DataFrame(schema=CALLS), rates(*PLAIN))
    assert got.charges.schema == pl.Schema(CHARGES)
    assert (got.charges.height, got.lines.height) == (0, 0)


counts = st.one_of(st.none(), st.integers(0, 10**12))


@given(st.lists(st.tuples(counts, counts, counts, st.integers(0, 10**12)), min_size=1, max_size=30), st.randoms())
def test_lines_sum_to_charges_exactly_in_any_order(rows: list[tuple[int | None, ...]], shuffle: Any) -> None:
    names = ("input", "cache_read", "cache_write_unknown", "output")
    batch = calls(*(call(**dict(zip(names, row, strict=True))) for row in rows))
    book = rates(*PLAIN[:2], rate("cache_read", "0.012345679"), rate("cache_write_5m", "999.999999999"))
    got = rate_calls(batch, book)
    prices = (Decimal(3), Decimal("0.012345679"), Decimal("999.999999999"), Decimal(15))
    expected = [sum((exact_cost(n or 0, p) for n, p in zip(row, prices, strict=True)), Decimal(0)) for row in rows]
    assert got.charges["list_cost"].to_list() == expected
    assert sum(got.lines["list_cost"].to_list(), Decimal(0)) == sum(expected)
    order = list(range(batch.height))
    shuffle.shuffle(order)
    assert rate_calls(batch[order], book).charges.equals(got.charges[order])
