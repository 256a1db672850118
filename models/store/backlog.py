"""What waits: the queues of derivation, rating and merging, and how far the figures have come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from models.store.capacity_queue import DUE as CAPACITY_DUE
from models.store.rollups import DUE as ROLLUP_DUE
from models.store.unit_sums import GATHER_SECONDS

QUEUES = {
    "derive": "dirty_traces",
    "rate": "unrated_calls",
    "capacity": CAPACITY_DUE,
    "watch": "unwatched_traces",
    "deliver": "deliveries WHERE state = 'pending' AND next_attempt_at <= now()",
    "rollup": ROLLUP_DUE,
    # Parts are read with the sums, so they may gather for a moment; many of them would slow the reading down.
    "count": f"unit_parts WHERE since <= now() - interval '{GATHER_SECONDS} seconds'",
}
"""Task → the table, or the rows of it, that it works off."""


@dataclass(slots=True, frozen=True)
class Freshness:
    """How far the figures of some projects have come."""

    spans_pending: int
    calls_pending: int
    """Calls without a charge, and hours of own capacity that are over and not shared."""
    waiting_since: datetime | None
    """Arrival of the oldest span that is not in the figures yet; None when everything is."""
    now: datetime


@dataclass(slots=True, frozen=True)
class DerivationFlow:
    """Dirty marks of traces: how many wait, and how many ever came and went. A mark is one commit's word on a trace."""

    waiting: int
    """At most as many as were asked for."""
    arrived: int
    worked_off: int


def backlog(connection: Connection) -> list[str]:
    """Tasks that have something to do, over all projects: workers serve them all."""
    columns = ", ".join(f"EXISTS (SELECT 1 FROM {table}) AS {task}" for task, table in QUEUES.items())
    row = connection.execute(text(f"SELECT {columns}")).one()
    return [task for task in QUEUES if row._mapping[task]]


def queue_sizes(connection: Connection) -> dict[str, int]:
    """Rows that wait for each task, over all projects."""
    columns = ", ".join(f"(SELECT count(*) FROM {table}) AS {task}" for task, table in QUEUES.items())
    row = connection.execute(text(f"SELECT {columns}")).one()
    return {task: int(row._mapping[task]) for task in QUEUES}


def derivation_flow(connection: Connection, most: int) -> DerivationFlow:
    """How derivation keeps up, cheaply however much waits: counted up to `most`, and by PostgreSQL's own statistics.

    These come a second or so late, and begin at zero again after a crash of the database.
    """
    row = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM (SELECT FROM dirty_traces LIMIT :most) few) AS waiting, "
            "pg_stat_get_tuples_inserted(CAST('dirty_traces' AS regclass)) AS arrived, "
            "pg_stat_get_tuples_deleted(CAST('dirty_traces' AS regclass)) AS worked_off"
        ),
        {"most": most},
    ).one()
    return DerivationFlow(row.waiting, row.arrived, row.worked_off)


def freshness(connection: Connection, projects: Sequence[int]) -> Freshness:
    """What of these projects is acknowledged but not in the figures yet."""
    row = connection.execute(
        text(
            "SELECT coalesce((SELECT sum(spans) FROM dirty_traces WHERE project_id = ANY(:projects)), 0) AS spans, "
            "(SELECT count(*) FROM unrated_calls WHERE project_id = ANY(:projects)) AS calls, "
            f"(SELECT count(DISTINCT (project_id, hour)) FROM {CAPACITY_DUE} "
            "AND project_id = ANY(:projects)) AS hours, "
            "least((SELECT min(since) FROM dirty_traces WHERE project_id = ANY(:projects)), "
            "(SELECT min(since) FROM unrated_calls WHERE project_id = ANY(:projects)), "
            f"(SELECT min(since) FROM {CAPACITY_DUE} AND project_id = ANY(:projects))) AS since, "
            "clock_timestamp() AS now"
        ),
        {"projects": list(projects)},
    ).one()
    return Freshness(int(row.spans), row.calls + row.hours, row.since, row.now)
