"""Spans of a period's newest days: by instrumentation, those that came late, and those that are no calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from models.core.quality import Finding, FindingKind
from models.core.time import ns_of_utc
from models.store.engine import PLANNED_ANEW
from models.store.newest import newest
from models.store.packed_arrays import dates
from models.store.quality_findings import examples_of, finding_of, first_ids

MOST_BLOCKS = 50_000
"""Blocks of spans that are read, of the newest days; of the day that no longer fits, the lowest trace ids.

Trace ids are made at random, so these stand for their day; within a day no index leads to the newest.
"""
MOST_SUPPRESSED = 50_000
"""Spans left out that are counted: a trace may hold any number of them."""
LATE_SECONDS = 3_600
_SUPPRESSED = {"duplicate": FindingKind.DUPLICATE, "rollup": FindingKind.ROLLUP}
_OWN = "starts_with(f.name, 'jevons.')"
"""What importers made out of files: always long after it happened."""


@dataclass(slots=True, frozen=True)
class SpansSeen:
    """Spans by instrumentation, and what was found of them."""

    by_instrumentation: Mapping[str, int]
    findings: Sequence[Finding]


def read_spans(connection: Connection, projects: Sequence[int], start: datetime, end: datetime) -> SpansSeen:
    """What the spans tell that ended in this half-open period: at most MOST_BLOCKS blocks of them are read."""
    blocks = newest(
        "span_blocks",
        "project_id, scope_id, trace_id, span_id, length(span_ids) / 8 AS spans, "
        "extract(epoch FROM received_at) - last_end_ns / 1e9 > :late AS is_late",
        projects,
        "day = each.day AND day >= :first_day AND day <= :last_day "
        "AND last_end_ns >= :start_ns AND last_end_ns < :end_ns",
        "trace_id, span_id",
        MOST_BLOCKS,
    )
    days = _days(start, end)
    asked: dict[str, Any] = {
        "days": dates(days),
        "first_day": days[-1],
        "last_day": days[0],
        "start_ns": ns_of_utc(start),
        "end_ns": ns_of_utc(end),
        "late": LATE_SECONDS,
    }
    rows = connection.execute(
        text(
            # Day by day, the newest first, until there are enough: the partitions of other days are not opened.
            f"WITH seen AS MATERIALIZED (SELECT b.* FROM unnest(CAST(:days AS date[])) AS each (day) "
            f"CROSS JOIN LATERAL ({blocks}) b LIMIT {MOST_BLOCKS}), "
            "counted AS (SELECT project_id, scope_id, sum(spans) AS spans, sum(spans) FILTER (WHERE is_late) AS late "
            "FROM seen GROUP BY project_id, scope_id), "
            "named AS (SELECT project_id, scope_id, name, "
            "CASE WHEN version = '' THEN name ELSE name || '@' || version END AS instrumentation FROM scopes), "
            "late AS (SELECT trace_id, span_id, name FROM seen JOIN named USING (project_id, scope_id) WHERE is_late), "
            "gone AS MATERIALIZED (SELECT t.trace_id, s.span_id, s.why "
            "FROM (SELECT DISTINCT project_id, trace_id FROM seen) t CROSS JOIN LATERAL (SELECT span_id, why "
            "FROM suppressions WHERE project_id = t.project_id AND trace_id = t.trace_id OFFSET 0) s "
            f"LIMIT {MOST_SUPPRESSED}) "
            "SELECT 'spans' AS what, instrumentation AS name, CAST(sum(spans) AS bigint) AS found, "
            "CAST(NULL AS text[]) AS examples FROM counted JOIN named USING (project_id, scope_id) GROUP BY 2 "
            "UNION ALL SELECT 'late', NULL, CAST(sum(late) AS bigint), "
            f"{first_ids('late', f'NOT {_OWN}')} FROM counted JOIN named f USING (project_id, scope_id) "
            f"WHERE late > 0 AND NOT {_OWN} HAVING sum(late) > 0 "
            f"UNION ALL SELECT 'gone', why, count(*), {first_ids('gone', 'f.why = gone.why')} FROM gone GROUP BY why"
        ),
        asked,
        execution_options=PLANNED_ANEW,
    ).all()
    late = [
        finding_of(FindingKind.LATE, "all", row.found, examples_of(row.examples), is_problem=False)
        for row in rows
        if row.what == "late"
    ]
    left_out = [
        finding_of(_SUPPRESSED[row.name], "all", row.found, examples_of(row.examples), is_problem=False)
        for row in rows
        if row.what == "gone" and row.name in _SUPPRESSED
    ]
    return SpansSeen({row.name: row.found for row in rows if row.what == "spans"}, [*left_out, *late])


def _days(start: datetime, end: datetime) -> list[date]:
    """The UTC days that a half-open period touches, the newest first; at least one."""
    first = start.astimezone(UTC).date()
    last = max((end.astimezone(UTC) - timedelta(microseconds=1)).date(), first)
    return [last - timedelta(days=back) for back in range((last - first).days + 1)]
