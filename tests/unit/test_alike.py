"""Calls that are rated alike: what one of their kind tells of all of them is what they say one by one."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from models.core.frames import CALLS
from models.core.vocabulary import BUCKETS, INPUT_BUCKETS
from models.costs.alike import Alike, multiplied_out, stand_ins
from models.costs.rating import Rated, rate_calls
from tests.unit.rating_frames import NOON, call, calls, rate, rates

LONG = 200_001
BOOK = rates(
    rate("input", "3"),
    rate("input", "6", context_from=LONG),
    rate("input", "2.7", kind="contract", priority=10),
    rate("cache_read", "0.3"),
    rate("output", "15"),
    rate("output", "22.5", context_from=LONG),
    rate("requests", "5000"),
)
Counts = Mapping[str, Any]
some_counts = st.fixed_dictionaries(
    {
        **{bucket.value: st.none() for bucket in BUCKETS},
        "input": st.sampled_from([None, 0, 1, 7, LONG - 1, LONG]),
        "cache_read": st.sampled_from([None, 0, 1, 1_000, LONG]),
        "cache_write_5m": st.sampled_from([None, None, None, 0, 4]),
        "output": st.sampled_from([None, 0, 1, 412]),
        "reasoning": st.sampled_from([None, 0, 3]),
    }
)


def kind(counts: Counts) -> tuple[bool, frozenset[str] | None]:
    """What decides the price of a call of one model at one moment."""
    told = any(counts[bucket] is not None for bucket in BUCKETS)
    used = frozenset(bucket.value for bucket in BUCKETS if counts[bucket])
    return sum(counts[bucket] or 0 for bucket in INPUT_BUCKETS) >= LONG, used if told else None


def alike(counts: Sequence[Counts]) -> Alike:
    is_long, used = kind(counts[0])
    return Alike(
        provider="acme",
        model="m1",
        service_tier=None,
        region=None,
        at=NOON,
        least_input=LONG if is_long else 0,
        used=used,
        calls=len(counts),
        tokens={bucket.value: sum(each[bucket] or 0 for each in counts) for bucket in BUCKETS},
    )


def rated_alone(counts: Sequence[Counts]) -> Rated:
    return rate_calls(calls(*(call(**each) for each in counts)), BOOK)


@given(st.lists(some_counts, min_size=1, max_size=40))
def test_the_sums_of_calls_that_are_alike_are_those_of_the_calls(rows: list[dict[str, Any]]) -> None:
    kinds: dict[Hashable, list[Counts]] = defaultdict(list)
    for counts in rows:
        kinds[kind(counts)].append(counts)
    groups = [alike(counts) for counts in kinds.values()]
    named = stand_ins(groups).with_columns(price_provider="provider", price_model="model")
    together = multiplied_out(groups, rate_calls(named, BOOK))
    for counts, found in zip(kinds.values(), together, strict=True):
        alone = rated_alone(counts)
        charges = alone.charges
        assert {(found.price_status, found.unpriced_reason)} == set(
            charges.select("price_status", "unpriced_reason").iter_rows()
        )
        assert found.unpriced_tokens == charges["unpriced_tokens"].sum()
        for cost, sum_of_all in (("effective_cost", found.effective_cost), ("cost_without_cache", found.uncached_cost)):
            known = charges[cost].drop_nulls()
            assert len(known) in (0, len(counts)), "calls that are alike are known together"
            assert sum_of_all == (sum(known.to_list()) if len(known) else None)
        for _, lines in alone.lines.group_by("span_id"):
            assert tuple(lines["bucket"]) == found.lines.buckets
            assert tuple(lines["price_per_m"]) == found.lines.prices_per_m
            assert tuple(lines["billed_price_per_m"]) == (found.lines.billed_prices_per_m or found.lines.prices_per_m)


def test_no_groups_have_no_stand_ins() -> None:
    assert stand_ins([]).schema == pl.Schema(CALLS)
    assert multiplied_out([], rate_calls(stand_ins([]), BOOK)) == []
