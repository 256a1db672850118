"""How tasks ended, looked up task by task, is what counting the cells of every task says."""

import random

import pytest
from sqlalchemy import Engine

from models.store.judged_tasks import outcomes_of
from models.store.outcomes import outcome_summary, record_outcome
from models.store.projects import ensure_project
from models.store.unit_sums import merge_units
from tests.integration.test_unit_sums import PERIODS, random_calls
from tests.ledger_builders import settle


@pytest.mark.parametrize("merged", [0, 12, 1000])
def test_both_ways_of_counting_agree(database: Engine, merged: int) -> None:
    chance = random.Random(merged)
    with database.begin() as connection:
        project = ensure_project(connection, f"judged {merged}").id
        for number in (*range(5), 77):
            word = chance.choice(["accepted", "rejected", "failed", "unknown"])
            record_outcome(
                connection, project, task=f"task {number}", outcome=word, source="test", note=None, actor="test"
            )
    settle(database, project, range(1, 40), random_calls(chance, range(1, 40)))
    # Some of it vanishes again.
    settle(database, project, range(1, 12), [])
    with database.begin() as connection:
        merge_units(connection, merged)
        for start, end in PERIODS:
            hours = start.replace(minute=0), end.replace(minute=0)
            if hours[0] == hours[1]:
                continue
            _, whole = outcome_summary(connection, [project], *hours, "agent")
            found = outcomes_of(connection, project, *hours)
            assert (found.accepted, found.rejected, found.failed, found.unknown, found.cost_per_accepted) == (
                whole.accepted,
                whole.rejected,
                whole.failed,
                whole.unknown,
                whole.cost_per_accepted,
            )
