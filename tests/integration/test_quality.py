"""Data quality over PostgreSQL: every doubt is counted once, with where to look and what to change."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from models.core.quality import Finding, FindingKind, Quality
from models.core.telemetry import Rejection, TokenCounts
from models.core.vocabulary import BUCKETS, CallStatus, UsageSource
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
