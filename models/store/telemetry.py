"""Spans in and out of PostgreSQL. Every function takes a Connection; the caller owns the transaction."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter
from typing import Any

from psycopg import Cursor
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, text

from models.core.errors import JevonsError
from models.core.telemetry import Rejection, Span
from models.store.engine import PLANNED_ANEW
from models.store.packed_arrays import byte_strings, dates, int4s, int8s
from models.store.span_codec import (
    PreparedSpans,
    SpanBlock,
    contents_of_block,
    hash64,
    ids_of_block,
    part_of_block,
    spans_of_block,
)

TraceDay = tuple[int, bytes, date]
"""(project, trace id, day)."""
Placed = tuple[int, SpanBlock]
"""A block and its project."""
Conflict = tuple[int, bytes, bytes, bytes]
"""(project, trace id, span id, what the span says) of a span that differs from one stored under its ids."""

MAX_NEW_PARTITIONS = 1000
MAX_REJECTIONS_PER_BODY = 100
"""More rejections of one body than this are counted in one row: a broken sender must not fill the table."""

# Which of these traces had spans on that day before. Keys come in one order for everyone, so that two collectors that
# store the same traces wait for one another, here, instead of deadlocking.
_OPEN_DAYS = """
with wanted as (
    select * from unnest(%(projects)s, %(traces)s, %(days)s) with ordinality as k (project_id, trace_id, day, number)
), fresh as (
    insert into trace_days (project_id, trace_id, day) select project_id, trace_id, day from wanted order by number
    on conflict do nothing returning project_id, trace_id, day
)
select number from wanted k where not exists (
    select from fresh f where f.project_id = k.project_id and f.trace_id = k.trace_id and f.day = k.day
)
"""
_LOCK_DAYS = """
select from unnest(%(projects)s, %(traces)s, %(days)s) as k (project_id, trace_id, day)
join trace_days d on d.project_id = k.project_id and d.trace_id = k.trace_id and d.day = k.day
order by d.project_id, d.trace_id, d.day for no key update of d
"""
_SHARED = """
select b.project_id, b.trace_id, b.day, b.signal, b.resource_id, b.scope_id, b.span_ids, b.body
from unnest(%(projects)s, %(traces)s, %(days)s, %(ids)s) as k (project_id, trace_id, day, span_ids)
join span_blocks b on b.project_id = k.project_id and b.trace_id = k.trace_id and b.day = k.day
where b.day = any(%(days)s) and exists (
    select from generate_series(1, length(k.span_ids), 8) at
    where position(substring(k.span_ids from at for 8) in b.span_ids) > 0
)
"""
# One statement for all that a commit writes: each more costs a small commit as much as its spans.
_STORE = """
with blocks as (
    insert into span_blocks
        (resource_id, scope_id, last_end_ns, project_id, day, signal, trace_id, span_id, span_ids, body)
    select resource_id, scope_id, last_end_ns, project_id, day, signal, trace_id, substring(span_ids for 8),
        span_ids, body
    from unnest(
        %(resource_ids)s, %(scope_ids)s, %(last_ends)s, %(block_projects)s, %(block_days)s, %(signals)s,
        %(block_traces)s, %(span_ids)s, %(bodies)s
    ) as b (resource_id, scope_id, last_end_ns, project_id, day, signal, trace_id, span_ids, body)
), dirty as (
    insert into dirty_traces (project_id, trace_id, spans)
    select * from unnest(%(projects)s, %(traces)s, %(spans)s)
), counted as (
    insert into stored_spans (project_id, day, spans)
    select * from unnest(%(counted_projects)s, %(counted_days)s, %(counted_spans)s)
)
insert into trace_links (project_id, link_id, trace_id)
select * from unnest(%(linked_projects)s, %(links)s, %(linked_traces)s) order by 1, 2, 3
on conflict do nothing
"""
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

    Safe to repeat: the row of `trace_days` lets one transaction at a time add to a trace, and who waited sees what the
    other stored. A span already stored is a duplicate; one that differs becomes a rejection.
    `known` holds (project, id) of resources and scopes that an earlier, committed call stored. The partitions
    of their days must exist (`ensure_partitions`).
    """
    staged = sum(batch.count for batch in batches)
    if not staged:
        return StoreOutcome()
    _intern(connection, batches, known)
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor:
        fresh, conflicts = _fresh_blocks(cursor, batches)
        if fresh:
            _store(cursor, fresh)
    stored = sum(block.count for _, block in fresh)
    for project_id, trace_id, span_id, content in conflicts:
        rejection = Rejection(position="spans", reason=_CONFLICT_REASON, trace_id=trace_id, span_id=span_id)
        record_rejections(connection, project_id, [rejection], body_digest=hash64(content))
    return StoreOutcome(
        stored=stored,
        duplicates=staged - stored - len(conflicts),
        conflicting=len(conflicts),
        conflicts=[conflict[:3] for conflict in conflicts],
    )


def _fresh_blocks(cursor: Cursor[Any], batches: Sequence[PreparedSpans]) -> tuple[list[Placed], list[Conflict]]:
    """The blocks without spans that are stored already or come twice, and the spans that differ from those.

    From here to the end of the transaction nobody else adds to these traces.
    """
    traces: dict[TraceDay, list[SpanBlock]] = {}
    for batch in batches:
        for block in batch.blocks:
            traces.setdefault((batch.project_id, *block.trace_day), []).append(block)
    keys = sorted(traces)
    cursor.execute(_OPEN_DAYS, _packed_keys(keys))
    older = [keys[number - 1] for (number,) in cursor.fetchall()]
    stored: dict[TraceDay, list[Any]] = {}
    if older:
        cursor.execute(_LOCK_DAYS, _packed_keys(older))
        # A statement of its own, after the wait for the lock: it sees what was committed meanwhile.
        ids = byte_strings([b"".join([block.span_ids for block in traces[key]]) for key in older])
        cursor.row_factory = namedtuple_row
        for row in cursor.execute(_SHARED, {**_packed_keys(older), "ids": ids}).fetchall():
            stored.setdefault((row.project_id, row.trace_id, row.day), []).append(row)
    fresh: list[Placed] = []
    conflicts: list[Conflict] = []
    for key in keys:
        blocks = traces[key]
        if len(blocks) > 1 or key in stored:
            blocks, differing = _told_apart(blocks, stored.get(key, ()))
            conflicts += [(key[0], key[1], span_id, content) for span_id, content in differing]
        fresh += [(key[0], block) for block in blocks]
    return fresh, conflicts


def _told_apart(
    blocks: Sequence[SpanBlock], stored: Sequence[Any]
) -> tuple[list[SpanBlock], list[tuple[bytes, bytes]]]:
    """What is new in the blocks of one trace and day, and id and content of spans that differ from those known."""
    holders: dict[bytes, Any] = {span_id: row for row in stored for span_id in ids_of_block(row.span_ids)}
    contents: dict[int, dict[bytes, bytes]] = {}
    fresh: list[SpanBlock] = []
    differing: list[tuple[bytes, bytes]] = []
    for block in blocks:
        ids = ids_of_block(block.span_ids)
        seen = [span_id for span_id in ids if span_id in holders]
        if seen:
            own = contents_of_block(block)
            for span_id in seen:
                holder = holders[span_id]
                if id(holder) not in contents:
                    contents[id(holder)] = contents_of_block(holder)
                if contents[id(holder)][span_id] != own[span_id]:
                    differing.append((span_id, own[span_id]))
        if len(seen) < len(ids):
            left = part_of_block(block, set(ids).difference(seen)) if seen else block
            fresh.append(left)
            holders.update(dict.fromkeys(ids_of_block(left.span_ids), left))
    return fresh, differing


def _store(cursor: Cursor[Any], fresh: Sequence[Placed]) -> None:
    """Write new blocks, and the dirty marks, counts and links that they bring."""
    spans: dict[tuple[int, bytes], int] = {}
    counts: dict[tuple[int, date], int] = {}
    links: set[tuple[int, int, bytes]] = set()
    for project_id, block in fresh:
        trace, day, count = (project_id, block.trace_id), (project_id, block.day), block.count
        spans[trace] = spans.get(trace, 0) + count
        counts[day] = counts.get(day, 0) + count
        links.update([(project_id, link, block.trace_id) for link in block.links])
    blocks = [block for _, block in fresh]
    cursor.execute(
        _STORE,
        {
            "resource_ids": int8s([block.resource_id for block in blocks]),
            "scope_ids": int8s([block.scope_id for block in blocks]),
            "last_ends": int8s([block.last_end_ns for block in blocks]),
            "block_projects": int4s([project_id for project_id, _ in fresh]),
            "block_days": dates([block.day for block in blocks]),
            "signals": int4s([block.signal for block in blocks]),
            "block_traces": byte_strings([block.trace_id for block in blocks]),
            "span_ids": byte_strings([block.span_ids for block in blocks]),
            "bodies": byte_strings([block.body for block in blocks]),
            "projects": int4s([project_id for project_id, _ in spans]),
            "traces": byte_strings([trace_id for _, trace_id in spans]),
            "spans": int4s(list(spans.values())),
            "counted_projects": int4s([project_id for project_id, _ in counts]),
            "counted_days": dates([day for _, day in counts]),
            "counted_spans": int8s(list(counts.values())),
            "linked_projects": int4s([project_id for project_id, _, _ in links]),
            "links": int8s([link for _, link, _ in links]),
            "linked_traces": byte_strings([trace_id for _, _, trace_id in links]),
        },
    )


def _packed_keys(keys: Sequence[TraceDay]) -> dict[str, bytes]:
    return {
        "projects": int4s([project_id for project_id, _, _ in keys]),
        "traces": byte_strings([trace_id for _, trace_id, _ in keys]),
        "days": dates([day for _, _, day in keys]),
    }


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
        {"project_id": project_id, "trace_ids": byte_strings(wanted)},
        execution_options=PLANNED_ANEW,
    ).scalars()
    found = connection.execute(
        text(
            "select resource_id, scope_id, signal, trace_id, day, span_ids, body from span_blocks "
            "where project_id = :project_id and trace_id = any(:trace_ids) and day = any(:days)"
        ),
        {"project_id": project_id, "trace_ids": byte_strings(wanted), "days": list(days)},
        execution_options=PLANNED_ANEW,
    )
    # The days in order: one id may stand on two of them.
    rows = sorted(found, key=attrgetter("day"))
    resources = _interned(connection, project_id, "resources", "resource_id", {row.resource_id for row in rows})
    scopes = _interned(connection, project_id, "scopes", "scope_id", {row.scope_id for row in rows})
    attributes = {key: row.attributes for key, row in resources.items()}
    names = {key: (row.name, row.version) for key, row in scopes.items()}
    spans = [span for row in rows for span in spans_of_block(row, attributes[row.resource_id], names[row.scope_id])]
    spans.sort(key=attrgetter("trace_id", "span_id"))
    return spans


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
