"""A large trace that keeps growing is derived now and then; what it holds in the end is the same."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from app import wiring
from app.settings import Settings
from app.tasks.derive import derive_batch
from app.wiring import Wiring
from models.core.telemetry import Span
from models.core.time import NS_PER_SECOND, ns_of_utc
from models.store.link_groups import LARGE_SPANS, forget_large
from models.store.span_codec import prepare_spans
from models.store.telemetry import ensure_partitions, store_spans
from tests.conftest import Database

NOW = ns_of_utc(datetime.now(UTC)) - 60 * NS_PER_SECOND


@pytest.fixture
def database(migrated: Database) -> Iterator[Engine]:
    parts = Wiring(Settings(auth="off"), migrated.url)
    wiring.use(parts)
    yield migrated.engine
    wiring.use(None)


def span(trace: int, number: int) -> Span:
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=None if number == 1 else (1).to_bytes(8, "big"),
        name="step",
        start_ns=NOW,
        end_ns=NOW + number,
        scope_name="test",
        resource={"service.name": "svc"},
    )


def chat(trace: int, number: int) -> Span:
    usage = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
    facts = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}
    told = {**facts, **usage, "gen_ai.response.id": f"resp_{trace:08d}{number:08d}"}
    return replace(span(trace, number), name="chat gpt-5", kind=3, parent_span_id=None, attributes=told)


def send(database: Engine, spans: list[Span]) -> None:
    with database.begin() as connection:
        prepared = prepare_spans(1, spans)
        ensure_partitions(connection, prepared.days)
        store_spans(connection, [prepared])


def derive_once(database: Engine) -> int:
    with database.begin() as connection:
        return derive_batch(connection, 1_000)


def calls_of(database: Engine, trace: int) -> int:
    with database.connect() as connection:
        return connection.execute(
            text("SELECT count(*) FROM calls WHERE trace_id = :trace"), {"trace": trace.to_bytes(16, "big")}
        ).scalar_one()


def test_new_spans_of_a_large_trace_wait_and_are_counted_after_that(database: Engine) -> None:
    send(database, [span(1, number) for number in range(1, LARGE_SPANS)] + [chat(1, LARGE_SPANS)])
    send(database, [chat(2, 1)])
    assert derive_once(database) == 2
    with database.begin() as connection:
        # As long as it may wait at most, so that a slow machine does not let it end meanwhile.
        noted = connection.execute(text("UPDATE large_traces SET spans = 30000 RETURNING trace_id")).all()
    assert [bytes(row.trace_id) for row in noted] == [(1).to_bytes(16, "big")]
    send(database, [chat(1, LARGE_SPANS + 1)])
    send(database, [chat(2, 2)])
    # The small trace goes on at once; the large one has just been read as a whole.
    assert derive_once(database) == 1
    assert (calls_of(database, 1), calls_of(database, 2)) == (1, 2)
    with database.begin() as connection:
        connection.execute(text("UPDATE large_traces SET derived_at = derived_at - interval '1 minute'"))
    assert derive_once(database) == 1
    assert calls_of(database, 1) == 2


def test_notes_of_large_traces_do_not_pile_up(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO large_traces VALUES (1, :id, 9000, now() - interval '2 hours')"), {"id": b"x" * 16}
        )
        forget_large(connection)
        left = connection.execute(text("SELECT count(*) FROM large_traces WHERE trace_id = :id"), {"id": b"x" * 16})
        assert left.scalar_one() == 0
