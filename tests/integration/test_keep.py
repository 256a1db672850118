"""Partitions are made ahead, and dropped behind: online, in order, and only where every month is closed."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from app import wiring
from app.settings import Settings
from app.tasks.keep import days_ahead, drop_expired, keep
from app.wiring import Wiring
from models.core.telemetry import Derivation, TokenCounts
from models.core.time import ns_of_utc
from models.store.calls import replace_calls
from models.store.link_groups import claim_dirty_traces, clear_dirty
from models.store.projects import ensure_project
from models.store.retention import kept_days, left_behind
from models.store.telemetry import load_spans
from tests.conftest import Database
from tests.integration.test_span_store import span, stored
from tests.ledger_builders import make_call

OLD = date(2025, 3, 30)
"""Two days of March and two of April."""
DAYS = [OLD + timedelta(days=number) for number in range(4)]
BEFORE = date(2025, 5, 1)


@pytest.fixture
def project(database: Engine, owner_engine: Engine) -> Iterator[int]:
    """A project with one trace per day, one that lies on two, all derived."""
    with database.begin() as connection:
        made = ensure_project(connection, "keeper").id
    for number, day in enumerate(DAYS):
        noon = ns_of_utc(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
        stored(
            database, made, [span(100 + number, 1, start_ns=noon, end_ns=noon)], [[f"shared-response-{number // 2}"]]
        )
        stored(database, made, [span(200, number + 1, start_ns=noon, end_ns=noon)])
    with database.begin() as connection:
        clear_dirty(connection, claim_dirty_traces(connection, 1000))
    yield made
    with owner_engine.begin() as connection:
        connection.execute(text("delete from periods"))
        connection.execute(text("delete from trace_days"))
        connection.execute(text("delete from trace_links"))
        for day in kept_days(connection):
            connection.execute(text(f"drop table spans_{day:%Y%m%d}"))


def close(engine: Engine, project: int, month: date) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into periods (project_id, month, state, changed_at, changed_by) "
                "values (:project, :month, 'closed', now(), 'test')"
            ),
            {"project": project, "month": month},
        )


def days(engine: Engine) -> list[date]:
    with engine.connect() as connection:
        return kept_days(connection)


def test_a_day_of_an_open_month_is_never_dropped(database: Engine, owner_engine: Engine, project: int) -> None:
    assert drop_expired(database, owner_engine, BEFORE) == []
    assert days(database) == DAYS


def test_days_go_up_to_the_first_open_month(database: Engine, owner_engine: Engine, project: int) -> None:
    close(owner_engine, project, date(2025, 3, 1))
    assert drop_expired(database, owner_engine, BEFORE) == DAYS[:2]
    assert days(database) == DAYS[2:]
    with database.connect() as connection:
        links = connection.execute(text("select trace_id from trace_links")).scalars()
        assert {int.from_bytes(trace) for trace in links} == {102, 103}
        left = connection.execute(text("select trace_id, day from trace_days order by day, trace_id")).all()
    assert [(int.from_bytes(row.trace_id), row.day) for row in left] == [
        (102, DAYS[2]),
        (200, DAYS[2]),
        (103, DAYS[3]),
        (200, DAYS[3]),
    ]


def test_a_day_younger_than_the_retention_stays(database: Engine, owner_engine: Engine, project: int) -> None:
    close(owner_engine, project, date(2025, 3, 1))
    assert drop_expired(database, owner_engine, DAYS[1]) == DAYS[:1]


def test_a_day_with_spans_not_yet_derived_stays(database: Engine, owner_engine: Engine, project: int) -> None:
    close(owner_engine, project, date(2025, 3, 1))
    noon = ns_of_utc(datetime(2025, 3, 31, 13, tzinfo=UTC))
    stored(database, project, [span(300, 1, start_ns=noon, end_ns=noon)])
    assert drop_expired(database, owner_engine, BEFORE) == DAYS[:1]
    with database.begin() as connection:
        clear_dirty(connection, claim_dirty_traces(connection, 1000))


def test_who_still_needs_a_day_can_be_told_from_outside(database: Engine, owner_engine: Engine, project: int) -> None:
    needed = drop_expired(database, owner_engine, BEFORE, lambda _, day: ["auditor"] if day >= DAYS[3] else [])
    assert needed == DAYS[:3]


def test_a_drop_that_was_interrupted_is_ended(database: Engine, owner_engine: Engine, project: int) -> None:
    with owner_engine.begin() as connection:
        connection.execute(text(f"alter table span_blocks detach partition spans_{DAYS[0]:%Y%m%d}"))
    with database.connect() as connection:
        assert left_behind(connection) == DAYS[:1]
    assert drop_expired(database, owner_engine, BEFORE) == DAYS[:1]
    with database.connect() as connection:
        assert left_behind(connection) == []


def test_spans_are_stored_and_read_while_a_day_is_dropped(database: Engine, owner_engine: Engine, project: int) -> None:
    close(owner_engine, project, date(2025, 3, 1))
    noon = ns_of_utc(datetime(2025, 4, 1, 12, tzinfo=UTC))
    dropping = threading.Thread(target=drop_expired, args=(database, owner_engine, BEFORE))
    dropping.start()
    number = 0
    while dropping.is_alive() or number < 5:
        number += 1
        stored(database, project, [span(400, number, start_ns=noon, end_ns=noon)])
        with database.begin() as connection:
            assert len(load_spans(connection, project, [(400).to_bytes(16, "big")])) == number
    dropping.join()
    assert days(database) == DAYS[2:]
    with database.begin() as connection:
        clear_dirty(connection, claim_dirty_traces(connection, 1000))


def test_a_call_whose_spans_are_past_keeping_stands(database: Engine, owner_engine: Engine, project: int) -> None:
    ends = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in (DAYS[0], DAYS[2])]
    calls = [make_call(200, number, end, TokenCounts(input=1, output=1)) for number, end in enumerate(ends, 1)]
    trace = (200).to_bytes(16, "big")
    with database.begin() as connection:
        replace_calls(connection, project, [trace], Derivation(calls=calls))
    close(owner_engine, project, date(2025, 3, 1))
    drop_expired(database, owner_engine, BEFORE)
    with database.begin() as connection:
        # Neither call is derived any more: one because its spans are gone, the other because they say otherwise.
        replaced = replace_calls(connection, project, [trace], Derivation(calls=[]))
    assert replaced.withdrawn == [(trace, (2).to_bytes(8, "big"))]


def test_the_days_to_come_have_their_partitions(migrated: Database) -> None:
    wiring.use(Wiring(Settings(auth="off"), migrated.url))
    try:
        assert keep() == []
        today = datetime.now(UTC).date()
        assert set(days_ahead(today)) <= set(days(migrated.engine))
        assert today + timedelta(days=2) in days(migrated.engine)
    finally:
        wiring.use(None)
