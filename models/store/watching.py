"""The queue of traces to watch, and what the detectors need of each: its calls with their money, and its owners."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

from models.core.telemetry import Call, TokenCounts
from models.core.vocabulary import BUCKETS, CallStatus, UsageSource
from models.store.engine import PLANNED_ANEW

PATIENCE = timedelta(seconds=2)
"""How long a trace waits for the charges of its calls; then it is watched with what is priced."""

TOKENS = ", ".join(f"c.{bucket.value}" for bucket in BUCKETS)


@dataclass(slots=True, frozen=True, kw_only=True)
class WatchedCalls:
    """Calls of one trace, what each costs, and who owns their agents."""

    calls: Sequence[Call]
    costs: dict[bytes, Decimal | None]
    """Effective cost by span id; None where unpriced or not yet rated."""


def queue_watch(connection: Connection, project_id: int, trace_ids: Iterable[bytes]) -> None:
    """Have these traces watched. Written in the transaction that derives them, so that none is forgotten."""
    wanted = sorted(set(trace_ids))
    if not wanted:
        return
    connection.execute(
        text(
            "INSERT INTO unwatched_traces (project_id, trace_id)"
            " SELECT :project_id, trace_id FROM unnest(CAST(:trace_ids AS bytea[])) AS changed (trace_id)"
        ),
        {"project_id": project_id, "trace_ids": wanted},
    )


def claim_unwatched(connection: Connection, limit: int, at: datetime) -> list[tuple[int, bytes]]:
    """Take traces off the queue whose calls are all rated, or that have waited for it long enough.

    A rollback puts them back. Two workers that hold the same trace find the same and write it once.
    """
    rows = connection.execute(
        text(
            "DELETE FROM unwatched_traces WHERE id IN ("
            " SELECT w.id FROM unwatched_traces w WHERE w.since <= :patience OR NOT EXISTS ("
            "  SELECT FROM unrated_calls u WHERE u.project_id = w.project_id AND u.trace_id = w.trace_id)"
            " ORDER BY w.id LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING project_id, trace_id"
        ),
        {"limit": limit, "patience": at - PATIENCE},
        execution_options=PLANNED_ANEW,
    )
    return sorted({(row.project_id, bytes(row.trace_id)) for row in rows})


def unwatched(connection: Connection) -> int:
    """How many entries wait."""
    return connection.execute(text("SELECT count(*) FROM unwatched_traces")).scalar_one()


def watched_calls(connection: Connection, project_id: int, trace_id: bytes) -> WatchedCalls:
    """The calls of a trace with their effective cost, in the order in which they ended."""
    rows = connection.execute(
        text(
            "SELECT c.span_id, c.start_ns, c.end_ns, c.status, c.provider, c.model, c.request_model, c.operation,"
            f" c.instrumentation, c.usage_source, c.convention, {TOKENS}, a.team, a.agent, a.agent_path, a.service,"
            " a.environment, a.cost_center, w.session, w.task, w.user_id, h.effective_cost"
            " FROM calls c"
            " LEFT JOIN attributions a USING (project_id, attribution_id)"
            " LEFT JOIN work_units w USING (project_id, unit_id)"
            " LEFT JOIN charges h ON h.project_id = c.project_id AND h.origin_id = c.trace_id"
            "  AND h.span_id = c.span_id AND h.month = c.month AND h.charge_class = 'usage' AND h.superseded_at IS NULL"
            " WHERE c.project_id = :project_id AND c.trace_id = :trace_id ORDER BY c.end_ns, c.span_id"
        ),
        {"project_id": project_id, "trace_id": trace_id},
    ).all()
    calls = [
        Call(
            trace_id=trace_id,
            span_id=bytes(row.span_id),
            start_ns=row.start_ns,
            end_ns=row.end_ns,
            status=CallStatus(row.status),
            provider=row.provider,
            model=row.model,
            request_model=row.request_model,
            operation=row.operation,
            instrumentation=row.instrumentation,
            tokens=TokenCounts(**{bucket.value: getattr(row, bucket.value) for bucket in BUCKETS}),
            usage_source=UsageSource(row.usage_source),
            convention=row.convention,
            agent=row.agent,
            agent_path=row.agent_path,
            task=row.task,
            session=row.session,
            user=row.user_id,
            team=row.team,
            cost_center=row.cost_center,
            environment=row.environment,
            service=row.service,
        )
        for row in rows
    ]
    return WatchedCalls(calls=calls, costs={bytes(row.span_id): row.effective_cost for row in rows})
