"""Calls and their priced input lines as frames, for the cache figures."""

from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.queries import CostQuery
from models.core.vocabulary import INPUT_BUCKETS
from models.costs.cache_report import GROUPED_CALLS, GROUPED_LINES, CacheReport, cache_report
from models.store.cost_sql import conditions

MOST_CALLS = 200_000
"""Calls that one answer looks at, the newest ones: the order of a session's calls is needed, which no rollup keeps."""

_FROM = (
    " FROM calls c JOIN projects p ON p.id = c.project_id"
    " JOIN attributions a ON a.project_id = c.project_id AND a.attribution_id = c.attribution_id"
    " JOIN work_units u ON u.project_id = c.project_id AND u.unit_id = c.unit_id"
    " LEFT JOIN charges h ON h.project_id = c.project_id AND h.origin_id = c.trace_id AND h.span_id = c.span_id"
    " AND h.month = c.month AND h.charge_class = 'usage' AND h.superseded_at IS NULL"
)


def answer_cache(connection: Connection, query: CostQuery) -> CacheReport:
    """Cache figures of a period by agent and model.

    Calls of the period that used tokens, at most MOST_CALLS of them, the newest; `is_whole` says whether these are all.
    """
    parameters: dict[str, Any] = {
        "projects": list(query.projects),
        "start": query.start,
        "end": query.end,
        "from_month": query.start.date().replace(day=1),
        "to_month": query.end.date(),
        "most": MOST_CALLS + 1,
    }
    where = conditions(query, parameters)
    buckets = ", ".join(f"c.{bucket.value}" for bucket in INPUT_BUCKETS)
    found = connection.execute(
        text(
            f"SELECT a.agent, c.model, u.session, c.end_at AS at, {buckets}, h.line_buckets, h.line_quantities,"
            " h.line_list_costs, h.line_billed_costs, h.line_effective_costs, h.line_uncached_costs"
            f"{_FROM} WHERE c.project_id = ANY(:projects) AND c.end_at >= :start AND c.end_at < :end"
            f" AND c.month >= :from_month AND c.month <= :to_month AND c.usage_source <> 'absent' AND {where}"
            " ORDER BY c.end_at DESC LIMIT :most"
        ),
        parameters,
    ).all()
    page = found[:MOST_CALLS]
    width = len(GROUPED_CALLS)
    calls = pl.DataFrame([tuple(row)[:width] for row in page], schema=GROUPED_CALLS, orient="row")
    lines = pl.DataFrame([line for row in page for line in _lines(row)], schema=GROUPED_LINES, orient="row")
    return cache_report(calls, lines, is_whole=len(found) <= MOST_CALLS)


def _lines(row: Any) -> list[tuple[Any, ...]]:
    """The lines of a call's charge. A null array means "as the one before": uncached as effective, and so on."""
    if row.line_buckets is None:
        return []
    billed = row.line_billed_costs or row.line_list_costs
    effective = row.line_effective_costs or billed
    uncached = row.line_uncached_costs or effective
    return [
        (row.agent, row.model, bucket, quantity, cost, without)
        for bucket, quantity, cost, without in zip(
            row.line_buckets, row.line_quantities, effective, uncached, strict=True
        )
    ]
