"""The spread of tasks is that of their charges, however far merging is and whatever the period cuts through."""

import random
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

import pytest
from sqlalchemy import Engine, text

from models.core.queries import CostQuery
from models.core.task_spread import SHARES, TaskSpread
from models.core.vocabulary import CostBasis
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from models.store.unit_sums import merge_units
from tests.integration.test_unit_sums import PERIODS, random_calls
from tests.ledger_builders import settle


def paid(
    engine: Engine, project: int, start: datetime, end: datetime, basis: CostBasis, model: str | None
) -> tuple[list[Decimal], int, Decimal | None]:
    """Sorted costs of the tasks that have one, how many have none, and the cost without a task: from the charges."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT u.task, sum(c.{basis.value}_cost) AS cost FROM charges c "
                "JOIN work_units u USING (project_id, unit_id) JOIN attributions a USING (project_id, attribution_id) "
                "WHERE c.project_id = :project AND c.superseded_at IS NULL AND c.end_at >= :start AND c.end_at < :end "
                "AND (CAST(:model AS text) IS NULL OR a.model = :model) GROUP BY u.task"
            ),
            {"project": project, "start": start, "end": end, "model": model},
        ).all()
    costs = sorted(row.cost for row in rows if row.task is not None and row.cost is not None)
    unknown = sum(row.task is not None and row.cost is None for row in rows)
    return costs, unknown, next((row.cost for row in rows if row.task is None), None)


def check(spread: TaskSpread, costs: Sequence[Decimal], unknown: int, nameless: Decimal | None) -> None:
    """All figures, each from the sorted costs in the plainest way."""
    assert (spread.tasks, spread.unknown, spread.nameless) == (len(costs), unknown, nameless)
    assert spread.cost == (sum(costs, Decimal(0)) if costs else None)
    assert spread.free == sum(cost <= 0 for cost in costs)
    assert spread.quantiles == {
        name: costs[max(int((share * len(costs)).to_integral_value(ROUND_CEILING)), 1) - 1]
        for name, share in SHARES.items()
        if costs
    }
    assert spread.costliest == (sum(costs[-max(len(costs) // 20, 1) :], Decimal(0)) if costs else None)
    assert sum(each.tasks for each in spread.bins) == sum(cost > 0 for cost in costs)
    for each in spread.bins:
        assert each.tasks == sum(each.low <= cost < each.high for cost in costs)


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_bins_and_sums_are_those_of_the_charges(database: Engine, seed: int) -> None:
    chance = random.Random(seed)
    with database.begin() as connection:
        project = ensure_project(connection, f"spread {seed}").id
    reader = StoreReader(database)
    for merged in (0, 15, 1000):
        numbers = chance.sample(range(1, 60), 40)
        settle(database, project, numbers, random_calls(chance, numbers))
        with database.begin() as connection:
            merge_units(connection, merged)
        for start, end in PERIODS:
            for basis in CostBasis:
                for model in (None, "claude-haiku-4-5", "no-such-model"):
                    question = CostQuery(
                        projects=(project,),
                        start=start,
                        end=end,
                        group_by=("task",),
                        filters=(("model", model),) if model else (),
                        basis=basis,
                    )
                    check(reader.task_spread(question), *paid(database, project, start, end, basis, model))
