"""Coverage, findings and estimates of a random mixture equal what is counted call by call."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil

import pytest
from sqlalchemy import Engine, text

from app.importing import store_imported
from models.core.quality import FindingKind, Quality
from models.core.telemetry import Call, Span, TokenCounts
from models.core.time import ns_of_utc
from models.core.vocabulary import CallStatus, UsageSource
from models.store import quality_calls, quality_spans
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from tests.ledger_builders import END, START, make_call, settle

AT = datetime(2026, 11, 3, 10, 15, tzinfo=UTC)
DOUBTS: dict[FindingKind, Callable[[Call], bool]] = {
    FindingKind.ABSENT: lambda call: is_untold(call),
    FindingKind.PARTIAL: lambda call: call.usage_source is UsageSource.PARTIAL,
    FindingKind.ESTIMATED: lambda call: call.usage_source is UsageSource.ESTIMATED,
    FindingKind.INVENTED: lambda call: "unbelieved" in (call.provenance or {}),
    FindingKind.AMBIGUOUS: lambda call: call.convention.startswith("unknown") and not is_untold(call),
    FindingKind.DISAGREEMENT: lambda call: "disagreement" in (call.provenance or {}),
    FindingKind.MATCHED: lambda call: "match" in (call.provenance or {}),
    FindingKind.NO_AGENT: lambda call: call.agent is None,
    FindingKind.NO_TEAM: lambda call: call.team is None,
}


def is_untold(call: Call) -> bool:
    tokens = call.tokens
    return tokens.input is None and tokens.output is None and tokens.cache_read is None and tokens.reasoning is None


def mixture(chance: random.Random, first: int, count: int) -> list[Call]:
    """Calls of every kind of doubt; some end in the same second."""
    made: list[Call] = []
    for number in range(first, first + count):
        source = chance.choice(list(UsageSource))
        tokens = TokenCounts(input=chance.randrange(1, 5_000), output=chance.randrange(1, 500))
        if source is UsageSource.ABSENT:
            tokens = chance.choice([TokenCounts(), TokenCounts(input=0, cache_read=0, output=0, reasoning=0)])
        asides = [{}, {}, {"disagreement": {"on": []}}, {"match": {"how": []}, "unbelieved": {"value": "5"}}]
        call = make_call(
            number,
            number,
            AT + timedelta(seconds=chance.randrange(count)),
            tokens,
            usage_source=source,
            instrumentation=chance.choice(["acme@1", "acme@2", "other"]),
            convention=chance.choice(["exclusive", "unknown, read as inclusive"]),
            status=chance.choice(list(CallStatus)),
            agent=chance.choice([None, "planner", "writer"]),
            team=chance.choice([None, "research"]),
            model=chance.choice(["claude-sonnet-4-5", "claude-haiku-4-5", "nobody-knows"]),
        )
        made.append(replace(call, provenance=chance.choice(asides)))
    return made


@pytest.fixture
def projects(database: Engine) -> tuple[int, int]:
    with database.begin() as connection:
        one, two = (ensure_project(connection, f"mixture {number}").id for number in (1, 2))
    return one, two


def agrees(quality: Quality, calls: Sequence[Call]) -> None:
    """Everything that the answer says of calls is what these calls say, the newest first."""
    assert quality.calls == len(calls)
    by_name: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_name[call.instrumentation].append(call)
    assert [row.instrumentation for row in quality.coverage] == sorted(by_name, key=lambda n: (-len(by_name[n]), n))
    for row in quality.coverage:
        own = by_name[row.instrumentation]
        sources = Counter(call.usage_source for call in own)
        absent = sum(map(is_untold, own))
        assert row.calls == len(own)
        assert (row.reported, row.partial, row.estimated, row.absent, row.refused) == (
            sources[UsageSource.REPORTED],
            sources[UsageSource.PARTIAL],
            sources[UsageSource.ESTIMATED],
            absent,
            sources[UsageSource.ABSENT] - absent,
        )
        assert row.ambiguous == sum(map(DOUBTS[FindingKind.AMBIGUOUS], own))
        assert row.without_agent == sum(call.agent is None for call in own)
    found = {(each.kind, each.what): each for each in quality.findings}
    doubted = {
        (kind, name): [call for call in own if holds(call)]
        for kind, holds in DOUBTS.items()
        for name, own in by_name.items()
    }
    assert set(found) == {key for key, those in doubted.items() if those}
    for key, finding in found.items():
        assert finding.count == len(doubted[key])
        assert [(each.trace_id, each.span_id) for each in finding.examples] == ids(doubted[key])
    untold = [call for call in calls if is_untold(call)]
    assert {(row.agent, row.model): row.calls for row in quality.unmetered} == Counter(
        (call.agent, call.model) for call in untold
    )
    for row in quality.unmetered:
        same = [call for call in untold if (call.agent, call.model) == (row.agent, row.model)]
        assert [(each.trace_id, each.span_id) for each in row.examples] == ids(same)
        model = [call for call in calls if call.model == row.model and used(call)]
        like = [call for call in model if call.agent == row.agent] or model
        assert row.peers == len(like)
        middle = sorted(map(used, like))[ceil(len(like) / 2) - 1] if like else None
        assert row.tokens == (None if middle is None else middle * row.calls)


def used(call: Call) -> int:
    return (call.tokens.input or 0) + (call.tokens.output or 0)


def ids(calls: Sequence[Call]) -> list[tuple[str, str]]:
    return [(call.trace_id.hex(), call.span_id.hex()) for call in calls[: quality_calls.EXAMPLES]]


def test_what_is_answered_equals_what_calls_say_one_by_one(
    database: Engine, projects: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(20261128)
    calls: list[Call] = []
    for number, project in enumerate(projects):
        made = mixture(chance, 1 + 1_000 * number, 150)
        settle(database, project, [call.trace_id[-2] * 256 + call.trace_id[-1] for call in made], made)
        calls += made
    calls.sort(key=lambda call: (-call.end_ns, call.trace_id, call.span_id))
    reader = StoreReader(database)
    quality = reader.quality(projects, START, END)
    agrees(quality, calls)
    assert quality.is_all
    monkeypatch.setattr(quality_calls, "MOST_CALLS", 41)
    quality = reader.quality(projects, START, END)
    agrees(quality, calls[:41])
    assert not quality.is_all
    assert reader.quality((), START, END).calls == 0


def test_spans_are_read_from_the_newest_day_and_what_is_left_out_lies_in_their_traces(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def span(trace: int, number: int, end: datetime) -> Span:
        return Span(
            trace_id=trace.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            parent_span_id=None,
            name="GET",
            start_ns=ns_of_utc(end) - 1,
            end_ns=ns_of_utc(end),
            scope_name="acme.http",
            scope_version="1",
        )

    with database.begin() as connection:
        project = ensure_project(connection, "spans of days").id
    older, newer = AT, AT + timedelta(days=2)
    store_imported(database, project, [span(1, 1, older), span(1, 2, older), span(2, 1, older), span(9, 1, newer)])
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO suppressions (project_id, trace_id, span_id, why) VALUES (:p, :t, :s, :why)"),
            [
                {"p": project, "t": trace.to_bytes(16, "big"), "s": number.to_bytes(8, "big"), "why": why}
                for trace, number, why in ((1, 1, "duplicate"), (1, 2, "duplicate"), (9, 1, "rollup"), (7, 1, "rollup"))
            ],
        )

    def told(start: datetime = START, end: datetime = END) -> tuple[dict[str, int], dict[str, int], list[str]]:
        quality = StoreReader(database).quality((project,), start, end)
        late = [each for finding in quality.findings if finding.kind is FindingKind.LATE for each in finding.examples]
        return (
            {row.instrumentation: row.spans for row in quality.coverage},
            {finding.kind.name: finding.count for finding in quality.findings},
            [f"{int(each.trace_id, 16)}.{int(each.span_id, 16)}" for each in late],
        )

    # They were received long after they had ended; a block is named by its first span.
    assert told() == ({"acme.http@1": 4}, {"DUPLICATE": 2, "ROLLUP": 1, "LATE": 4}, ["1.1", "2.1", "9.1"])
    assert told(end=newer) == ({"acme.http@1": 3}, {"DUPLICATE": 2, "LATE": 3}, ["1.1", "2.1"])
    monkeypatch.setattr(quality_spans, "MOST_BLOCKS", 2)
    assert told() == ({"acme.http@1": 3}, {"DUPLICATE": 2, "ROLLUP": 1, "LATE": 3}, ["1.1", "9.1"])
    monkeypatch.setattr(quality_spans, "MOST_BLOCKS", 1)
    assert told() == ({"acme.http@1": 1}, {"ROLLUP": 1, "LATE": 1}, ["9.1"])
