"""What a batch of spans reads does not grow with what is stored, though no table was ever analysed."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine, text

from app import wiring
from app.settings import Settings
from app.tasks.derive import derive_batch
from app.wiring import Wiring
from models.core.telemetry import Span
from models.core.time import NS_PER_SECOND, ns_of_utc
from models.store.span_codec import prepare_spans
from models.store.telemetry import ensure_partitions, store_spans
from models.store.unit_sums import merge_units
from tests.conftest import Database

NOW = ns_of_utc(datetime.now(UTC)) - 60 * NS_PER_SECOND
BATCH = 100
GROWING = (
    "(relname ~ '^(calls|charges)_[0-9]{4}_[0-9]{2}$' OR relname IN ('trace_links', 'work_units', 'suppressions', "
    "'rollup_units', 'unit_totals', 'task_shapes'))"
)
CHAT = Span(
    trace_id=bytes(16),
    span_id=bytes(8),
    parent_span_id=None,
    name="chat gpt-5",
    kind=3,
    start_ns=NOW,
    end_ns=NOW + 1,
    scope_name="test",
    resource={"service.name": "svc"},
    attributes={
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
    },
)


@pytest.fixture
def database(migrated: Database) -> Iterator[Engine]:
    parts = Wiring(Settings(auth="off"), migrated.url)
    wiring.use(parts)
    yield migrated.engine
    wiring.use(None)


def send(database: Engine, first: int, count: int) -> None:
    """Store as many traces of one call each, every one of a session of its own."""
    spans = [
        replace(
            CHAT,
            trace_id=(number << 64 | number).to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            attributes={
                **CHAT.attributes,
                "gen_ai.conversation.id": f"conversation {number}",
                "gen_ai.response.id": f"resp_{number:016d}",
            },
        )
        for number in range(first, first + count)
    ]
    with database.begin() as connection:
        prepared = prepare_spans(1, spans)
        ensure_partitions(connection, prepared.days)
        store_spans(connection, [prepared])


def rows_read(database: Engine, step: Callable[[Connection], int]) -> Counter[str]:
    """Rows that one batch read by any scan, of the tables that grow with what was ever stored."""

    def seen(connection: Connection) -> Counter[str]:
        found = connection.execute(
            text(
                "SELECT regexp_replace(relname, '_[0-9_]+$', '') AS name, "
                "sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint AS read "
                f"FROM pg_stat_xact_user_tables WHERE {GROWING} GROUP BY 1"
            )
        )
        return Counter({row.name: row.read for row in found})

    with database.begin() as connection:
        # What earlier transactions of this connection read may not be handed over to the server's figures yet.
        before = seen(connection)
        assert step(connection)
        return seen(connection) - before


def test_a_batch_reads_no_more_after_many_batches(database: Engine) -> None:
    steps: dict[str, Callable[[Connection], int]] = {
        "derive": lambda connection: derive_batch(connection, BATCH),
        "count": lambda connection: merge_units(connection, BATCH),
    }
    read: dict[str, list[Counter[str]]] = {name: [] for name in steps}
    for batch in range(20):
        send(database, 1 + batch * BATCH, BATCH)
        for name, step in steps.items():
            read[name].append(rows_read(database, step))
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM charges WHERE price_status = 'priced'")).scalar_one()
        assert connection.execute(text("SELECT sum(calls) FROM unit_cells")).scalar_one() == 20 * BATCH
    for name, batches in read.items():
        for table in {table for batch in batches for table in batch}:
            # Two thousand rows are there by now: one look at all of them would be seen.
            last = [batch[table] for batch in batches[-5:]]
            assert max(last) <= 4 * BATCH, (name, table, [batch[table] for batch in batches])
