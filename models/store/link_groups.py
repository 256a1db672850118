"""Traces to derive: claiming dirty ones, and the group of traces that must be derived as a whole."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from models.store.engine import PLANNED_ANEW
from models.store.packed_arrays import byte_strings, int8s


class Claim(NamedTuple):
    """One dirty mark; the version names it."""

    project_id: int
    trace_id: bytes
    version: int
    spans: int
    """New spans that it stands for."""


MOST_SPANS = 10_000
"""New spans of one batch: what a worker holds in memory is bounded however large the traces are."""
LARGE_SPANS = 2_000
"""From here on a trace waits between two derivations: each reads all of it, however few spans are new."""
_REST = "least(g.spans * interval '1 millisecond', interval '30 seconds')"
"""A derivation takes about a tenth of a millisecond per span: a tenth of a worker at most for one growing trace."""


def claim_dirty_traces(
    connection: Connection, limit: int, project_id: int | None = None, most_spans: int = MOST_SPANS
) -> list[Claim]:
    """Take up to `limit` dirty marks that no other transaction holds, the oldest first; of every project or of one.

    They stay claimed until the transaction ends. One trace may have several marks. Marks of a large trace that was
    derived a moment ago stay for later; so do those beyond `most_spans` new spans, but for the first.
    """
    rows = connection.execute(
        text(
            "select project_id, trace_id, version, spans from dirty_traces d "
            "where (cast(:project_id as integer) is null or project_id = :project_id) "
            "and not exists (select from large_traces g where g.project_id = d.project_id "
            f"and g.trace_id = d.trace_id and g.derived_at > clock_timestamp() - {_REST}) "
            "order by version limit :limit for update of d skip locked"
        ),
        {"limit": limit, "project_id": project_id},
        execution_options=PLANNED_ANEW,
    )
    claimed: list[Claim] = []
    for row in rows:
        most_spans -= row.spans
        if claimed and most_spans < 0:
            break
        claimed.append(Claim(row.project_id, bytes(row.trace_id), row.version, row.spans))
    return claimed


def clear_dirty(connection: Connection, claimed: Sequence[Claim]) -> int:
    """Delete exactly the marks that were claimed; a mark made since then stays. Returns how many went."""
    if not claimed:
        return 0
    return connection.execute(
        text("delete from dirty_traces where version = any(cast(:versions as bigint[]))"),
        {"versions": int8s([claim.version for claim in claimed])},
        execution_options=PLANNED_ANEW,
    ).rowcount


def remember_large(connection: Connection, project_id: int, spans: Sequence[bytes]) -> None:
    """Note the traces with LARGE_SPANS or more spans as derived now.

    Shapes   the trace id of every span that was read, in any order.
    """
    if len(spans) < LARGE_SPANS:
        return
    large = [
        {"project_id": project_id, "trace_id": trace_id, "spans": count}
        for trace_id, count in sorted(Counter(spans).items())
        if count >= LARGE_SPANS
    ]
    if large:
        connection.execute(
            text(
                "insert into large_traces (project_id, trace_id, spans, derived_at) "
                "values (:project_id, :trace_id, :spans, clock_timestamp()) on conflict (project_id, trace_id) "
                "do update set spans = excluded.spans, derived_at = excluded.derived_at"
            ),
            large,
        )


def forget_large(connection: Connection) -> None:
    """Drop the notes that no longer make anybody wait."""
    connection.execute(text("delete from large_traces where derived_at < now() - interval '1 hour'"))


# Laterals that end with `offset 0` stay what they are: one look into an index per trace and per link. As a join, the
# planner takes the queue of the recursion for ten times what it is, and reads all the links there are.
_CLOSURE = text("""
with recursive tied (trace_id) as (
    select unnest(cast(:trace_ids as bytea[]))
    union
    select other.trace_id from tied
    cross join lateral (
        select link_id from trace_links where project_id = :project_id and trace_id = tied.trace_id offset 0
    ) mine
    cross join lateral (
        select trace_id from trace_links where project_id = :project_id and link_id = mine.link_id offset 0
    ) other
)
select trace_id from tied
""")
_LOCK = text("""
select pg_advisory_xact_lock(key) from (
    select distinct hashtextextended(encode(trace_id, 'hex'), :project_id) as key
    from unnest(cast(:trace_ids as bytea[])) as wanted (trace_id) order by key
) keys
""")


def link_group(connection: Connection, project_id: int, trace_ids: Iterable[bytes]) -> set[bytes]:
    """These traces and all that are tied to them by shared link ids, locked until the transaction ends.

    Locks are taken in one order for everyone, so groups that overlap wait for one another. Where a link arrived
    while waiting, the group is read and locked again; should that meet another transaction doing the same, the
    database ends one of them with a deadlock error, and the task is retried.
    Call it once for all traces of a task: locks of a second call would be out of order.
    """
    group = set(trace_ids)
    locked: set[bytes] = set()
    while True:
        scope = {"project_id": project_id, "trace_ids": byte_strings(sorted(group))}
        rows = connection.execute(_CLOSURE, scope, execution_options=PLANNED_ANEW)
        group = {bytes(trace_id) for trace_id in rows.scalars()}
        if group <= locked:
            return group
        connection.execute(_LOCK, {"project_id": project_id, "trace_ids": byte_strings(sorted(group - locked))})
        locked |= group
