"""Data quality of a period out of calls, spans, rejections and metrics, each finding with where to look."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from models.core.metrics import MetricGap
from models.core.quality import Finding, FindingKind, Quality
from models.store import quality_calls
from models.store.engine import PLANNED_ANEW
from models.store.metric_days import answer_metric_gaps
from models.store.newest import newest
from models.store.quality_advice import ADVICE
from models.store.quality_findings import examples_of, first_ids
from models.store.quality_spans import read_spans
from models.store.quality_unmetered import unmetered_of

MOST_REJECTIONS = 10_000
MOST_REASONS = 50
MOST_FINDINGS = 200


def answer_quality(connection: Connection, projects: Sequence[int], start: datetime, end: datetime) -> Quality:
    """How far the figures of a period can be trusted.

    Shapes   ids of projects and a half-open period → coverage by instrumentation, findings, unmetered estimates.
    Reads    at most MOST_CALLS of the newest calls over all these projects, MOST_BLOCKS blocks of spans of the newest
             days, and the newest MOST_REJECTIONS rejections; counts are of these.
    """
    asked = {
        "start": start,
        "end": end,
        "first_month": start.date().replace(day=1),
        "last_month": end.date().replace(day=1),
    }
    spans = read_spans(connection, projects, start, end)
    groups = quality_calls.read_groups(connection, projects, asked)
    calls = sum(group.calls for group in groups)
    gaps = answer_metric_gaps(connection, projects, start, end)
    findings = [
        *(_metric_finding(gap) for gap in gaps),
        *quality_calls.doubts_of(groups),
        *_rejected(connection, projects, start, end),
        *spans.findings,
    ]
    rank = {kind: place for place, kind in enumerate(FindingKind)}
    findings.sort(key=lambda finding: (not finding.is_problem, rank[finding.kind], -finding.count, finding.what))
    return Quality(
        start=start,
        end=end,
        calls=calls,
        is_all=calls < quality_calls.MOST_CALLS,
        coverage=quality_calls.coverage_of(groups, spans.by_instrumentation),
        findings=findings[:MOST_FINDINGS],
        unmetered=unmetered_of(connection, projects, asked, groups),
        metrics=gaps,
    )


def _metric_finding(gap: MetricGap) -> Finding:
    said, advice = ADVICE[FindingKind.METRICS]
    models = ", ".join(f"{each.model}: {each.said:,} to {each.counted:,}" for each in gap.models[:3])
    return Finding(
        kind=FindingKind.METRICS,
        what=f"{gap.service or 'a service without a name'} · {gap.scope}",
        count=gap.missing,
        examples=(),
        said=f"{said}: {gap.said:,} by {gap.metric}, {gap.counted:,} by calls" + (f" ({models})" if models else ""),
        advice=advice,
    )


def _rejected(connection: Connection, projects: Sequence[int], start: datetime, end: datetime) -> list[Finding]:
    """Rejections by reason, those that came most often first."""
    refused = newest(
        "rejections",
        "id, received_at, reason, position, trace_id, span_id",
        projects,
        "received_at >= :start AND received_at < :end",
        "received_at DESC, id DESC",
        MOST_REJECTIONS,
    )
    located = "f.reason = refused.reason AND f.trace_id IS NOT NULL AND f.span_id IS NOT NULL"
    rows = connection.execute(
        text(
            f"WITH refused AS MATERIALIZED ({refused}) SELECT reason, count(*) AS found, min(position) AS position, "
            f"{first_ids('refused', located)} AS examples FROM refused GROUP BY reason "
            f"ORDER BY count(*) DESC, reason LIMIT {MOST_REASONS}"
        ),
        {"start": start, "end": end},
        execution_options=PLANNED_ANEW,
    ).all()
    return [
        Finding(
            kind=FindingKind.REJECTED,
            what=row.position,
            count=row.found,
            examples=examples_of(row.examples),
            said=row.reason,
            advice=ADVICE[FindingKind.REJECTED][1],
        )
        for row in rows
    ]
