"""The costliest traces are looked for among the newest calls, and each is told whole."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from models.core.telemetry import TokenCounts
from models.store import trees
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from tests.ledger_builders import END, START, make_call, settle

AT = datetime(2026, 10, 30, tzinfo=UTC)


def test_traces_are_found_by_their_newest_calls_and_told_whole(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        project = ensure_project(connection, "costly traces").id
    # $3 per million tokens of input: trace 1 costs 9 cents, trace 2 6 cents in two calls, trace 3 1.5 cents.
    calls = [
        make_call(trace, span, AT + timedelta(minutes=minute), TokenCounts(input=tokens, output=0))
        for trace, span, minute, tokens in (
            (1, 1, 0, 30_000),
            (2, 2, 10, 15_000),
            (2, 3, 20, 5_000),
            (3, 4, 30, 5_000),
        )
    ]
    settle(database, project, [1, 2, 3], calls)
    reader = StoreReader(database)

    def found() -> list[tuple[int, int, str, datetime]]:
        return [
            (int(trace.trace_id, 16), trace.calls, f"{trace.effective_cost:.3f}", trace.end)
            for trace in reader.recent_traces(project, START, END, 10)
        ]

    last = [AT + timedelta(minutes=minute) for minute in (0, 20, 30)]
    assert found() == [(1, 1, "0.090", last[0]), (2, 2, "0.060", last[1]), (3, 1, "0.015", last[2])]
    monkeypatch.setattr(trees, "TRACES_AMONG", 2)
    assert found() == [(2, 2, "0.060", last[1]), (3, 1, "0.015", last[2])]
    assert reader.recent_traces(project, START, AT + timedelta(minutes=15), 10)[1].calls == 1
