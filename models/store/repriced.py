"""Calls beside what they are charged, slice by slice: for asking what new prices would change, writing nothing."""

from collections.abc import Iterator
from datetime import datetime

import polars as pl
from sqlalchemy import Connection, text

from models.core.frames import USD
from models.core.vocabulary import BUCKETS
from models.store.bulk import read_frame
from models.store.call_frame import ROW

SLICE_CALLS = 100_000
"""About as many calls are held at a time."""
KEYS = {"trace_id": pl.Binary(), "span_id": pl.Binary()}
COSTS = ("list_cost", "billed_cost", "effective_cost", "uncached_cost")
CALL = {
    **KEYS,
    "end_us": pl.Int64(),
    "provider": pl.String(),
    "model": pl.String(),
    "details": pl.String(),
    "service_tier": pl.String(),
    "region": pl.String(),
    "attribution_id": pl.Int64(),
    **{bucket.value: pl.Int64() for bucket in BUCKETS},
}
"""What rating needs of a call."""
CHARGE = {
    **KEYS,
    "price_status": pl.String(),
    "unpriced_reason": pl.String(),
    "unpriced_tokens": pl.Int64(),
    "belongs": pl.Int64(),
    **dict.fromkeys(COSTS, USD),
}
"""What a charge says of the price of its call."""


def slices(
    connection: Connection, project_id: int, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The period in parts of whole hours with about SLICE_CALLS calls each, none of them left out."""
    hours = connection.execute(
        text(
            "SELECT period_start, sum(calls) AS calls FROM rollup_calls WHERE project_id = :project_id "
            "AND grain = 'hour' AND period_start > :start AND period_start < :end GROUP BY 1 ORDER BY 1"
        ),
        {"project_id": project_id, "start": start, "end": end},
    ).all()
    begun, calls = start, 0
    for hour in hours:
        if calls >= SLICE_CALLS:
            yield begun, hour.period_start
            begun, calls = hour.period_start, 0
        calls += hour.calls
    yield begun, end


def calls_of_slice(connection: Connection, project_id: int, start: datetime, end: datetime) -> pl.DataFrame:
    """Rows of `calls` that end in [start, end), with what rating does not need left null."""
    columns = ", ".join(
        "(extract(epoch FROM c.end_at) * 1000000)::bigint" if name == "end_us" else f"c.{name}" for name in CALL
    )
    found = read_frame(
        connection,
        f"SELECT {columns} FROM calls c WHERE c.project_id = %(project_id)s AND c.end_at >= %(start)s "
        "AND c.end_at < %(end)s AND c.month >= %(first)s AND c.month <= %(last)s",
        _scope(project_id, start, end),
        CALL,
    )
    return found.with_columns(
        pl.lit(project_id, dtype=pl.Int64).alias("project_id"),
        pl.col("end_us").cast(pl.Datetime("us", "UTC")).alias("end_at"),
    ).select(
        pl.col(name) if name in (*CALL, "project_id", "end_at") else pl.lit(None, dtype=kind).alias(name)
        for name, kind in ROW.items()
    )


def charges_of_slice(connection: Connection, project_id: int, start: datetime, end: datetime) -> pl.DataFrame:
    """What the live charges of calls that end in [start, end) say, by trace and span."""
    return read_frame(
        connection,
        "SELECT h.origin_id, h.span_id, h.price_status, h.unpriced_reason, h.unpriced_tokens, h.attribution_id, "
        f"{', '.join(f'h.{name}' for name in COSTS)} FROM charges h WHERE h.project_id = %(project_id)s "
        "AND h.end_at >= %(start)s AND h.end_at < %(end)s AND h.month >= %(first)s AND h.month <= %(last)s "
        "AND h.charge_class = 'usage' AND h.superseded_at IS NULL",
        _scope(project_id, start, end),
        CHARGE,
    )


def _scope(project_id: int, start: datetime, end: datetime) -> dict[str, object]:
    return {
        "project_id": project_id,
        "start": start,
        "end": end,
        "first": start.date().replace(day=1),
        "last": end.date(),
    }
