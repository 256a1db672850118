"""A project's own rates: what is taken, what overlaps, and that they stand above the shipped list."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from models.core.errors import BadInput, Conflict
from models.core.frames import CALLS, RATES
from models.costs.rating import rate_calls
from models.prices.books import own_rate, rates_of_file, with_rates
from models.prices.genai import shipped_rates
from models.prices.skus import with_price_keys
from tests.unit.rating_frames import call, calls

EMPTY = pl.DataFrame(schema=RATES)


def own(**facts: Any) -> dict[str, Any]:
    return own_rate({"provider": "openai", "model": "gpt-4o", "bucket": "input", "price_per_m": "2"} | facts)


def test_an_own_rate_stands_above_the_shipped_one_from_its_first_day() -> None:
    book = with_rates(EMPTY, [own(valid_from="2026-02-01")])
    rows = (
        call("openai", "gpt-4o-2024-08-06", at=datetime(2026, month, 1, tzinfo=UTC), input=1_000_000)
        for month in (1, 2)
    )
    named = with_price_keys(calls(*rows)).select(list(CALLS))
    got = rate_calls(named, pl.concat([shipped_rates(), book])).charges
    assert got["list_cost"].to_list() == [Decimal("2.5"), Decimal(2)]


def test_a_model_without_a_price_gets_one_by_the_names_spans_use() -> None:
    book = with_rates(EMPTY, [own(provider="ollama", model="Llama3")])
    named = with_price_keys(calls(call("ollama", "llama3", input=1_000_000))).select(list(CALLS))
    assert rate_calls(named, book).charges["list_cost"].to_list() == [Decimal(2)]


def test_overlap_is_refused_and_succession_ends_the_open_price() -> None:
    book = with_rates(EMPTY, [own(valid_from="2026-01-01")])
    later = own(valid_from="2026-03-01", price_per_m="1")
    with pytest.raises(Conflict, match="already has the price 2 from 2026-01-01"):
        with_rates(book, [later])
    both = with_rates(book, [later], end_previous=True).sort("valid_from")
    assert both["valid_to"].to_list() == [datetime(2026, 3, 1, tzinfo=UTC), None]
    with pytest.raises(Conflict):
        with_rates(both, [own(valid_from="2026-02-01", price_per_m="3")], end_previous=True)


def test_a_price_of_the_same_period_is_corrected_but_not_by_its_neighbour_in_a_file() -> None:
    book = with_rates(EMPTY, [own(valid_from="2026-01-01")])
    corrected = with_rates(book, [own(valid_from="2026-01-01", price_per_m="3")], end_previous=True)
    assert corrected["price_per_m"].to_list() == [Decimal(3)]
    with pytest.raises(Conflict, match="already has the price 3 from 2026-01-01"):
        with_rates(EMPTY, [own(valid_from="2026-01-01", price_per_m=price) for price in "35"], end_previous=True)


def test_the_same_rate_twice_is_once() -> None:
    book = with_rates(EMPTY, [own()])
    assert with_rates(book, [own(price_per_m="2.000")]).equals(book)


def test_times_of_day_meet_only_where_they_share_a_minute() -> None:
    night = own(daily_start="22:00", daily_end="06:00")
    assert with_rates(EMPTY, [own(), night, own(daily_start="06:00", daily_end="22:00")]).height == 3
    with pytest.raises(Conflict):
        with_rates(EMPTY, [night, own(daily_start="05:59", daily_end="07:00")])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price_per_m", "-1"),
        ("price_per_m", "NaN"),
        ("price_per_m", "0.0000000001"),
        ("price_per_m", 2.5),
        ("bucket", "tokens"),
        ("kind", "cheap"),
        ("valid_from", "2026-01-01T00:00:00"),
        ("context_from", "-5"),
        ("colour", "red"),
        ("daily_start", "06:00"),
        ("provider", ""),
    ],
)
def test_what_cannot_be_taken_names_its_field(field: str, value: object) -> None:
    with pytest.raises(BadInput) as fault:
        own(**{field: value})
    assert field.replace("daily_start", "daily_end") in [error["field"] for error in fault.value.errors]


def test_files_are_taken_whole_or_name_their_row() -> None:
    head = b"provider,model,bucket,price_per_m,valid_from\n"
    rows = rates_of_file("p.csv", head + b"acme,m1,input,3,2026-01-01\nacme,m1,output,15,\n")
    assert [row["price_per_m"] for row in rows] == [Decimal(3), Decimal(15)]
    assert rates_of_file("p.json", b'[{"provider":"a","model":"m","bucket":"input","price_per_m":0.3}]')
    with pytest.raises(BadInput, match=r"rate 2 of p\.csv cannot be taken: price_per_m"):
        rates_of_file("p.csv", head + b"acme,m1,input,3,\nacme,m1,output,free,\n")
    with pytest.raises(BadInput, match="cannot be read"):
        rates_of_file("p.json", b"{")
