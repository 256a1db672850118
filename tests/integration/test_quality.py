"""Data quality over PostgreSQL: every doubt is counted once, with where to look and what to change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from app.importing import store_imported
from app.tasks.derive import derive_batch
from models.core.quality import Finding, FindingKind, Quality
from models.core.telemetry import Rejection, Span, TokenCounts
from models.core.time import ns_of_utc
from models.core.vocabulary import BUCKETS, CallStatus, Signal, UsageSource
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from models.store.telemetry import record_rejections
from tests.ledger_builders import END, START, make_call, settle

AT = datetime(2026, 11, 3, 10, 15, tzinfo=UTC)
USED = TokenCounts(input=1_000, cache_read=0, output=200, reasoning=0)
_projects = iter(range(1, 100))


@pytest.fixture
def project(database: Engine) -> int:
    with database.begin() as connection:
        return ensure_project(connection, f"quality {next(_projects)}").id


def told(database: Engine, project: int, calls: list[Any]) -> Quality:
    settle(database, project, [call.trace_id[-1] for call in calls], calls)
    return StoreReader(database).quality((project,), START, END)


def found(quality: Quality, kind: FindingKind) -> Finding | None:
    return next((finding for finding in quality.findings if finding.kind is kind), None)


def test_a_call_without_usage_is_named_estimated_beside_the_totals_and_told_from_a_refused_one(
    database: Engine, project: int
) -> None:
    nothing, zero = TokenCounts(), TokenCounts(**{bucket.value: 0 for bucket in BUCKETS})
    calls = [
        *(make_call(n, n, AT, USED) for n in (1, 2, 3)),
        replace(make_call(4, 4, AT, nothing), usage_source=UsageSource.ABSENT),
        replace(make_call(5, 5, AT, zero), usage_source=UsageSource.ABSENT, status=CallStatus.ERROR),
    ]
    quality = told(database, project, calls)
    (row,) = [row for row in quality.coverage if row.calls]
    assert (row.calls, row.reported, row.absent, row.refused) == (5, 3, 1, 1)
    absent = found(quality, FindingKind.ABSENT)
    assert absent is not None
    assert (absent.count, absent.is_problem, bool(absent.advice)) == (1, True, True)
    assert [example.trace_id for example in absent.examples] == [calls[3].trace_id.hex()]
    (estimate,) = quality.unmetered
    assert (estimate.calls, estimate.peers, estimate.tokens) == (1, 3, 1_200)
    # Sonnet 4.5: 1,000 input at 3 and 200 output at 15 per million.
    assert (estimate.cost_low, estimate.cost, estimate.cost_high) == (Decimal("0.006"),) * 3


def test_doubts_are_counted_by_instrumentation(database: Engine, project: int) -> None:
    named = {"agent": "planner", "team": "research"}
    calls = [
        replace(make_call(1, 1, AT, USED), convention="unknown, read as inclusive", instrumentation="acme@1", **named),
        replace(make_call(2, 2, AT, USED), usage_source=UsageSource.ESTIMATED, instrumentation="acme@1", **named),
        replace(make_call(3, 3, AT, USED), provenance={"disagreement": {"on": ["output: 1, 2"]}}, team="research"),
        replace(make_call(4, 4, AT, USED), provenance={"match": {"how": ["equal counts"]}}, **named),
    ]
    quality = told(database, project, calls)
    for kind, what in (
        (FindingKind.AMBIGUOUS, "acme@1"),
        (FindingKind.ESTIMATED, "acme@1"),
        (FindingKind.DISAGREEMENT, calls[2].instrumentation),
        (FindingKind.MATCHED, calls[3].instrumentation),
        (FindingKind.NO_AGENT, calls[2].instrumentation),
    ):
        finding = found(quality, kind)
        assert finding is not None, kind
        assert (finding.what, finding.count) == (what, 1)
    matched = found(quality, FindingKind.MATCHED)
    assert matched is not None
    assert not matched.is_problem


def test_rejections_are_shown_with_their_position_and_reason(database: Engine, project: int) -> None:
    refused = Rejection(position="resource_spans[0].scope_spans[0].spans[7]", reason="trace id of 3 bytes; 16 are")
    with database.begin() as connection:
        record_rejections(connection, project, [refused], body_digest=1)
        record_rejections(connection, project, [refused], body_digest=2)
    quality = StoreReader(database).quality((project,), START, datetime(2100, 1, 1, tzinfo=UTC))
    finding = found(quality, FindingKind.REJECTED)
    assert finding is not None
    assert (finding.what, finding.said, finding.count) == (refused.position, refused.reason, 2)


def test_another_project_and_another_period_show_nothing(database: Engine, project: int) -> None:
    told(database, project, [make_call(1, 1, AT, TokenCounts())])
    empty = StoreReader(database).quality((project,), END, datetime(2100, 1, 1, tzinfo=UTC))
    assert (empty.calls, empty.coverage, empty.findings, empty.unmetered) == (0, [], [], ())
    assert StoreReader(database).quality((project + 1_000_000,), START, END).calls == 0


def test_counts_made_up_for_streams_are_stated_and_in_no_total(database: Engine, project: int) -> None:
    aside = {"unbelieved": {"span_id": "0" * 16, "attribute": "gen_ai.usage.output_tokens", "value": "5"}}
    call = replace(make_call(1, 1, AT, TokenCounts()), usage_source=UsageSource.ABSENT, provenance=aside)
    quality = told(database, project, [call])
    finding = found(quality, FindingKind.INVENTED)
    assert finding is not None
    assert (finding.count, finding.is_problem, finding.examples[0].trace_id) == (1, True, call.trace_id.hex())
    assert quality.coverage[0].absent == 1


def point(service: str, output: int, end: datetime, *, begun: datetime = AT, temporality: str = "cumulative") -> Span:
    return Span(
        trace_id=service.encode().ljust(16, b"-"),
        span_id=f"{int(end.timestamp()):08d}".encode()[-8:],
        parent_span_id=None,
        name="gen_ai.client.token.usage",
        start_ns=ns_of_utc(begun),
        end_ns=ns_of_utc(end),
        signal=Signal.METRICS,
        scope_name="acme.tracing",
        resource={"service.name": service},
        attributes={
            "metric.sum": output,
            "metric.temporality": temporality,
            "gen_ai.token.type": "output",
            "gen_ai.response.model": "claude-sonnet-4-5",
        },
    )


def derived(database: Engine, project: int, spans: list[Span]) -> None:
    store_imported(database, project, spans)
    with database.begin() as connection:
        while derive_batch(connection, 100):
            pass


def test_metrics_that_say_more_than_the_calls_are_a_finding_with_the_missing_tokens(
    database: Engine, project: int
) -> None:
    hour = timedelta(hours=1)
    # A cumulative stream exported three times, once twice: its last point counts. 200 of its 1,000 are in a call.
    derived(database, project, [point("shop", 300, AT + hour), point("shop", 700, AT + 2 * hour)])
    derived(database, project, [point("shop", 1_000, AT + 3 * hour), point("shop", 700, AT + 2 * hour)])
    quality = told(database, project, [make_call(1, 1, AT, USED, service="shop")])
    finding = found(quality, FindingKind.METRICS)
    assert finding is not None
    assert (finding.what, finding.count, finding.is_problem) == ("shop · acme.tracing", 800, True)
    assert "1,000 by gen_ai.client.token.usage, 200 by calls" in finding.said
    (gap,) = quality.metrics
    assert [(each.model, each.said, each.counted) for each in gap.models] == [("claude-sonnet-4-5", 1_000, 200)]
    # Once the calls are there, nothing is missing.
    rest = TokenCounts(input=1, output=800)
    quality = told(database, project, [make_call(n, n, AT, t, service="shop") for n, t in ((1, USED), (2, rest))])
    assert list(quality.metrics) == []
    assert found(quality, FindingKind.METRICS) is None


def test_a_stream_over_midnight_is_told_by_day_and_a_delta_stream_by_its_steps(database: Engine, project: int) -> None:
    day = timedelta(days=1)
    sums = [point("night", 100, AT, begun=AT - day), point("night", 400, AT + day, begun=AT - day)]
    steps = [
        point("steps", 30, AT + n * day, begun=AT + n * day - timedelta(minutes=1), temporality="delta")
        for n in range(3)
    ]
    derived(database, project, [*sums, *steps])
    said = {}
    for offset in (0, 1):
        start = AT.replace(hour=0, minute=0) + offset * day
        quality = StoreReader(database).quality((project,), start, start + day)
        said[offset] = {gap.service: gap.said for gap in quality.metrics}
    assert said == {0: {"night": 100, "steps": 30}, 1: {"night": 300, "steps": 30}}
