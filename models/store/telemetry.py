"""Spans in and out of PostgreSQL. Every function takes a Connection; the caller owns the transaction."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any

from psycopg.types.string import BytesBinaryDumper
from sqlalchemy import Connection, text

from models.core.errors import JevonsError
from models.core.telemetry import Rejection, Span
from models.store.span_codec import PreparedSpans, hash64, row_key, span_of_row

MAX_NEW_PARTITIONS = 1000
MAX_REJECTIONS_PER_BODY = 100
"""More rejections of one body than this are counted in one row: a broken sender must not fill the table."""

_COPY_COLUMNS = (
    "start_ns, end_ns, resource_id, scope_id, digest, project_id, day, signal, kind, status, "
    "trace_id, span_id, parent_span_id, body"
)
_COPY_TYPES = (
    *("int8", "int8", "int8", "int8", "int8", "int4", "date", "int2", "int2", "int2"),
    *("bytea", "bytea", "bytea", "bytea", "bytea"),
)
"""How each value is written. Link ids are arrays that `span_codec` has packed: the driver would pack them in Python."""
_STAGE = """
create temporary table if not exists span_stage (
    start_ns bigint, end_ns bigint, resource_id bigint, scope_id bigint, digest bigint, project_id integer, day date,
    signal smallint, kind smallint, status smallint, trace_id bytea, span_id bytea, parent_span_id bytea,
    body bytea, links bigint[]
) on commit delete rows
"""
# One statement: what became new, the days and the dirty mark of its trace, and the links. All inserts go in key
# order, so that two collectors that store the same spans wait for one another instead of deadlocking.
_MERGE = text(f"""
with fresh as (
    insert into spans ({_COPY_COLUMNS}) select {_COPY_COLUMNS} from span_stage
    on conflict do nothing returning project_id, trace_id, day
), traces as (
    select project_id, trace_id, day, count(*) as spans from fresh group by 1, 2, 3 order by 1, 2, 3
), days as (
    insert into trace_days (project_id, trace_id, day) select project_id, trace_id, day from traces
    on conflict do nothing
), dirty as (
    insert into dirty_traces (project_id, trace_id, spans)
    select project_id, trace_id, sum(spans) from traces group by 1, 2 order by 1, 2
), counted as (
    insert into stored_spans (project_id, day, spans) select project_id, day, sum(spans) from traces group by 1, 2
), tied as (
    insert into trace_links (project_id, link_id, trace_id)
    select distinct project_id, unnest(links), trace_id from span_stage where links is not null order by 1, 2, 3
    on conflict do nothing
)
select count(*) from fresh
""")
_CONFLICTS = text("""
select distinct s.project_id, s.trace_id, s.span_id, s.digest from span_stage s join spans p
on p.project_id = s.project_id and p.trace_id = s.trace_id and p.span_id = s.span_id and p.day = s.day
where p.digest <> s.digest
""")
_CONFLICT_REASON = (
    "another span with the same trace and span id is stored already and differs from this one; the first is kept. "
    "Check whether the sender reuses ids."
)


COUNTS_AT_MOST = 2_000
"""Rows of `stored_spans` from which on they are put together."""


class TooManyDays(JevonsError):
    """An import that spreads over more days than partitions are made for at once."""

    code = "too_many_days"
    status = 413

    def __init__(self, days: Sequence[date]) -> None:
        super().__init__(
            f"the spans end on {len(days)} different days, from {min(days)} to {max(days)}; at most "
            f"{MAX_NEW_PARTITIONS} are taken at once. Split the import, or check the timestamps."
        )


@dataclass(slots=True)
class StoreOutcome:
    """What a commit of spans did: new ones, exact repeats, and different spans under ids already in use."""

    stored: int = 0
    duplicates: int = 0
    conflicting: int = 0
    conflicts: list[tuple[int, bytes, bytes]] = field(default_factory=list[tuple[int, bytes, bytes]])
    """(project, trace id, span id) of each conflicting span."""


def store_spans(
    connection: Connection, batches: Sequence[PreparedSpans], known: Container[tuple[int, int]] = ()
) -> StoreOutcome:
    """Store prepared spans, mark their traces dirty and keep their links, in the caller's transaction.

    Safe to repeat: the key of `spans` makes a span already stored a duplicate; one that differs becomes a rejection.
    `known` holds (project, id) of resources and scopes that an earlier, committed call stored. The partitions
    of their days must exist (`ensure_partitions`).
    """
    staged = sum(len(batch.rows) for batch in batches)
    if not staged:
        return StoreOutcome()
    _intern(connection, batches, known)
    driver = connection.connection.driver_connection
    assert driver is not None
    rows = batches[0].rows if len(batches) == 1 else sorted(chain(*(batch.rows for batch in batches)), key=row_key)
    with driver.cursor() as cursor:
        # The driver's own default for bytea is a class in Python, three times slower.
        cursor.adapters.register_dumper(bytes, BytesBinaryDumper)
        cursor.execute(_STAGE)
        with cursor.copy(f"copy span_stage ({_COPY_COLUMNS}, links) from stdin (format binary)") as copy:
            copy.set_types(_COPY_TYPES)
            for row in rows:
                copy.write_row(row)
    stored = connection.execute(_MERGE).scalar_one()
    if stored == staged:
        return StoreOutcome(stored=stored)
    differing = connection.execute(_CONFLICTS).all()
    conflicts = [(row.project_id, bytes(row.trace_id), bytes(row.span_id)) for row in differing]
    for row in differing:
        rejection = Rejection(
            position="spans", reason=_CONFLICT_REASON, trace_id=bytes(row.trace_id), span_id=bytes(row.span_id)
        )
        record_rejections(connection, row.project_id, [rejection], body_digest=row.digest)
    return StoreOutcome(
        stored=stored,
        duplicates=staged - stored - len(conflicts),
        conflicting=len(conflicts),
        conflicts=conflicts,
    )


def _intern(connection: Connection, batches: Sequence[PreparedSpans], known: Container[tuple[int, int]]) -> None:
    resources = {
        (batch.project_id, key): document.decode()
        for batch in batches
        for key, document in batch.resources.items()
        if (batch.project_id, key) not in known
    }
    if resources:
        connection.execute(
            text(
                "insert into resources (project_id, resource_id, attributes) "
                "values (:project_id, :resource_id, cast(:attributes as jsonb)) on conflict do nothing"
            ),
            [
                {"project_id": project_id, "resource_id": key, "attributes": document}
                for (project_id, key), document in sorted(resources.items())
            ],
        )
    scopes = {
        (batch.project_id, key): scope
        for batch in batches
        for key, scope in batch.scopes.items()
        if (batch.project_id, key) not in known
    }
    if scopes:
        connection.execute(
            text(
                "insert into scopes (project_id, scope_id, name, version) "
                "values (:project_id, :scope_id, :name, :version) on conflict do nothing"
            ),
            [
                {"project_id": project_id, "scope_id": key, "name": scope[0], "version": scope[1]}
                for (project_id, key), scope in sorted(scopes.items())
            ],
        )


def ensure_partitions(connection: Connection, days: Iterable[date]) -> int:
    """Make the partitions that these days lack; return how many were made.

    Raises   TooManyDays.
    """
    wanted = sorted(set(days))
    if len(wanted) > MAX_NEW_PARTITIONS:
        raise TooManyDays(wanted)
    return connection.execute(text("select ensure_span_partitions(:days)"), {"days": wanted}).scalar_one()


def load_spans(connection: Connection, project_id: int, trace_ids: Iterable[bytes]) -> list[Span]:
    """Every stored span of these traces, in key order."""
    wanted = sorted(set(trace_ids))
    if not wanted:
        return []
    days = connection.execute(
        text("select distinct day from trace_days where project_id = :project_id and trace_id = any(:trace_ids)"),
        {"project_id": project_id, "trace_ids": wanted},
    ).scalars()
    rows = connection.execute(
        text(
            "select start_ns, end_ns, resource_id, scope_id, signal, kind, status, trace_id, span_id, "
            "parent_span_id, body from spans "
            "where project_id = :project_id and trace_id = any(:trace_ids) and day = any(:days) "
            "order by trace_id, span_id, day"
        ),
        {"project_id": project_id, "trace_ids": wanted, "days": list(days)},
    ).all()
    resources = _interned(connection, project_id, "resources", "resource_id", {row.resource_id for row in rows})
    scopes = _interned(connection, project_id, "scopes", "scope_id", {row.scope_id for row in rows})
    attributes = {key: row.attributes for key, row in resources.items()}
    names = {key: (row.name, row.version) for key, row in scopes.items()}
    return [span_of_row(row, attributes[row.resource_id], names[row.scope_id]) for row in rows]


def _interned(connection: Connection, project_id: int, table: str, key: str, ids: set[int]) -> dict[int, Any]:
    rows = connection.execute(
        text(f"select * from {table} where project_id = :project_id and {key} = any(:ids)"),
        {"project_id": project_id, "ids": list(ids)},
    )
    return {getattr(row, key): row for row in rows}


def record_rejections(
    connection: Connection, project_id: int, rejections: Sequence[Rejection], body_digest: int = 0
) -> None:
    """Keep what could not be taken. The same rejection of the same body is kept once."""
    kept = list(rejections[:MAX_REJECTIONS_PER_BODY])
    if len(rejections) > len(kept):
        kept.append(
            Rejection(
                position="body",
                reason=f"{len(rejections) - len(kept)} more records of this body were rejected; "
                f"the first {len(kept)} are listed",
            )
        )
    if not kept:
        return
    connection.execute(
        text(
            "insert into rejections (project_id, digest, position, reason, trace_id, span_id) "
            "values (:project_id, :digest, :position, :reason, :trace_id, :span_id) on conflict do nothing"
        ),
        sorted(
            (
                {
                    "project_id": project_id,
                    "digest": _rejection_digest(rejection, body_digest),
                    "position": rejection.position,
                    "reason": rejection.reason,
                    "trace_id": rejection.trace_id,
                    "span_id": rejection.span_id,
                }
                for rejection in kept
            ),
            key=lambda row: row["digest"],
        ),
    )


def _rejection_digest(rejection: Rejection, body_digest: int) -> int:
    ids = (rejection.trace_id or b"") + (rejection.span_id or b"")
    content = f"{body_digest} {rejection.position} {rejection.reason} ".encode(errors="replace") + ids
    return hash64(content)


def body_digest(body: bytes) -> int:
    """What names a body in its rejections."""
    return hash64(body)


def redaction_key(connection: Connection) -> bytes:
    """The key of this installation for hashes of tool arguments."""
    return bytes(connection.execute(text("select key from redaction_keys where id = 1")).scalar_one())


@dataclass(slots=True, frozen=True)
class SpanCounts:
    """How many spans a project keeps, and how many of them no derivation has seen."""

    stored: int
    pending: int
    oldest_pending_seconds: float


def span_counts(connection: Connection, project_id: int) -> SpanCounts:
    """Count a project's spans: exact, from what each commit stored and each drop of a day took away."""
    stored: int = connection.execute(
        text("select coalesce(sum(spans), 0)::bigint from stored_spans where project_id = :project_id"),
        {"project_id": project_id},
    ).scalar_one()
    pending = connection.execute(
        text(
            "select coalesce(sum(spans), 0) as spans, "
            "coalesce(extract(epoch from now() - min(since)), 0)::float8 as age "
            "from dirty_traces where project_id = :project_id"
        ),
        {"project_id": project_id},
    ).one()
    return SpanCounts(stored, int(pending.spans), max(float(pending.age), 0.0))


def merge_span_counts(connection: Connection) -> None:
    """Put the counts of many commits together, one per project and day, once there are enough to be slow to add up."""
    connection.execute(
        text(
            "with parts as (delete from stored_spans where (select count(*) from "
            f"(select from stored_spans limit {COUNTS_AT_MOST}) few) >= {COUNTS_AT_MOST} "
            "returning project_id, day, spans) "
            "insert into stored_spans (project_id, day, spans) "
            "select project_id, day, sum(spans) from parts group by 1, 2"
        )
    )
