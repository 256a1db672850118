"""The newest calls of a period in few groups, and what those tell: coverage and doubts by instrumentation."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from models.core.quality import Coverage, Example, Finding, FindingKind
from models.core.vocabulary import UsageSource
from models.store.engine import PLANNED_ANEW
from models.store.newest import newest
from models.store.quality_findings import EXAMPLES, finding_of

MOST_CALLS = 50_000
"""Older calls are not read: shares of the newest say the same, and a page must not scan a year."""

_PERIOD = "end_at >= :start AND end_at < :end AND month >= :first_month AND month <= :last_month"
_NEWEST_FIRST = "end_at DESC, trace_id, span_id"
_KEYS = "project_id, month, trace_id, span_id, end_at, attribution_id, model"
_TOLD = (
    "instrumentation, usage_source, status = 'error' AS failed, convention LIKE 'unknown%' AS is_unknown, "
    "coalesce(provenance ? 'disagreement', false) AS disagrees, coalesce(provenance ? 'match', false) AS matched, "
    "coalesce(provenance ? 'unbelieved', false) AS invented, "
    "input IS NULL AND output IS NULL AND cache_read IS NULL AND reasoning IS NULL AS untold"
)
_KINDS = "instrumentation, usage_source, is_unknown, disagrees, matched, invented, untold"
_PLACE, _TRACE, _MARK = 8, 24, 32
"""Where the place, the trace and the span of a mark end, in bytes."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CallGroup:
    """Calls that are told in the same way. `agent` and `model` are None unless they are untold."""

    instrumentation: str
    usage_source: str
    is_unknown: bool
    """Nothing says how its counts are to be read."""
    disagrees: bool
    matched: bool
    invented: bool
    untold: bool
    no_agent: bool
    no_team: bool
    agent: str | None
    model: str | None
    calls: int
    failed: int
    marks: bytes
    """Of its newest calls: place among all that were read, trace id and span id, 32 bytes each."""


def newest_calls(projects: Sequence[int], columns: str) -> str:
    """SQL of the newest MOST_CALLS calls over these projects, newest first, with their keys and these columns."""
    return newest("calls", f"{_KEYS}, {columns}", projects, _PERIOD, _NEWEST_FIRST, MOST_CALLS)


def read_groups(connection: Connection, projects: Sequence[int], asked: Mapping[str, Any]) -> list[CallGroup]:
    """The newest calls in groups; each is read once.

    Shapes   `asked` holds start, end, first_month and last_month.
    """
    # Agents and teams are looked up after the calls of an attribution were counted. An attribution keeps the places of
    # all its calls, of which the first few are sorted out in one go: sorted by group, every call would be compared.
    rows = connection.execute(
        text(
            f"WITH numbered AS (SELECT row_number() OVER (ORDER BY {_NEWEST_FIRST}) AS place, n.* "
            f"FROM ({newest_calls(projects, _TOLD)}) n), "
            f"counted AS MATERIALIZED (SELECT project_id, attribution_id, {_KINDS}, "
            "CASE WHEN untold THEN model END AS model, count(*) AS calls, count(*) FILTER (WHERE failed) AS failed, "
            "array_agg(int8send(place) || trace_id || span_id) AS marks "
            f"FROM numbered GROUP BY project_id, attribution_id, {_KINDS}, CASE WHEN untold THEN model END) "
            f"SELECT {_KINDS}, a.agent IS NULL AS no_agent, a.team IS NULL AS no_team, "
            "CASE WHEN untold THEN a.agent END AS agent, c.model, CAST(sum(calls) AS bigint) AS calls, "
            "CAST(sum(failed) AS bigint) AS failed, string_agg(f.marks, ''::bytea) AS marks FROM counted c "
            "CROSS JOIN LATERAL (SELECT agent, team FROM attributions WHERE project_id = c.project_id "
            "AND attribution_id = c.attribution_id OFFSET 0) a "
            "CROSS JOIN LATERAL (SELECT string_agg(mark, ''::bytea) AS marks FROM (SELECT mark FROM unnest(c.marks) "
            f"AS mark ORDER BY mark LIMIT {EXAMPLES}) AS few) f "
            f"GROUP BY {_KINDS}, no_agent, no_team, CASE WHEN untold THEN a.agent END, c.model"
        ),
        asked,
        execution_options=PLANNED_ANEW,
    )
    return [CallGroup(**{**row, "marks": bytes(row["marks"])}) for row in rows.mappings()]


def newest_of(groups: Iterable[CallGroup]) -> list[Example]:
    """The newest calls of these groups, newest first."""
    marks = sorted(group.marks[at : at + _MARK] for group in groups for at in range(0, len(group.marks), _MARK))
    return [Example(mark[_PLACE:_TRACE].hex(), mark[_TRACE:].hex()) for mark in marks[:EXAMPLES]]


def coverage_of(groups: Iterable[CallGroup], spans: Mapping[str, int]) -> list[Coverage]:
    """How calls are told by instrumentation, most calls first, then instrumentations that made none, by spans."""
    by_name: defaultdict[str, list[CallGroup]] = defaultdict(list)
    for group in groups:
        by_name[group.instrumentation].append(group)
    told = [_coverage(name, found, spans.get(name, 0)) for name, found in by_name.items()]
    silent = [_coverage(name, (), count) for name, count in spans.items() if name not in by_name]
    return sorted(told + silent, key=lambda row: (-row.calls, row.calls or -row.spans, row.instrumentation))


def _coverage(instrumentation: str, groups: Sequence[CallGroup], spans: int) -> Coverage:
    def calls(holds: Callable[[CallGroup], bool]) -> int:
        return sum(group.calls for group in groups if holds(group))

    return Coverage(
        instrumentation=instrumentation,
        spans=spans,
        calls=sum(group.calls for group in groups),
        reported=calls(lambda group: group.usage_source == UsageSource.REPORTED),
        partial=calls(_DOUBTS[FindingKind.PARTIAL]),
        estimated=calls(_DOUBTS[FindingKind.ESTIMATED]),
        absent=calls(_DOUBTS[FindingKind.ABSENT]),
        refused=calls(lambda group: group.usage_source == UsageSource.ABSENT and not group.untold),
        ambiguous=calls(_DOUBTS[FindingKind.AMBIGUOUS]),
        without_agent=calls(_DOUBTS[FindingKind.NO_AGENT]),
    )


_DOUBTS: Mapping[FindingKind, Callable[[CallGroup], bool]] = {
    FindingKind.ABSENT: lambda group: group.untold,
    FindingKind.PARTIAL: lambda group: group.usage_source == UsageSource.PARTIAL,
    FindingKind.ESTIMATED: lambda group: group.usage_source == UsageSource.ESTIMATED,
    FindingKind.INVENTED: lambda group: group.invented,
    FindingKind.AMBIGUOUS: lambda group: group.is_unknown and not group.untold,
    FindingKind.DISAGREEMENT: lambda group: group.disagrees,
    FindingKind.MATCHED: lambda group: group.matched,
    FindingKind.NO_AGENT: lambda group: group.no_agent,
    FindingKind.NO_TEAM: lambda group: group.no_team,
}


def doubts_of(groups: Iterable[CallGroup]) -> list[Finding]:
    """A finding per kind of doubt and instrumentation, with its newest calls as examples."""
    doubted: defaultdict[tuple[FindingKind, str], list[CallGroup]] = defaultdict(list)
    for group in groups:
        for kind, holds in _DOUBTS.items():
            if holds(group):
                doubted[kind, group.instrumentation].append(group)
    return [
        finding_of(
            kind,
            instrumentation,
            sum(group.calls for group in found),
            newest_of(found),
            is_problem=kind is not FindingKind.MATCHED,
        )
        for (kind, instrumentation), found in doubted.items()
    ]
