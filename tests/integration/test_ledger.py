"""The ledger: every grouping adds up to the same figures, and doing things twice changes nothing."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from app.tasks.rollup import rollup_batch
from models.core.errors import BadInput
from models.core.queries import CallQuery, CostQuery
from models.core.telemetry import Call, TokenCounts
from models.core.vocabulary import BUCKETS, CallStatus, Granularity
from models.store import task_shapes
from models.store.cover import floor
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from models.store.rollups import rebuild_hours
from models.store.unit_sums import merge_units, restate_units
from tests.ledger_builders import END, START, all_pages, make_call, settle

AT = datetime(2026, 11, 3, 10, 15, tzinfo=UTC)
GROUPINGS = [
    (),
    ("agent",),
    ("project", "team", "model"),
    ("agent_path", "provider", "operation"),
    ("session",),
    ("task", "user"),
    ("tag:feature",),
    ("bucket",),
    ("bucket", "agent"),
    ("bucket", "session"),
]
COSTS = ("list_cost", "billed_cost", "effective_cost", "cache_savings")

_projects = iter(range(1, 10_000))


@pytest.fixture
def project(database: Engine) -> int:
    with database.begin() as connection:
        made = ensure_project(connection, f"project {next(_projects)}")
    return made.id


def query(project: int, **more: Any) -> CostQuery:
    return CostQuery(**{"projects": (project,), "start": START, "end": END, **more})


def live_cost(engine: Engine, project: int) -> Decimal | None:
    with engine.connect() as connection:
        statement = text("SELECT sum(effective_cost) FROM charges WHERE project_id = :p AND superseded_at IS NULL")
        return connection.execute(statement, {"p": project}).scalar_one()


def test_charge_of_one_call_is_worked_out_by_hand(database: Engine, project: int) -> None:
    tokens = TokenCounts(input=1237, cache_read=90112, cache_write_5m=4096, cache_write_1h=0, output=412, reasoning=0)
    settle(database, project, [1], [make_call(1, 1, AT, tokens)])
    [call] = StoreReader(database).calls(CallQuery(projects=(project,))).calls
    # Sonnet 4.5 per million: input 3, cache read 0.30, five-minute write 3.75, output 15.
    expected = {"input": "0.003711", "cache_read": "0.0270336", "cache_write_5m": "0.01536", "output": "0.00618"}
    assert {line["bucket"]: line["cost"] for line in call["charge"]["lines"]} == expected
    assert call["charge"]["effective_cost"] == "0.0522846"
    # Without a cache all 95,445 input tokens at 3: 0.286335, and the output.
    assert call["charge"]["cost_without_cache"] == "0.292515"
    assert StoreReader(database).costs(query(project)).totals.cache_savings == Decimal("0.2402304")


def test_a_call_without_a_price_is_unknown_and_not_free(database: Engine, project: int) -> None:
    settle(database, project, [1], [make_call(1, 1, AT, TokenCounts(input=10, output=5), model="no-such-model")])
    totals = StoreReader(database).costs(query(project)).totals
    assert (totals.calls, totals.unpriced_calls, totals.unpriced_tokens) == (1, 1, 15)
    assert (totals.list_cost, totals.effective_cost) == (None, None)


def test_an_unpriced_call_that_gets_a_priced_neighbour_leaves_the_sum_of_the_priced(
    database: Engine, project: int
) -> None:
    unpriced = make_call(1, 1, AT, TokenCounts(input=10, output=5), model="no-such-model")
    priced = make_call(1, 2, AT, TokenCounts(input=100_000, output=0))
    settle(database, project, [1], [unpriced, priced])
    assert StoreReader(database).costs(query(project)).totals.effective_cost == Decimal("0.3")
    settle(database, project, [1], [unpriced])
    assert StoreReader(database).costs(query(project)).totals.effective_cost is None


def test_the_same_derivation_again_writes_nothing(database: Engine, project: int) -> None:
    calls = [make_call(1, span, AT, TokenCounts(input=span, output=1)) for span in range(1, 20)]
    first = settle(database, project, [1], calls)
    with database.connect() as connection:
        before = connection.execute(text("SELECT charge_id, recorded_at, ctid::text FROM charges ORDER BY 1")).all()
    again = settle(database, project, [1], list(reversed(calls)))
    assert (first.added, again.added, again.superseded, again.unchanged) == (19, 0, 0, 19)
    with database.connect() as connection:
        assert (
            connection.execute(text("SELECT charge_id, recorded_at, ctid::text FROM charges ORDER BY 1")).all()
            == before
        )


def test_a_call_that_reads_differently_supersedes_its_charge_alone(database: Engine, project: int) -> None:
    calls = [make_call(1, span, AT, TokenCounts(input=100_000)) for span in (1, 2)]
    settle(database, project, [1], calls)
    done = settle(database, project, [1], [calls[0], make_call(1, 2, AT, TokenCounts(input=200_000))])
    assert (done.added, done.superseded, done.unchanged, done.change) == (1, 1, 1, Decimal("0.3"))
    assert (
        StoreReader(database).costs(query(project)).totals.effective_cost
        == Decimal("0.9")
        == live_cost(database, project)
    )


def test_a_call_that_moves_to_another_month_is_charged_once(database: Engine, project: int) -> None:
    tokens = TokenCounts(input=100_000)
    settle(database, project, [1], [make_call(1, 1, datetime(2026, 10, 31, 23, 59, tzinfo=UTC), tokens)])
    settle(database, project, [1], [make_call(1, 1, datetime(2026, 11, 1, tzinfo=UTC), tokens)])
    rows, page = all_pages(StoreReader(database), query(project, granularity=Granularity.MONTH))
    assert [(row.time, row.calls) for row in rows] == [(datetime(2026, 11, 1, tzinfo=UTC), 1)]
    assert page.totals.effective_cost == Decimal("0.3")


def test_the_end_of_a_period_belongs_to_the_next_one(database: Engine, project: int) -> None:
    settle(database, project, [1], [make_call(1, 1, AT, TokenCounts(input=1))])
    reader = StoreReader(database)
    assert reader.costs(query(project, start=AT - timedelta(minutes=1), end=AT)).totals.calls == 0
    assert reader.costs(query(project, start=AT, end=AT + timedelta(microseconds=1))).totals.calls == 1


def test_what_has_no_value_is_a_row_of_its_own_and_can_be_asked_for(database: Engine, project: int) -> None:
    calls = [make_call(1, 1, AT, TokenCounts(input=1), team="payments"), make_call(1, 2, AT, TokenCounts(input=1))]
    settle(database, project, [1], calls)
    reader = StoreReader(database)
    assert {row.keys["team"] for row in reader.costs(query(project, group_by=("team",))).rows} == {"payments", None}
    assert reader.costs(query(project, filters=(("team", None),))).totals.calls == 1
    assert reader.costs(query(project, filters=(("team", None), ("team", "payments")))).totals.calls == 2
    assert reader.costs(query(project, filters=(("team", "nobody"),))).totals.calls == 0


def test_rejected_questions_say_which_field_is_wrong(database: Engine, project: int) -> None:
    reader = StoreReader(database)
    for wrong, field in [
        ({"group_by": ("colour",)}, "group_by"),
        ({"group_by": ("team", "team")}, "group_by"),
        ({"filters": (("colour", "red"),)}, "filter"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"start": END}, "start"),
    ]:
        with pytest.raises(BadInput) as fault:
            reader.costs(query(project, **wrong))
        assert fault.value.errors[0]["field"] == field


words = st.sampled_from(["a", "b", None])
calls_of_trees = st.lists(
    st.builds(
        dict,
        trace=st.integers(1, 4),
        minutes=st.integers(0, 60 * 24 * 40),
        input=st.none() | st.integers(0, 10**7),
        cache_read=st.none() | st.integers(0, 10**6),
        cache_write_1h=st.none() | st.integers(0, 10**5),
        output=st.none() | st.integers(0, 10**5),
        reasoning=st.none() | st.integers(0, 10**4),
        agent=words,
        team=words,
        session=words,
        task=words,
        user=words,
        feature=words,
        model=st.sampled_from(["claude-sonnet-4-5", "claude-haiku-4-5", "no-such-model", None]),
        error=st.booleans(),
    ),
    min_size=1,
    max_size=25,
)


def tree(drawn: list[dict[str, Any]]) -> list[Call]:
    counts = ("input", "cache_read", "cache_write_1h", "output", "reasoning")
    return [
        make_call(
            each["trace"],
            number,
            datetime(2026, 10, 10, tzinfo=UTC) + timedelta(minutes=each["minutes"], seconds=number),
            TokenCounts(**{name: each[name] for name in counts}),
            agent=each["agent"],
            team=each["team"],
            session=each["session"],
            task=each["task"],
            user=each["user"],
            tags={"feature": each["feature"]} if each["feature"] else {},
            model=each["model"],
            status=CallStatus.ERROR if each["error"] else CallStatus.OK,
        )
        for number, each in enumerate(drawn, start=1)
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=calls_of_trees, seed=st.integers(0, 2**16))
def test_totals_are_the_same_for_every_grouping_and_the_sum_of_all_pages(
    database: Engine, drawn: list[dict[str, Any]], seed: int
) -> None:
    calls, chance = tree(drawn), random.Random(seed)
    with database.begin() as connection:
        project = ensure_project(connection, f"project {next(_projects)}").id
    # In two goes, the second of which finds a part there: what arrives late is added, what was there stays.
    settle(database, project, [1, 2, 3, 4], chance.sample(calls, len(calls) // 2))
    if chance.random() < 0.5:
        with database.begin() as connection:
            rollup_batch(connection, 1000)
    settle(database, project, [1, 2, 3, 4], chance.sample(calls, len(calls)))
    reader = StoreReader(database)
    cut = START + timedelta(minutes=chance.randrange(60 * 24 * 50), seconds=chance.randrange(60))
    for start, end in ((START, END), (START, cut), (cut, END)):
        expected = None
        for group_by in GROUPINGS:
            granularity = chance.choice(list(Granularity))
            asked = query(project, start=start, end=end, group_by=group_by, granularity=granularity, limit=3)
            rows, page = all_pages(reader, asked)
            expected = expected or page.totals
            assert page.totals == expected
            for name in COSTS:
                known = [getattr(row, name) for row in rows if getattr(row, name) is not None]
                assert (sum(known) if known else None) == getattr(expected, name) or (
                    not known and getattr(expected, name) == 0
                )
            for bucket in BUCKETS:
                assert sum(row.tokens[bucket] for row in rows) == expected.tokens[bucket]
            assert sum(row.unpriced_tokens for row in rows) == expected.unpriced_tokens
            if "bucket" not in group_by:
                assert sum(row.calls or 0 for row in rows) == expected.calls
                assert sum(row.unpriced_calls or 0 for row in rows) == expected.unpriced_calls
    whole = reader.costs(query(project)).totals
    assert whole.calls == len(calls)
    assert whole.effective_cost == live_cost(database, project)
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        rebuild_hours(connection, project, START, END)
    assert reader.costs(query(project)).totals == whole


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=calls_of_trees, seed=st.integers(0, 2**16))
def test_distinct_tasks_are_those_of_the_calls_whatever_is_counted_already(
    database: Engine, drawn: list[dict[str, Any]], seed: int
) -> None:
    chance = random.Random(seed)
    with database.begin() as connection:
        project = ensure_project(connection, f"project {next(_projects)}").id
    reader = StoreReader(database)
    left = tree(drawn)
    for _ in range(3):
        # Calls come and go, so tasks move between shapes and vanish.
        left = chance.sample(left, chance.randint(len(left) // 2, len(left)))
        settle(database, project, [1, 2, 3, 4], left)
        if chance.random() < 0.7:
            with database.begin() as connection:
                merge_units(connection, chance.choice([1, 1000]))
        for group_by in ((), ("agent",), ("team", "model"), ("task",), ("tag:feature",)):
            for granularity in (Granularity.NONE, Granularity.DAY, Granularity.MONTH):
                start, end = chance.choice([(START, END), *combinations(sorted(some_moments(left, chance)), 2)])
                expected: dict[Any, set[str]] = {}
                for call in left:
                    ended = datetime.fromtimestamp(call.end_ns // 10**9, UTC)
                    if call.task is not None and start <= ended < end:
                        midnight = ended.replace(hour=0, minute=0, second=0)
                        time = {"none": None, "day": midnight, "month": midnight.replace(day=1)}[granularity.value]
                        key = (*(value_of(call, name) for name in group_by), time)
                        expected.setdefault(key, set()).add(call.task)
                rows, _ = all_pages(
                    reader, query(project, start=start, end=end, group_by=group_by, granularity=granularity)
                )
                found = {(*row.keys.values(), row.time): row.tasks for row in rows if row.tasks}
                assert found == {key: len(tasks) for key, tasks in expected.items()}


def some_moments(calls: list[Call], chance: random.Random) -> set[datetime]:
    """Whole days, and moments on the days of these calls: before, between and after them."""
    ends = [datetime.fromtimestamp(call.end_ns // 10**9, UTC) for call in calls]
    near = {end + timedelta(minutes=chance.randrange(-700, 700), seconds=chance.randrange(60)) for end in ends[:3]}
    return {START, START + timedelta(days=chance.randrange(1, 60)), *near} - {END}


def value_of(call: Call, dimension: str) -> str | None:
    return call.tags.get(dimension.removeprefix("tag:")) if ":" in dimension else getattr(call, dimension)


def test_counting_again_and_merging_leave_the_shapes_as_they_are(
    database: Engine, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_shapes, "MERGE_FROM", 1)
    calls = [make_call(1, number, AT, TokenCounts(input=1), task=f"task {number % 3}") for number in range(1, 10)]
    settle(database, project, [1], calls)
    for _ in range(2):
        with database.begin() as connection:
            merge_units(connection, 1000)
    with database.begin() as connection:
        restate_units(connection, project)
        kept = connection.execute(
            text("SELECT tasks, merged FROM rollup_tasks WHERE project_id = :project"), {"project": project}
        ).all()
        assert [tuple(row) for row in kept] == [(3, True)]
    assert StoreReader(database).costs(query(project)).rows[0].tasks == 3


def test_narrow_groupings_read_neither_calls_nor_charges(database: Engine, project: int) -> None:
    from models.store.cost_sql import plan

    for group_by in [("agent", "model"), ("bucket",), ("team",)]:
        chosen = plan(query(project, group_by=group_by), by_bucket="bucket" in group_by)
        with database.connect() as connection:
            lines = (
                connection.execute(text(f"EXPLAIN {chosen.cells} SELECT * FROM cells"), chosen.parameters)
                .scalars()
                .all()
            )
        assert not any("calls_2" in line or "charges" in line.split("(")[0] for line in lines if "Scan" in line), lines
        assert any("rollup_" in line for line in lines)


@pytest.mark.parametrize("group_by", [(), ("agent",), ("bucket",), ("session",), ("user", "model")])
@pytest.mark.parametrize("granularity", [Granularity.HOUR, Granularity.DAY, Granularity.MONTH])
def test_rows_over_time_are_those_of_each_time_in_pages_of_any_size(
    database: Engine, project: int, group_by: tuple[str, ...], granularity: Granularity
) -> None:
    draw = random.Random(11)
    # Some hours with many calls and weeks with none.
    moments = [START + timedelta(days=draw.choice([0, 1, 30, 31, 44]), minutes=draw.randrange(300)) for _ in range(60)]
    made = [
        make_call(
            number,
            1,
            at,
            TokenCounts(input=draw.randrange(1, 5_000), output=7),
            agent=f"agent {number % 3}",
            session=f"session {number % 5}",
            user=f"user {number % 2}",
            task=f"task {number % 11}",
        )
        for number, at in enumerate(moments, start=1)
    ]
    settle(database, project, range(1, 61), made)
    reader = StoreReader(database)
    asked = query(project, start=START + timedelta(minutes=17), group_by=group_by, granularity=granularity)
    rows, _ = all_pages(reader, replace(asked, limit=4))
    whole = reader.costs(asked)
    assert rows == whole.rows
    assert whole.totals == reader.costs(replace(asked, granularity=Granularity.NONE, group_by=())).totals
    times = sorted({row.time for row in rows if row.time is not None})
    assert times == sorted({floor(at, granularity.value) for at in moments if at >= asked.start})
    for time, end in zip(times, [*times[1:], END], strict=True):
        alone = reader.costs(replace(asked, start=max(time, asked.start), end=end, granularity=Granularity.NONE)).rows
        assert [replace(row, time=None) for row in rows if row.time == time] == alone
