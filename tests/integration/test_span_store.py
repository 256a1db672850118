"""Spans in PostgreSQL: twice is once, order and split do not matter, and a different span is a rejection."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from models.core.telemetry import Rejection, Span
from models.core.vocabulary import Signal
from models.store import telemetry
from models.store.link_groups import claim_dirty_traces, clear_dirty, link_group
from models.store.span_codec import MAX_SPANS_PER_BLOCK, day_of, prepare_spans, today
from models.store.telemetry import (
    StoreOutcome,
    TooManyDays,
    ensure_partitions,
    load_spans,
    merge_span_counts,
    record_rejections,
    span_counts,
    store_spans,
)

NOON = 1_795_176_000_000_000_000  # 2026-11-20T12:00:00Z


def span(trace: int, number: int, **fields: object) -> Span:
    given_fields: dict[str, object] = {
        "trace_id": trace.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "parent_span_id": None,
        "name": f"chat {number}",
        "start_ns": NOON,
        "end_ns": NOON + number,
        "scope_name": "gen_ai",
        "resource": {"service.name": "svc"},
        "attributes": {"gen_ai.usage.input_tokens": number},
    }
    return Span(**(given_fields | fields))  # type: ignore[arg-type]


def stored(
    database: Engine, project_id: int, spans: Sequence[Span], links: Sequence[Sequence[str]] = ()
) -> StoreOutcome:
    with database.begin() as connection:
        batch = prepare_spans(project_id, spans, links)
        ensure_partitions(connection, batch.days)
        return store_spans(connection, [batch])


def loaded(database: Engine, project_id: int, traces: Sequence[int]) -> list[Span]:
    with database.begin() as connection:
        return load_spans(connection, project_id, [trace.to_bytes(16, "big") for trace in traces])


def test_a_span_comes_back_as_it_went(database: Engine) -> None:
    full = span(
        1,
        1,
        parent_span_id=bytes(range(8)),
        signal=Signal.LOGS,
        kind=3,
        status="error",
        status_message="overloaded",
        scope_version="1.2",
        attributes={"text": "é", "list": [1, "a"], "map": {"k": None}, "float": 0.5, "yes": True},
        events=({"name": "retry", "time_ns": NOON, "attributes": {"attempt": 2}},),
        links=((bytes([7] * 16), bytes([8] * 8)),),
    )
    stored(database, 1, [full])
    assert loaded(database, 1, [1]) == [full]


def test_the_same_span_twice_is_once_and_another_one_under_its_ids_is_a_rejection(database: Engine) -> None:
    first, other = span(2, 1), span(2, 1, attributes={"gen_ai.usage.input_tokens": 99})
    assert stored(database, 1, [first, first]).duplicates == 1
    again = stored(database, 1, [first, other])
    assert (again.stored, again.duplicates, again.conflicting) == (0, 1, 1)
    assert loaded(database, 1, [2]) == [first]
    with database.begin() as connection:
        reasons = connection.execute(
            text("select reason from rejections where trace_id = :trace"), {"trace": (2).to_bytes(16, "big")}
        ).scalars()
        assert [reason[:40] for reason in reasons] == ["another span with the same trace and spa"]


def test_projects_do_not_see_each_other(database: Engine) -> None:
    stored(database, 7, [span(3, 1)])
    assert loaded(database, 8, [3]) == []
    assert stored(database, 8, [span(3, 1)]).stored == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 11), min_size=0, max_size=6), st.randoms(use_true_random=False))
def test_any_split_and_any_order_store_the_same_rows(database: Engine, cuts: list[int], chance: random.Random) -> None:
    spans = [span(100 + number % 3, number + 1) for number in range(12)]
    with database.begin() as connection:
        connection.execute(text("delete from span_blocks where project_id = 30"))
        connection.execute(text("delete from trace_days where project_id = 30"))
    shuffled = spans * 2
    chance.shuffle(shuffled)
    edges = [0, *sorted(cuts), len(shuffled)]
    for start, end in pairwise(edges):
        stored(database, 30, shuffled[start:end])
    assert loaded(database, 30, [100, 101, 102]) == sorted(spans, key=lambda s: (s.trace_id, s.span_id))


def test_many_who_store_overlapping_parts_of_a_trace_at_once_store_each_span_once(database: Engine) -> None:
    spans = [span(110 + number % 2, number + 1) for number in range(40)]

    def store_parts(seed: int) -> int:
        chance = random.Random(seed)
        return sum(stored(database, 31, chance.sample(spans, 7)).stored for _ in range(12))

    with ThreadPoolExecutor(4) as pool:
        new = sum(pool.map(store_parts, range(4)))
    with database.begin() as connection:
        rows = connection.execute(text("select trace_id, span_id from spans where project_id = 31")).all()
        assert len(rows) == len(set(rows)) == new == span_counts(connection, 31).stored
    assert [one for one in loaded(database, 31, [110, 111]) if one not in spans] == []


def test_a_trace_of_many_spans_is_kept_in_blocks_and_repeats_within_one_body_are_found(database: Engine) -> None:
    spans = [span(12, number + 1) for number in range(MAX_SPANS_PER_BLOCK * 2 + 3)]
    other = span(12, 5, name="differs")
    outcome = stored(database, 32, [*spans, *spans[:3], other, replace(other, scope_name="elsewhere")])
    assert (outcome.stored, outcome.duplicates, outcome.conflicting) == (len(spans), 3, 2)
    assert loaded(database, 32, [12]) == spans
    late = stored(database, 32, [spans[70], span(12, 9_999)])
    assert (late.stored, late.duplicates) == (1, 1)
    with database.begin() as connection:
        blocks = connection.execute(text("select length(span_ids) / 8 from span_blocks where project_id = 32"))
        assert sorted(blocks.scalars()) == [1, 3, MAX_SPANS_PER_BLOCK, MAX_SPANS_PER_BLOCK]


def test_a_trace_over_midnight_lies_on_two_days_and_is_read_whole(database: Engine) -> None:
    night = [span(4, 1), span(4, 2, end_ns=NOON + 86_400_000_000_000)]
    stored(database, 1, night)
    assert len({day_of(one.end_ns) for one in night}) == 2
    assert loaded(database, 1, [4]) == night


def test_a_span_that_arrives_while_its_trace_is_derived_leaves_it_dirty(database: Engine) -> None:
    stored(database, 40, [span(5, 1)])
    with database.begin() as derivation:
        claimed = claim_dirty_traces(derivation, 10, project_id=40)
        assert [claim[:2] for claim in claimed] == [(40, (5).to_bytes(16, "big"))]
        with database.begin() as other:
            assert claim_dirty_traces(other, 10, project_id=40) == []
        stored(database, 40, [span(5, 2)])
        assert clear_dirty(derivation, claimed) == 1
    with database.begin() as connection:
        assert len(claim_dirty_traces(connection, 10, project_id=40)) == 1
        counts = span_counts(connection, 40)
        assert (counts.stored, counts.pending) == (2, 1)


def test_traces_that_share_a_link_are_one_group_however_long_the_chain(database: Engine) -> None:
    stored(database, 50, [span(6, 1), span(7, 1), span(8, 1), span(9, 1)], [["a"], ["a", "b"], ["b"], ["c"]])
    with database.begin() as connection:
        group = link_group(connection, 50, [(6).to_bytes(16, "big")])
        assert sorted(int.from_bytes(trace, "big") for trace in group) == [6, 7, 8]
        assert link_group(connection, 51, [(6).to_bytes(16, "big")]) == {(6).to_bytes(16, "big")}


def test_partitions_are_made_once_and_only_within_bounds(database: Engine) -> None:
    days = [today() + timedelta(days=number) for number in range(3)]
    with database.begin() as connection:
        ensure_partitions(connection, days)
        assert ensure_partitions(connection, days) == 0
        with pytest.raises(TooManyDays, match="Split the import"):
            ensure_partitions(connection, [today() + timedelta(days=number) for number in range(1001)])


def test_a_rejection_sent_again_is_kept_once_and_a_flood_is_summed_up(database: Engine) -> None:
    flood = [Rejection(position=f"spans[{number}]", reason="bad") for number in range(150)]
    for _ in range(2):
        with database.begin() as connection:
            record_rejections(connection, 60, flood, body_digest=5)
    with database.begin() as connection:
        rows = connection.execute(text("select reason from rejections where project_id = 60")).scalars().all()
    assert len(rows) == 101
    assert "50 more records of this body were rejected; the first 100 are listed" in rows


def test_the_app_role_cannot_change_a_stored_span(database: Engine) -> None:
    stored(database, 1, [span(10, 1)])
    with database.connect() as connection, pytest.raises(Exception, match="permission denied"):
        connection.execute(text("update span_blocks set last_end_ns = 0"))
    assert replace(span(10, 1)) == loaded(database, 1, [10])[0]


def test_the_count_of_stored_spans_is_that_of_the_rows_however_often_it_is_put_together(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "COUNTS_AT_MOST", 3)
    spans = [span(200 + number % 4, number + 1, end_ns=NOON + number * 40_000_000_000_000) for number in range(9)]
    for start in (0, 2, 1, 5, 0):
        stored(database, 60, spans[start : start + 4])
        with database.begin() as connection:
            merge_span_counts(connection)
            rows = connection.execute(text("select count(*) from spans where project_id = 60")).scalar_one()
            assert span_counts(connection, 60).stored == rows
    with database.begin() as connection:
        parts = connection.execute(text("select count(*) from stored_spans where project_id = 60")).scalar_one()
        days = connection.execute(text("select count(distinct day) from spans where project_id = 60")).scalar_one()
        assert parts == days > 1
