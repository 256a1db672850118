"""What pages and lists read: no scan of calls, charges or spans, and no month that was not asked for."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from models.core.queries import CallQuery, CostQuery
from models.core.telemetry import TokenCounts
from models.core.vocabulary import CostBasis, Granularity
from models.store.reader import StoreReader
from models.store.unit_sums import merge_units
from tests.ledger_builders import make_call, settle

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
CUT = {"start": NOVEMBER + timedelta(days=3, minutes=7), "end": NOVEMBER + timedelta(days=20, hours=5, minutes=11)}
SCAN = re.compile(r"(Seq Scan|Parallel Seq Scan) on (calls|charges|spans|rollup_units|unit_totals)")


def costs(*group_by: str, **more: Any) -> Callable[[StoreReader], object]:
    asked = CostQuery(**{"projects": (1,), "start": NOVEMBER, "end": DECEMBER, "group_by": group_by, **more})
    return lambda reader: reader.costs(asked)


def cache(**more: Any) -> Callable[[StoreReader], object]:
    asked = CostQuery(**{"projects": (1,), "start": NOVEMBER, "end": DECEMBER, **more})
    return lambda reader: reader.cache(asked)


def calls(**more: Any) -> Callable[[StoreReader], object]:
    asked = CallQuery(**{"projects": (1,), "start": NOVEMBER, "end": DECEMBER, **more})
    return lambda reader: reader.calls(asked)


QUESTIONS = {
    "overview": costs("team", granularity=Granularity.DAY),
    "agents": costs("agent_path"),
    "agents and teams until some minute": costs("agent_path", "team", **CUT),
    "models": costs("provider", "model"),
    "buckets": costs("bucket", "model"),
    "tasks": costs("task"),
    "tasks by list cost": costs("task", basis=CostBasis.LIST),
    "tasks until some minute": costs("task", **CUT),
    "sessions": costs("session"),
    "sessions until some minute": costs("session", **CUT),
    "users": costs("user"),
    "users by day": costs("user", granularity=Granularity.DAY),
    "tags": costs("tag:feature"),
    "one session": costs("agent", filters=(("session", "session 1"),)),
    "calls": calls(),
    "calls of an agent": calls(filters=(("agent", "agent 1"),)),
    "calls of a session": calls(session="session 1"),
    "calls of a trace": calls(trace_id=(1).to_bytes(16, "big"), start=None, end=None),
    "costly traces": lambda reader: reader.recent_traces(1, NOVEMBER, DECEMBER, 10),
    "cache": cache(),
    "cache until some minute": cache(**CUT),
    "cache of an agent": cache(filters=(("agent", "agent 1"),)),
    "cache of a session": cache(filters=(("session", "session 1"),)),
    "cache of a deployment": cache(filters=(("deployment", "one"),)),
    "chargeback": lambda reader: reader.statement((1,), date(2026, 11, 1)),
    "quality": lambda reader: reader.quality((1,), NOVEMBER, DECEMBER),
    "quality of several projects": lambda reader: reader.quality((1, 2, 3), NOVEMBER, DECEMBER),
    "status": lambda reader: reader.status((1,)),
    "projects": lambda reader: reader.projects(),
}


@pytest.fixture(scope="module")
def ledger(database: Engine) -> Engine:
    """Calls of two months; some parts merged, some waiting."""
    for month in (OCTOBER, NOVEMBER):
        made = [
            make_call(
                number if month == NOVEMBER else 1000 + number,
                number,
                month + timedelta(hours=5 * number),
                TokenCounts(input=100 * number, output=number) if number % 10 else TokenCounts(),
                agent=f"agent {number % 3}",
                team="team",
                task=f"task {number % 20}",
                session=f"session {number % 7}",
                user=f"user {number % 5}",
                tags={"feature": str(number % 2)},
            )
            for number in range(1, 120)
        ]
        settle(database, 1, [int.from_bytes(call.trace_id, "big") for call in made], made)
        if month == OCTOBER:
            with database.begin() as connection:
                merge_units(connection, 10_000)
    return database


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Every statement with its parameters, as it goes to the server."""
    seen: list[tuple[str, Any]] = []

    def remember(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", remember)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", remember)


def plans(engine: Engine, question: Callable[[StoreReader], object]) -> Iterator[str]:
    """The plan of each statement of an answer, made as for tables too large to be read whole."""
    with statements(engine) as seen:
        question(StoreReader(engine))
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        cursor = connection.connection.cursor()
        for statement, parameters in seen:
            if statement.lstrip().startswith(("SELECT", "WITH")) and "set_config" not in statement:
                cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) {statement}", parameters)
                # Months that a lookup by key leaves out are in the plan, but never executed.
                yield "\n".join(row[0] for row in cursor.fetchall() if "(never executed)" not in row[0])


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_page_scans_calls_charges_or_units(ledger: Engine, name: str) -> None:
    found = list(plans(ledger, QUESTIONS[name]))
    assert found
    for plan in found:
        assert not SCAN.search(plan), plan


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name not in ("calls of a trace", "projects")])
def test_months_not_asked_for_are_not_opened(ledger: Engine, name: str) -> None:
    for plan in plans(ledger, QUESTIONS[name]):
        assert not re.search(r"(calls|charges)_2026_10", plan), plan


@pytest.mark.parametrize("name", ["overview", "agents", "models", "buckets", "tasks", "sessions", "users", "tags"])
def test_whole_months_are_answered_without_any_call_or_charge(ledger: Engine, name: str) -> None:
    for plan in plans(ledger, QUESTIONS[name]):
        assert not re.search(r"on (calls|charges|spans)", plan), plan


def test_every_answer_gives_up_after_a_while(ledger: Engine) -> None:
    for question in QUESTIONS.values():
        with statements(ledger) as seen:
            question(StoreReader(ledger))
        assert "statement_timeout" in seen[0][0]


def test_the_next_question_goes_over_the_connection_given_back_last(migrated: Any) -> None:
    def process_of(connection: Any) -> int:
        return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

    one, two = migrated.engine.connect(), migrated.engine.connect()
    last = process_of(two)
    one.close()
    two.close()
    with migrated.engine.connect() as following:
        assert process_of(following) == last
