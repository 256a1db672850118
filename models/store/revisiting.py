"""Going over a period again: its calls page by page for new prices, its traces for a new derivation."""

from datetime import datetime

import polars as pl
from sqlalchemy import Connection, text

from models.store.call_frame import ROW
from models.store.calls import Key, frame_of_rows


def calls_between(
    connection: Connection, project_id: int, start: datetime, end: datetime, after: Key | None, limit: int
) -> pl.DataFrame:
    """Rows of `calls` that end in [start, end), in key order, beginning after a key; empty at the end."""
    columns = ", ".join(f"c.{name}" for name in ROW)
    trace, span = after or (b"", b"")
    found = connection.execute(
        text(
            f"SELECT {columns}, c.month FROM calls c WHERE c.project_id = :project_id AND c.end_at >= :start "
            "AND c.end_at < :end AND c.month >= :first AND c.month <= :last "
            "AND (c.trace_id, c.span_id) > (:trace, :span) ORDER BY c.trace_id, c.span_id LIMIT :limit"
        ),
        {
            "project_id": project_id,
            "start": start,
            "end": end,
            "first": start.date().replace(day=1),
            "last": end.date(),
            "trace": trace,
            "span": span,
            "limit": limit,
        },
    )
    return frame_of_rows(found.all())


def mark_traces_dirty(connection: Connection, project_id: int, start: datetime) -> int:
    """Mark every trace with a span that ends on the UTC day of `start` or later; returns how many."""
    return connection.execute(
        text(
            "INSERT INTO dirty_traces (project_id, trace_id, spans) SELECT DISTINCT project_id, trace_id, 0 "
            "FROM trace_days WHERE project_id = :project_id AND day >= :day"
        ),
        {"project_id": project_id, "day": start.date()},
    ).rowcount
