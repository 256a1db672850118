"""Data quality of a period out of calls, suppressions, rejections and spans, each finding with where to look."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from models.core.metrics import MetricGap
from models.core.quality import Coverage, Example, Finding, FindingKind, Quality
from models.costs.unmetered import Peers, Untold, estimate
from models.store.metric_days import answer_metric_gaps
from models.store.quality_advice import ADVICE, advice_for

MOST_CALLS = 200_000
MOST_SPANS = 500_000
"""More than this are not read: shares of the newest say the same, and a page must not scan a year."""
EXAMPLES = 5
MOST_FINDINGS = 200
LATE_SECONDS = 3_600

_NO_TOKENS = "c.input IS NULL AND c.output IS NULL AND c.cache_read IS NULL AND c.reasoning IS NULL"
_RECENT = f"""
    recent AS (
        SELECT c.trace_id, c.span_id, c.instrumentation, c.usage_source, c.status, c.convention, c.convention_reason,
               c.provenance ? 'disagreement' AS disagrees, c.provenance ? 'match' AS matched,
               c.provenance ? 'unbelieved' AS invented, c.model, a.agent, a.team, {_NO_TOKENS} AS untold,
               coalesce(c.input, 0) + coalesce(c.cache_read, 0) + coalesce(c.cache_write_5m, 0)
               + coalesce(c.cache_write_1h, 0) + coalesce(c.cache_write_unknown, 0) + coalesce(c.tool_use_input, 0)
               + coalesce(c.output, 0) + coalesce(c.reasoning, 0) AS tokens,
               c.project_id, c.month
        FROM calls c
        JOIN attributions a ON a.project_id = c.project_id AND a.attribution_id = c.attribution_id
        WHERE c.project_id = ANY(:projects) AND c.end_at >= :start AND c.end_at < :end
          AND c.month >= :first_month AND c.month <= :last_month
        ORDER BY c.end_at DESC
        LIMIT :most
    )
"""


@dataclass(slots=True, frozen=True)
class _Doubt:
    """A kind of finding and the condition on a recent call."""

    kind: FindingKind
    condition: str


_DOUBTS = (
    _Doubt(FindingKind.ABSENT, "untold"),
    _Doubt(FindingKind.PARTIAL, "usage_source = 'partial'"),
    _Doubt(FindingKind.ESTIMATED, "usage_source = 'estimated'"),
    _Doubt(FindingKind.INVENTED, "invented"),
    _Doubt(FindingKind.AMBIGUOUS, "convention LIKE 'unknown%' AND NOT untold"),
    _Doubt(FindingKind.DISAGREEMENT, "disagrees"),
    _Doubt(FindingKind.MATCHED, "matched"),
    _Doubt(FindingKind.NO_AGENT, "agent IS NULL"),
    _Doubt(FindingKind.NO_TEAM, "team IS NULL"),
)


def answer_quality(connection: Connection, projects: Sequence[int], start: datetime, end: datetime) -> Quality:
    """How far the figures of a period can be trusted.

    Shapes   ids of projects and a half-open period → coverage by instrumentation, findings, unmetered estimates.
    Reads    at most MOST_CALLS of the newest calls and MOST_SPANS spans of the period.
    """
    asked: dict[str, Any] = {
        "projects": list(projects),
        "start": start,
        "end": end,
        "first_month": start.date().replace(day=1),
        "last_month": end.date().replace(day=1),
        "first_day": start.date(),
        "last_day": end.date(),
        "start_ns": int(start.timestamp()) * 1_000_000_000,
        "end_ns": int(end.timestamp()) * 1_000_000_000,
        "most": MOST_CALLS,
        "most_spans": MOST_SPANS,
        "late": LATE_SECONDS,
    }
    spans, late = _spans(connection, asked)
    coverage = _coverage(connection, asked, spans)
    calls = sum(row.calls for row in coverage)
    gaps = answer_metric_gaps(connection, projects, start, end)
    findings = [
        *(_metric_finding(gap) for gap in gaps),
        *_doubts(connection, asked),
        *_suppressed(connection, asked),
        *_rejected(connection, asked),
        *late,
    ]
    rank = {kind: place for place, kind in enumerate(FindingKind)}
    findings.sort(key=lambda finding: (not finding.is_problem, rank[finding.kind], -finding.count, finding.what))
    return Quality(
        start=start,
        end=end,
        calls=calls,
        is_all=calls < MOST_CALLS,
        coverage=coverage,
        findings=findings[:MOST_FINDINGS],
        unmetered=_unmetered(connection, asked) if any(row.absent for row in coverage) else (),
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


def _coverage(connection: Connection, asked: Mapping[str, Any], spans: Mapping[str, int]) -> list[Coverage]:
    rows = connection.execute(
        text(
            f"WITH {_RECENT} SELECT instrumentation, count(*) AS calls, "
            "count(*) FILTER (WHERE usage_source = 'reported') AS reported, "
            "count(*) FILTER (WHERE usage_source = 'partial') AS partial, "
            "count(*) FILTER (WHERE usage_source = 'estimated') AS estimated, "
            "count(*) FILTER (WHERE untold) AS absent, "
            "count(*) FILTER (WHERE usage_source = 'absent' AND NOT untold) AS refused, "
            "count(*) FILTER (WHERE convention LIKE 'unknown%' AND NOT untold) AS ambiguous, "
            "count(*) FILTER (WHERE agent IS NULL) AS without_agent "
            "FROM recent GROUP BY instrumentation ORDER BY calls DESC, instrumentation"
        ),
        asked,
    ).all()
    told = [Coverage(spans=spans.get(row.instrumentation, 0), **row._asdict()) for row in rows]
    named = {row.instrumentation for row in told}
    silent = [
        Coverage(
            instrumentation=name,
            spans=count,
            calls=0,
            reported=0,
            partial=0,
            estimated=0,
            absent=0,
            refused=0,
            ambiguous=0,
            without_agent=0,
        )
        for name, count in sorted(spans.items(), key=lambda item: (-item[1], item[0]))
        if name not in named
    ]
    return [*told, *silent]


def _spans(connection: Connection, asked: Mapping[str, Any]) -> tuple[dict[str, int], list[Finding]]:
    """Spans by instrumentation, and those that came long after they had ended."""
    rows = connection.execute(
        text(
            "WITH seen AS (SELECT project_id, scope_id, trace_id, span_id, length(span_ids) / 8 AS spans, "
            "extract(epoch FROM received_at) - last_end_ns / 1e9 > :late AS is_late FROM span_blocks "
            "WHERE project_id = ANY(:projects) AND day >= :first_day AND day <= :last_day "
            "AND last_end_ns >= :start_ns AND last_end_ns < :end_ns LIMIT :most_spans) "
            "SELECT CASE WHEN s.version = '' THEN s.name ELSE s.name || '@' || s.version END AS instrumentation, "
            "sum(spans) AS spans, coalesce(sum(spans) FILTER (WHERE is_late), 0) AS late, "
            f"{_examples('seen', 'is_late')} AS examples "
            "FROM seen JOIN scopes s USING (project_id, scope_id) GROUP BY 1 ORDER BY late DESC, 1"
        ),
        asked,
    ).all()
    came = [row for row in rows if row.late and not row.instrumentation.startswith("jevons.")]
    late = [
        _finding(FindingKind.LATE, "all", sum(row.late for row in came), row.examples, problem=False)
        for row in came[:1]
    ]
    return {row.instrumentation: row.spans for row in rows}, late


def _doubts(connection: Connection, asked: Mapping[str, Any]) -> list[Finding]:
    parts = " UNION ALL ".join(
        f"SELECT '{doubt.kind.value}' AS kind, instrumentation, count(*) AS found, {_examples('recent')} AS examples "
        f"FROM recent WHERE {doubt.condition} GROUP BY instrumentation"
        for doubt in _DOUBTS
    )
    rows = connection.execute(text(f"WITH {_RECENT} {parts}"), asked).all()
    return [
        _finding(
            FindingKind(row.kind),
            row.instrumentation,
            row.found,
            row.examples,
            problem=row.kind != FindingKind.MATCHED.value,
        )
        for row in rows
    ]


def _suppressed(connection: Connection, asked: Mapping[str, Any]) -> list[Finding]:
    rows = connection.execute(
        text(
            "WITH gone AS (SELECT s.project_id, s.trace_id, s.span_id, s.why FROM suppressions s "
            "WHERE s.project_id = ANY(:projects) AND EXISTS (SELECT FROM trace_days d "
            "WHERE d.project_id = s.project_id AND d.trace_id = s.trace_id "
            "AND d.day >= :first_day AND d.day <= :last_day) LIMIT :most) "
            f"SELECT why, count(*) AS found, {_examples('gone')} AS examples FROM gone GROUP BY why"
        ),
        asked,
    ).all()
    kinds = {"duplicate": FindingKind.DUPLICATE, "rollup": FindingKind.ROLLUP}
    return [_finding(kinds[row.why], "all", row.found, row.examples, problem=False) for row in rows if row.why in kinds]


def _rejected(connection: Connection, asked: Mapping[str, Any]) -> list[Finding]:
    rows = connection.execute(
        text(
            "SELECT reason, count(*) AS found, min(position) AS position, "
            f"{_examples('rejections', 'trace_id IS NOT NULL AND span_id IS NOT NULL')} AS examples FROM rejections "
            "WHERE project_id = ANY(:projects) AND received_at >= :start AND received_at < :end "
            "GROUP BY reason ORDER BY count(*) DESC LIMIT 50"
        ),
        asked,
    ).all()
    return [
        Finding(
            kind=FindingKind.REJECTED,
            what=row.position,
            count=row.found,
            examples=_read(row.examples),
            said=row.reason,
            advice=ADVICE[FindingKind.REJECTED][1],
        )
        for row in rows
    ]


def _examples(source: str, condition: str = "") -> str:
    """SQL of the first few ids, in an order that does not depend on how rows lie."""
    ids = f"encode({source}.trace_id, 'hex') || encode({source}.span_id, 'hex')"
    where = f" FILTER (WHERE {condition})" if condition else ""
    return f"(array_agg({ids} ORDER BY {source}.trace_id, {source}.span_id){where})[1:{EXAMPLES}]"


def _read(ids: Iterable[str] | None) -> list[Example]:
    return [Example(each[:32], each[32:]) for each in ids or ()]


def _finding(
    kind: FindingKind, instrumentation: str, count: int, examples: Iterable[str] | None, *, problem: bool
) -> Finding:
    said, advice = advice_for(kind, instrumentation)
    return Finding(
        kind=kind,
        what=instrumentation,
        count=count,
        examples=_read(examples),
        said=said,
        advice=advice,
        is_problem=problem,
    )


def _unmetered(connection: Connection, asked: Mapping[str, Any]) -> Sequence[Any]:
    untold = connection.execute(
        text(
            f"WITH {_RECENT} SELECT agent, model, count(*) AS calls, "
            "count(*) FILTER (WHERE status = 'error') AS failed, "
            f"{_examples('recent')} AS examples FROM recent WHERE untold GROUP BY agent, model "
            "ORDER BY count(*) DESC, agent, model LIMIT 100"
        ),
        asked,
    ).all()
    spread = "percentile_disc(ARRAY[0.05, 0.5, 0.95]) WITHIN GROUP (ORDER BY"
    rows = connection.execute(
        text(
            f"WITH {_RECENT} SELECT r.model, r.agent, grouping(r.agent) = 1 AS is_model, count(*) AS calls, "
            f"{spread} r.tokens) AS tokens, {spread} h.effective_cost) AS costs FROM recent r "
            "LEFT JOIN charges h ON h.project_id = r.project_id AND h.origin_id = r.trace_id "
            "AND h.span_id = r.span_id AND h.month = r.month AND h.charge_class = 'usage' AND h.superseded_at IS NULL "
            "WHERE r.tokens > 0 AND r.model = ANY(:models) GROUP BY GROUPING SETS ((r.model, r.agent), (r.model))"
        ),
        {**asked, "models": [row.model for row in untold if row.model is not None]},
    ).all()
    groups = [
        Untold(agent=row.agent, model=row.model, calls=row.calls, failed=row.failed, examples=_read(row.examples))
        for row in untold
    ]
    peers = {(row.agent, row.model): _peers(row) for row in rows if not row.is_model}
    return estimate(groups, peers, {row.model: _peers(row) for row in rows if row.is_model})


def _peers(row: Any) -> Peers:
    low, middle, high = row.tokens
    costs: Sequence[Decimal | None] = row.costs or ()
    known = [cost for cost in costs if cost is not None]
    cost = (known[0], known[1], known[2]) if len(known) == 3 else None
    return Peers(calls=row.calls, tokens=(int(low), int(middle), int(high)), cost=cost)
