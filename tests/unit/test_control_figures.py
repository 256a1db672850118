"""Figures behind the control pages: shown parts add up, evidence of a loop, burn-down, cache rows."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core.money import rounded
from models.costs.burndown import burn_down
from models.costs.cache_report import GROUPED_CALLS, GROUPED_COUNTS, GROUPED_LINES, cache_report
from models.costs.displayed import shown_parts
from models.costs.evidence import burn_of, repeats_of
from models.costs.steps import Step

AMOUNTS = st.dictionaries(
    st.text(min_size=1, max_size=3), st.decimals(-1000, 1000, places=9, allow_nan=False), min_size=1, max_size=8
)


@given(AMOUNTS, st.integers(0, 6))
def test_what_is_shown_adds_up_to_the_sum_that_is_shown(parts: dict[str, Decimal], digits: int) -> None:
    shown = shown_parts(parts, digits)
    assert sum(shown.values(), Decimal(0)) == rounded(sum(parts.values(), Decimal(0)), digits)
    assert all(abs(shown[key] - parts[key]) < Decimal(1).scaleb(-digits) for key in parts)


def step(number: int, tool: str | None, cost: str | None = None, context: int | None = None) -> Step:
    return Step(
        trace_id=b"t" * 16,
        span_id=number.to_bytes(8, "big"),
        start_ns=number * 10**9,
        end_ns=number * 10**9 + 1,
        operation="execute_tool" if tool else "chat",
        agent="a",
        tool=tool,
        arguments_hash="blake2b:abcdef0123456789" if tool else None,
        input_tokens=context,
        cost=None if cost is None else Decimal(cost),
    )


def test_each_repeat_has_the_context_and_cost_of_the_calls_before_it() -> None:
    steps = [step(1, None, "0.5", 90), step(2, None, "0.1", 100), step(3, "x"), step(4, None, "0.2", 200), step(5, "x")]
    rows = repeats_of(steps, ["x"], "a", 3 * 10**9, 6 * 10**9)
    assert [(row.number, row.context, row.cost) for row in rows] == [
        (1, 100, Decimal("0.1")),
        (2, 200, Decimal("0.2")),
    ]
    assert rows[0].arguments == "abcdef01"


def test_a_repeat_whose_calls_have_no_price_has_no_cost() -> None:
    rows = repeats_of([step(1, None, None, 5), step(2, "x")], ["x"], "a", 0, 10**12)
    assert [row.cost for row in rows] == [None]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), min_size=1, max_size=30))
def test_money_per_minute_over_all_slices_is_the_money(calls: list[tuple[int, int]]) -> None:
    steps = [step(at, None, str(Decimal(cost) / 10**6)) for at, cost in calls]
    burnt = sum((one.per_minute * Decimal(str(one.seconds)) / 60 for one in burn_of(steps)), Decimal(0))
    assert burnt == pytest.approx(sum(Decimal(cost) for _, cost in calls) / 10**6, rel=Decimal("1e-9"))


def test_burn_down_adds_up_days_and_says_when_the_amount_is_crossed() -> None:
    days = [Decimal(10), Decimal(20), Decimal(5)]
    found = burn_down(date(2026, 11, 1), date(2026, 11, 30), Decimal(25), days, 2, None)
    assert [total for _, total in found.days] == [Decimal(10), Decimal(30), Decimal(35)]
    assert found.ahead == []


def calls_of(*rows: tuple[str, int | None, int | None, int]) -> pl.DataFrame:
    """Calls ten minutes apart: session, cache read, 5-minute write, input."""
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    return pl.DataFrame(
        [
            ("a", "m", session, begin + timedelta(minutes=10 * at), plain, read, write, None, None, None)
            for at, (session, read, write, plain) in enumerate(rows)
        ],
        schema=GROUPED_CALLS,
        orient="row",
    )


def counts(calls: int) -> pl.DataFrame:
    return pl.DataFrame([("a", "m", calls)], schema=GROUPED_COUNTS, orient="row")


LINES = pl.DataFrame(
    [
        ("a", "m", "cache_read", 100, 100, Decimal("0.00003"), Decimal("0.0003")),
        ("a", "m", "cache_write_5m", 200, 200, Decimal("0.00075"), Decimal("0.0006")),
    ],
    schema=GROUPED_LINES,
    orient="row",
)


def test_a_cache_row_by_hand() -> None:
    # 100 written; after ten minutes 100 are written again (lost), and the call after that reads 100.
    row = cache_report(calls_of(("s", 0, 100, 0), ("s", 0, 100, 0), ("s", 100, 0, 100)), LINES, counts(3)).rows[0]
    assert row.read_of_input == pytest.approx(100 / 400)
    assert row.read_of_cached == pytest.approx(100 / 300)
    assert row.read_of_readable == pytest.approx(100 / 200)
    assert row.savings == Decimal("0.00012")
    assert row.write_premium == Decimal("0.00015")
    assert (row.rewritten_tokens, row.never_read_tokens) == (100, 100)
    # A written token cost 3.75 and a read one 0.3 per million.
    assert row.lost_to_expiry == Decimal("0.000345")
    assert row.never_read_cost == Decimal("0.000375")
    assert row.hour_pays is True


def test_what_is_not_reported_is_not_zero() -> None:
    report = cache_report(calls_of(("s", None, None, 100)), LINES.clear(), counts(1))
    assert report.total.read_of_input is None
    assert report.total.reporting_calls == 0
    assert report.total.lost_to_expiry is None


def test_money_is_of_all_calls_and_rates_and_waste_of_those_looked_at() -> None:
    # Four hundred tokens were written in all, a hundred of them without a price, two hundred by the calls looked at.
    lines = LINES.with_columns(tokens=pl.Series([100, 400]), quantity=pl.Series([100, 300]))
    row = cache_report(calls_of(("s", 0, 100, 0), ("s", 0, 100, 0)), lines, counts(9), is_whole=False).rows[0]
    assert (row.calls, row.seen_calls) == (9, 2)
    assert (row.written_tokens, row.seen_written_tokens) == (400, 200)
    assert row.savings == Decimal("0.00012")
    # What has a price: 0.00075 for 300 tokens.
    assert row.never_read_cost == Decimal("0.0005")
    assert row.rewrites_within_hour == pytest.approx(0.5)


def test_what_was_not_looked_at_has_money_and_no_rates() -> None:
    report = cache_report(calls_of(), LINES, counts(3), is_whole=False)
    [row] = report.rows
    assert (row.calls, row.seen_calls, row.savings) == (3, 0, Decimal("0.00012"))
    assert (row.read_of_input, row.never_read_tokens, row.lost_to_expiry) == (None, None, None)
    assert report.total.rewritten_tokens is None


def test_a_share_of_the_cost_of_anothers_call_is_money_without_tokens() -> None:
    lines = LINES.with_columns(agent=pl.Series(["b", "b"]), tokens=pl.Series([0, 0]), quantity=pl.Series([0, 0]))
    report = cache_report(calls_of(("s", 0, 100, 0)), pl.concat([LINES, lines]), counts(1))
    assert [(row.agent, row.savings, row.calls) for row in report.rows] == [
        ("a", Decimal("0.00012"), 1),
        ("b", Decimal("0.00012"), 0),
    ]
    assert report.total.savings == Decimal("0.00024")
