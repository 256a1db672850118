"""Long lists: tasks, sessions, users and tags are answered from kept sums exactly as their charges add up."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app.tasks.rollup import rollup_batch
from models.core.queries import CostQuery
from models.core.telemetry import Call, TokenCounts
from models.core.vocabulary import CostBasis, Granularity
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from models.store.rollups import rebuild_hours
from models.store.unit_sums import merge_units
from tests.ledger_builders import END, START, all_pages, make_call, settle

DAY = datetime(2026, 10, 30, tzinfo=UTC)
PERIODS = [
    (START, END),
    (DAY, DAY + timedelta(days=3)),
    (DAY + timedelta(hours=5, minutes=7), DAY + timedelta(days=2, hours=1, minutes=50)),
    (DAY + timedelta(hours=20), DAY + timedelta(days=1, hours=3)),
    (DAY + timedelta(minutes=10), DAY + timedelta(minutes=40)),
    (DAY + timedelta(days=1, hours=11, minutes=59), END),
]
GROUPINGS = {
    ("task",): "u.task",
    ("session",): "u.session",
    ("user",): "u.user_id",
    ("tag:feature",): "u.tags ->> 'feature'",
    ("project", "task"): "p.name || '|' || coalesce(u.task, '-')",
    ("session", "project"): "coalesce(u.session, '-') || '|' || p.name",
    ("model",): "a.model",
    ("user", "model"): "coalesce(u.user_id, '-') || '|' || a.model",
}


def random_calls(chance: random.Random, numbers: Sequence[int]) -> list[Call]:
    """Calls of a few days around the end of a month: tasks of minutes and of days, nameless ones, unpriced ones."""
    made: list[Call] = []
    for number in numbers:
        task = chance.choice([None, *(f"task {n}" for n in range(6))])
        # Even tasks are short; odd ones go on for days and change hands.
        spread = 40 if task is None or int(task[-1]) % 2 else 1
        begin = DAY + timedelta(hours=11 * (0 if task is None else int(task[-1])))
        made.append(
            make_call(
                number,
                number,
                begin + timedelta(minutes=chance.randrange(90) * spread),
                TokenCounts(input=chance.randrange(5000), cache_read=chance.randrange(900), output=chance.randrange(9)),
                task=task,
                session=chance.choice([None, f"session {task}", f"session {number % 3}"]),
                user=chance.choice([None, "ada", "bob"]) if spread > 1 else "ada",
                tags={"feature": chance.choice(["a", "b"])} if chance.random() < 0.8 else {},
                model=chance.choice(["claude-sonnet-4-5", "claude-haiku-4-5", "no-such-model"]),
            )
        )
    return made


def added_up(
    engine: Engine, projects: Sequence[int], start: datetime, end: datetime, key: str
) -> dict[str | None, tuple[int, Decimal | None, int]]:
    """Calls, effective cost and distinct tasks by a key, from the charges themselves."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT {key} AS key, count(*) AS calls, sum(c.effective_cost) AS cost, "
                "count(DISTINCT (c.project_id, u.task)) FILTER (WHERE u.task IS NOT NULL) AS tasks "
                "FROM charges c JOIN work_units u USING (project_id, unit_id) JOIN projects p ON p.id = c.project_id "
                "JOIN attributions a USING (project_id, attribution_id) WHERE c.project_id = ANY(:projects) "
                "AND c.superseded_at IS NULL AND c.end_at >= :start AND c.end_at < :end GROUP BY 1"
            ),
            {"projects": list(projects), "start": start, "end": end},
        )
        return {row.key: (row.calls, row.cost, row.tasks) for row in rows}


def shown(keys: dict[str, str | None]) -> str | None:
    """The keys of a row as `added_up` writes them."""
    if len(keys) == 1:
        return next(iter(keys.values()))
    return "|".join("-" if value is None else value for value in keys.values())


@pytest.mark.parametrize("seed", range(6))
def test_every_list_is_what_its_charges_add_up_to_however_far_merging_is(database: Engine, seed: int) -> None:
    chance = random.Random(seed)
    with database.begin() as connection:
        projects = tuple(ensure_project(connection, f"of seed {seed}, {name}").id for name in ("one", "other"))
    reader = StoreReader(database)
    for step in range(3):
        for project in projects:
            # Some are new, some read differently now, some vanished.
            numbers = chance.sample(range(1, 60), 30)
            settle(database, project, numbers, random_calls(chance, numbers[: 30 - 4 * step]))
            if chance.random() < 0.7:
                with database.begin() as connection:
                    merge_units(connection, chance.choice([3, 20, 1000]))
            if chance.random() < 0.4:
                with database.begin() as connection:
                    rollup_batch(connection, 1000)
        for start, end in PERIODS:
            for group_by, key in GROUPINGS.items():
                asked = projects if chance.random() < 0.5 else projects[:1]
                question = CostQuery(projects=asked, start=start, end=end, group_by=group_by, limit=3)
                rows, last = all_pages(reader, question)
                found = {shown(row.keys): (row.calls, row.effective_cost, row.tasks) for row in rows}
                assert found == added_up(database, asked, start, end, key), (group_by, start, end, step)
                costs = [row.effective_cost for row in rows if row.effective_cost is not None]
                assert costs == sorted(costs, reverse=True)
                assert len(found) == len(rows)
                assert (last.totals.effective_cost or 0) == sum(costs, Decimal(0))


@pytest.mark.parametrize("basis", [CostBasis.LIST, CostBasis.BILLED])
def test_other_costs_sort_as_well(database: Engine, basis: CostBasis) -> None:
    with database.begin() as connection:
        project = ensure_project(connection, f"sorted by {basis}").id
    settle(database, project, range(1, 40), random_calls(random.Random(7), range(1, 40)))
    reader = StoreReader(database)
    question = CostQuery(projects=(project,), start=START, end=END, group_by=("task",), basis=basis, limit=2)
    before, _ = all_pages(reader, question)
    with database.begin() as connection:
        merge_units(connection, 1000)
    after, _ = all_pages(reader, question)
    assert [row.keys for row in after] == [row.keys for row in before]
    assert [row.cost(basis) for row in after] == [row.cost(basis) for row in before]


def test_days_and_months_of_users_are_those_of_their_charges(database: Engine) -> None:
    with database.begin() as connection:
        project = ensure_project(connection, "users by time").id
    settle(database, project, range(1, 50), random_calls(random.Random(3), range(1, 50)))
    reader = StoreReader(database)
    for merged in (0, 20, 1000):
        with database.begin() as connection:
            merge_units(connection, merged)
        for grain in (Granularity.DAY, Granularity.MONTH):
            rows, _ = all_pages(
                reader,
                CostQuery(projects=(project,), start=START, end=END, group_by=("user",), granularity=grain, limit=4),
            )
            found = {f"{row.time:%Y-%m-%d} {row.keys['user']}": (row.calls, row.effective_cost) for row in rows}
            key = f"to_char(date_trunc('{grain}', c.end_at, 'UTC'), 'YYYY-MM-DD') || ' ' || coalesce(u.user_id, 'None')"
            expected = added_up(database, (project,), START, END, key)
            assert found == {name: value[:2] for name, value in expected.items()}


def kept(engine: Engine, project: int) -> list[Any]:
    """Everything kept per unit of work, however it came about."""
    with engine.connect() as connection:
        return [
            sorted(tuple(row) for row in connection.execute(text(query), {"project": project}))
            for query in (
                "SELECT kind, key_id, name, place, calls, charges, effective_cost, input FROM unit_totals "
                "WHERE project_id = :project",
                "SELECT kind, grain, period_start, key_id, coalesce(name, ''), calls, charges, effective_cost, input "
                "FROM rollup_keys WHERE project_id = :project",
                "SELECT task_id, shape_id FROM task_shapes WHERE project_id = :project",
                "SELECT period_start, attribution_id, unit_id, sum(calls), sum(effective_cost) FROM unit_cells "
                "WHERE project_id = :project GROUP BY 1, 2, 3 HAVING sum(charges) <> 0",
            )
        ]


def test_sums_added_up_again_are_the_ones_that_were_kept(database: Engine) -> None:
    with database.begin() as connection:
        project = ensure_project(connection, "again").id
    chance = random.Random(11)
    for _ in range(4):
        numbers = chance.sample(range(1, 60), 30)
        settle(database, project, numbers, random_calls(chance, numbers[:26]))
        with database.begin() as connection:
            merge_units(connection, 7)
    with database.begin() as connection:
        while merge_units(connection, 50):
            pass
    before = kept(database, project)
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        rebuild_hours(connection, project, START, END)
    assert before == kept(database, project)
