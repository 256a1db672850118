"""The `watch` task: the detectors look at every trace that changed; what they find opens or updates incidents."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app import wiring
from app.tasks.loop import until_empty
from app.worker import celery
from ingest.steps import LEAST_SPANS, steps_of_trace
from models.core.controls import Report
from models.core.money import plain
from models.core.telemetry import Call, Span
from models.core.time import rfc3339_of_ns, utc_of_ns
from models.costs.loops import findings_of
from models.costs.steps import Finding
from models.store.incidents import report, resolve_silent
from models.store.telemetry import load_spans
from models.store.watching import claim_unwatched, watched_calls

BATCH_TRACES = 200
LATE = timedelta(hours=1)
"""Spans that arrive later than this after they ended open incidents quietly: imports and replays page nobody."""
SILENCE = timedelta(minutes=2)
CRITICAL_PER_MINUTE = Decimal(1)
CRITICAL_PER_HOUR = Decimal(25)


@celery.task(name="watch", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def watch() -> int:
    """Look at the traces that wait until none is left or the time box ends; returns how many were looked at.

    Delivered at least once, effective once: a trace leaves the queue in the transaction that writes what was found,
    and `uq_incidents_dedup_key` keeps one incident per trace. The detectors start afresh from the stored spans, so
    there is no state to lose.
    """
    done = until_empty("watch", lambda connection: watch_batch(connection, BATCH_TRACES, datetime.now(UTC)))
    if done:
        wiring.current().hint("deliver")
    return done


def watch_batch(connection: Connection, limit: int, at: datetime) -> int:
    """Claim up to `limit` traces and report what is found in them."""
    claimed = claim_unwatched(connection, limit, at)
    by_project: dict[int, list[bytes]] = {}
    for project_id, trace_id in claimed:
        by_project.setdefault(project_id, []).append(trace_id)
    for project_id, trace_ids in sorted(by_project.items()):
        spans: dict[bytes, list[Span]] = {}
        for span in load_spans(connection, project_id, trace_ids):
            spans.setdefault(span.trace_id, []).append(span)
        for trace_id, members in sorted(spans.items()):
            if len(members) >= LEAST_SPANS:
                watch_trace(connection, project_id, trace_id, members, at)
    return len(claimed)


def watch_trace(connection: Connection, project_id: int, trace_id: bytes, spans: Sequence[Span], at: datetime) -> None:
    """Report what the detectors find in one trace: all of it folds into one incident."""
    known = watched_calls(connection, project_id, trace_id)
    findings = findings_of(steps_of_trace(spans, known.calls, known.costs))
    if findings:
        ended = utc_of_ns(max(finding.last_ns for finding in findings))
        found = loop_report(project_id, trace_id, findings, known.calls)
        report(connection, project_id, found, at, quiet=at - ended > LATE)


def loop_report(project_id: int, trace_id: bytes, findings: Sequence[Finding], calls: Sequence[Call]) -> Report:
    """What is said about a trace: the pattern that was complete first names it, the others are evidence."""
    first = findings[0]
    per_minute = first.cost_per_minute
    urgent = per_minute is not None and (
        per_minute >= CRITICAL_PER_MINUTE or first.cost + per_minute * 60 >= CRITICAL_PER_HOUR
    )
    owners = [call for call in calls if call.agent == first.agent] or list(calls)
    team = next((call.team for call in owners if call.team), None)
    return Report(
        dedup_key=f"loop:{project_id}:{trace_id.hex()}",
        kind=first.kind.value,
        title=first.title,
        severity="critical" if urgent else "warning",
        repeats=first.repeats,
        cost_so_far=first.cost,
        cost_per_minute=per_minute,
        waste=first.waste,
        agent=first.agent,
        team=team,
        session=next((call.session for call in owners if call.session), None),
        trace_id=trace_id,
        dimensions={
            "service": next((call.service for call in owners if call.service), None),
            "environment": next((call.environment for call in owners if call.environment), None),
            "cost_center": next((call.cost_center for call in owners if call.cost_center), None),
        },
        evidence={"findings": [_evidence(finding) for finding in findings]},
    )


def _evidence(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "title": finding.title,
        "agent": finding.agent,
        "what": list(finding.what),
        "repeats": finding.repeats,
        "threshold": finding.threshold,
        "since": rfc3339_of_ns(finding.since_ns),
        "last": rfc3339_of_ns(finding.last_ns),
        "cost": plain(finding.cost),
        "cost_per_minute": plain(finding.cost_per_minute),
        "waste": plain(finding.waste),
        "confidence": "high" if finding.arguments_known else "low: the instrumentation does not report arguments",
        "suppressors_checked": list(finding.suppressors_checked),
    }


@celery.task(name="resolve_silent")
def resolve_silent_incidents() -> int:
    """Resolve what has not been seen for two minutes; returns how many. Twice resolves nothing twice."""
    with wiring.current().transaction() as connection:
        resolved = resolve_silent(connection, datetime.now(UTC), SILENCE)
    if resolved:
        wiring.current().hint("deliver")
    return len(resolved)
