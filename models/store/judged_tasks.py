"""How the tasks of a period ended, all groups together: what was said is looked up, what was not is counted as sums."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from models.core.books import Outcomes
from models.core.money import EXACT, QUANTUM
from models.core.queries import CostQuery
from models.store.engine import PLANNED_ANEW
from models.store.task_spread import tasks_of


def outcomes_of(connection: Connection, project_id: int, start: datetime, end: datetime) -> Outcomes:
    """Tasks of whole UTC hours by how they ended, and what an accepted one costs with all others paid for.

    The same figures as the totals of `store.outcomes.outcome_summary`, which reads the cells of every task: here only
    those of tasks that somebody judged are looked up.
    """
    tasks, parameters = tasks_of(CostQuery(projects=(project_id,), start=start, end=end, group_by=("task",)))
    of_task = (
        "r.project_id = o.project_id AND r.task_id = hashtextextended(o.task, 0) "
        "AND r.period_start >= :begins AND r.period_start < :ends"
    )
    cells = " UNION ALL ".join(
        f"SELECT charges FROM {table} r WHERE {of_task}" for table in ("rollup_units", "unit_parts")
    )
    counts = ", ".join(
        f"(SELECT coalesce(sum(tasks), 0) FROM ended WHERE outcome = '{name}') AS {name}"
        for name in ("accepted", "rejected", "failed")
    )
    found = connection.execute(
        text(
            f"{tasks}, ended AS (SELECT o.outcome, count(*) AS tasks FROM outcomes o "
            "WHERE o.project_id = ANY(:projects) AND o.superseded_at IS NULL "
            f"AND (SELECT sum(charges) FROM ({cells}) cell) > 0 GROUP BY o.outcome) "
            f"SELECT count(*) AS tasks, sum(cost) FILTER (WHERE known > 0) AS cost, {counts} FROM tasks WHERE is_named"
        ),
        {**parameters, "begins": start, "ends": end},
        execution_options=PLANNED_ANEW,
    ).one()
    accepted, rejected, failed = int(found.accepted), int(found.rejected), int(found.failed)
    each = None
    if accepted and found.cost is not None:
        each = EXACT.divide(found.cost, Decimal(accepted)).quantize(QUANTUM)
    return Outcomes(
        accepted=accepted,
        rejected=rejected,
        failed=failed,
        unknown=found.tasks - accepted - rejected - failed,
        cost_per_accepted=each,
    )
