"""How the tasks of a period spread over what they cost, added up where the sums are kept: no list of tasks is made."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from models.core.queries import CostQuery
from models.core.task_spread import COSTLIEST, EDGES, SHARES, TaskSpread, bins_of
from models.core.vocabulary import CostBasis
from models.store.cost_sql import conditions, plan
from models.store.engine import PLANNED_ANEW
from models.store.unit_costs import INSIDE, apart_of, keyed_plan, kind_of


def task_spread(connection: Connection, query: CostQuery) -> TaskSpread:
    """Quantiles, bins and sums of the cost per task.

    Shapes   the period, projects, filters and basis of a question; its grouping must be by task alone. Tasks of the
             same name in two projects are two.
    """
    tasks, parameters = tasks_of(query)
    ranks = ", ".join(
        f"min(cost) FILTER (WHERE place = greatest(ceil({share} * tasks), 1)) AS {name}"
        for name, share in SHARES.items()
    )
    found = connection.execute(
        text(
            f"{tasks}, costs AS MATERIALIZED (SELECT cost, row_number() OVER (ORDER BY cost) AS place, "
            "count(*) OVER () AS tasks FROM tasks WHERE is_named AND known > 0), "
            f"binned AS (SELECT width_bucket(cost, CAST(:edges AS numeric[])) AS at, count(*) AS tasks FROM costs "
            "WHERE cost > 0 GROUP BY 1) "
            "SELECT count(*) AS tasks, count(*) FILTER (WHERE cost <= 0) AS free, sum(cost) AS cost, "
            f"sum(cost) FILTER (WHERE place > tasks - greatest(floor({COSTLIEST} * tasks), 1)) AS costliest, {ranks}, "
            "(SELECT count(*) FROM tasks WHERE is_named AND known <= 0) AS unknown, "
            "(SELECT sum(cost) FROM tasks WHERE NOT is_named AND known > 0) AS nameless, "
            "(SELECT jsonb_object_agg(at, tasks) FROM binned) AS bins FROM costs"
        ),
        {**parameters, "edges": list(EDGES)},
        execution_options=PLANNED_ANEW,
    ).one()
    counts: dict[str, int] = found.bins or {}
    quantiles: dict[str, Decimal] = {name: getattr(found, name) for name in SHARES} if found.tasks else {}
    return TaskSpread(
        tasks=found.tasks,
        unknown=found.unknown,
        free=found.free,
        cost=found.cost,
        quantiles=quantiles,
        costliest=found.costliest,
        bins=bins_of({int(at): tasks for at, tasks in counts.items()}),
        nameless=found.nameless,
    )


def tasks_of(query: CostQuery) -> tuple[str, dict[str, Any]]:
    """The CTE `tasks` (is_named, known, cost): a row per task, and one or more of what has none."""
    known = "listed_charges" if query.basis is CostBasis.LIST else "priced_charges"
    cost = f"{query.basis.value}_cost"
    if kind_of(query) != "task":
        chosen = plan(query, by_bucket=False)
        where = conditions(query, chosen.parameters)
        return (
            f"{chosen.cells}, tasks AS MATERIALIZED (SELECT u.task IS NOT NULL AS is_named, sum(s.{known}) AS known, "
            f"sum(s.{cost}) AS cost FROM {chosen.source} WHERE {where} GROUP BY s.project_id, u.task "
            "HAVING sum(s.charges) <> 0)",
            chosen.parameters,
        )
    parameters: dict[str, Any] = {"projects": list(query.projects)}
    nameless = keyed_plan(query, "task", parameters).cells
    apart = apart_of(query, "task", parameters)
    return (
        f"{nameless}, {apart}, tasks AS MATERIALIZED (SELECT true AS is_named, t.{known} AS known, t.{cost} AS cost "
        f"FROM unit_totals t WHERE t.project_id = ANY(:projects) AND t.kind = 'task' AND {INSIDE} "
        f"UNION ALL SELECT true, sum({known}), sum({cost}) FROM apart_cells GROUP BY project_id, key_id "
        f"HAVING sum(charges) <> 0 UNION ALL SELECT false, sum({known}), sum({cost}) FROM cells GROUP BY project_id "
        "HAVING sum(charges) <> 0)",
        parameters,
    )
