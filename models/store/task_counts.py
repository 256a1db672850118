"""Distinct tasks: tasks that touched the same days and attributions are counted together, by that shape.

A task is in as many groups as its calls are, so distinct counts do not add up over cells. But tasks of one *shape*, the
set of (day, attribution) that their calls lie in, are in the same groups whatever is asked: counting them once, when
they change, leaves some thousand shapes to read instead of millions of cells. What has changed and is not
counted yet (`dirty_tasks`) is counted from its own cells, so answers are exact at the commit of the charges.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from models.core.queries import CostQuery
from models.core.vocabulary import Granularity
from models.store.cost_sql import column_of, conditions, needs_unit

MERGE_FROM = 1_000
"""Parts of shapes from which on they are put together."""
_DAY = timedelta(days=1)
_COUNTER_LOCK = 0x7461736B

_BEFORE = """
CREATE TEMPORARY TABLE IF NOT EXISTS tasks_claimed (project_id BIGINT, task_id BIGINT) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS tasks_before (
    project_id BIGINT, shape_id BIGINT, days DATE[], attribution_ids BIGINT[]
) ON COMMIT DELETE ROWS
"""
_CLAIM = """
WITH gone AS (
    DELETE FROM dirty_tasks WHERE id IN (SELECT id FROM dirty_tasks ORDER BY id LIMIT :limit)
    RETURNING project_id, task_id
)
INSERT INTO tasks_claimed SELECT DISTINCT project_id, task_id FROM gone
"""
_REMEMBER = """
INSERT INTO tasks_before SELECT project_id, shape_id, days, attribution_ids
FROM task_shapes JOIN tasks_claimed USING (project_id, task_id)
"""
_FORGET = """
DELETE FROM task_shapes t USING tasks_claimed c WHERE t.project_id = c.project_id AND t.task_id = c.task_id
"""
_SHAPE = """
WITH cells AS (
    SELECT r.project_id, r.task_id, (r.period_start AT TIME ZONE 'UTC')::date AS day, r.attribution_id
    FROM rollup_units r JOIN tasks_claimed c ON c.project_id = r.project_id AND c.task_id = r.task_id
    WHERE r.grain = 'hour' GROUP BY 1, 2, 3, 4 HAVING sum(r.calls) > 0
), shapes AS (
    SELECT project_id, task_id, array_agg(day ORDER BY day, attribution_id) AS days,
           array_agg(attribution_id ORDER BY day, attribution_id) AS attribution_ids
    FROM cells GROUP BY project_id, task_id
)
INSERT INTO task_shapes (project_id, task_id, shape_id, days, attribution_ids)
SELECT project_id, task_id, hashtextextended(days::text || attribution_ids::text, 0), days, attribution_ids FROM shapes
"""
_PARTS = """
INSERT INTO rollup_tasks (project_id, shape_id, first_day, last_day, days, attribution_ids, tasks, merged)
SELECT project_id, shape_id, days[1], days[cardinality(days)], days, attribution_ids, sum(tasks), false FROM (
    SELECT t.project_id, t.shape_id, t.days, t.attribution_ids, 1 AS tasks
    FROM task_shapes t JOIN tasks_claimed USING (project_id, task_id)
    UNION ALL SELECT project_id, shape_id, days, attribution_ids, -1 FROM tasks_before
) part GROUP BY project_id, shape_id, days, attribution_ids HAVING sum(tasks) <> 0
"""
_MERGE = """
WITH touched AS (SELECT DISTINCT project_id, shape_id FROM rollup_tasks WHERE NOT merged),
parts AS (DELETE FROM rollup_tasks r USING touched t
          WHERE r.project_id = t.project_id AND r.shape_id = t.shape_id RETURNING r.*)
INSERT INTO rollup_tasks (project_id, shape_id, first_day, last_day, days, attribution_ids, tasks, merged)
SELECT project_id, shape_id, first_day, last_day, days, attribution_ids, sum(tasks), true FROM parts
GROUP BY project_id, shape_id, first_day, last_day, days, attribution_ids HAVING sum(tasks) <> 0
"""


def count_tasks(connection: Connection, limit: int) -> int:
    """Count up to `limit` marks of changed tasks into their shapes; returns how many marks were taken.

    One counter at a time: a second one finds the lock taken and returns 0. A task that changes meanwhile is marked
    again by whoever changes it, so nothing is lost; counting twice changes nothing.
    """
    alone = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _COUNTER_LOCK}).scalar_one()
    if not alone:
        return 0
    for statement in _BEFORE.split(";"):
        connection.execute(text(statement))
    if not connection.execute(text(_CLAIM), {"limit": limit}).rowcount:
        return 0
    claimed = connection.execute(text("SELECT count(*) FROM tasks_claimed")).scalar_one()
    connection.execute(text("ANALYZE tasks_claimed"))
    for statement in (_REMEMBER, _FORGET, _SHAPE, _PARTS):
        connection.execute(text(statement))
    unmerged = connection.execute(
        text(f"SELECT count(*) FROM (SELECT 1 FROM rollup_tasks WHERE NOT merged LIMIT {MERGE_FROM}) few")
    ).scalar_one()
    if unmerged >= MERGE_FROM:
        connection.execute(text(_MERGE))
    return claimed


def task_counts(connection: Connection, query: CostQuery) -> dict[tuple[Any, ...], int] | None:
    """Distinct tasks per group, keyed by the values of `group_by` and the time; None where shapes cannot tell.

    Shapes know days and attributions: they cannot tell for groupings by hour, by task, session, user or tag, or for
    periods that cut through the calls of a day.
    """
    used = (*query.group_by, *(name for name, _ in query.filters))
    if query.granularity is Granularity.HOUR or any(map(needs_unit, used)):
        return None
    since = query.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    until = query.end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    until = until if until == query.end else until + _DAY
    if _has_charges(connection, query, since, query.start) or _has_charges(connection, query, query.end, until):
        return None
    parameters: dict[str, Any] = {"projects": list(query.projects), "since": since, "until": until}
    columns = [column_of(name, parameters) for name in query.group_by]
    keys = "".join(f"{column} AS key_{position}, " for position, column in enumerate(columns))
    names = "".join(f"key_{position}, " for position in range(len(columns)))
    grain = query.granularity.value
    timed = query.granularity is not Granularity.NONE
    of_day = f"date_trunc('{grain}', s.day::timestamp) AT TIME ZONE 'UTC'" if timed else "NULL::timestamptz"
    of_hour = f"date_trunc('{grain}', s.period_start, 'UTC')" if timed else "NULL::timestamptz"
    belongs = (
        "JOIN projects p ON p.id = s.project_id "
        "JOIN attributions a ON a.project_id = s.project_id AND a.attribution_id = s.attribution_id "
        f"WHERE {conditions(query, parameters)}"
    )
    days = "CAST(:since AS timestamptz) AT TIME ZONE 'UTC'", "CAST(:until AS timestamptz) AT TIME ZONE 'UTC'"
    found = connection.execute(
        text(
            "WITH apart AS MATERIALIZED (SELECT DISTINCT project_id, task_id FROM dirty_tasks "
            "WHERE project_id = ANY(:projects)), "
            "parts AS (SELECT row_number() OVER () AS part, known.* FROM ("
            "SELECT project_id, days, attribution_ids, tasks FROM rollup_tasks "
            f"WHERE project_id = ANY(:projects) AND first_day < {days[1]} AND last_day >= {days[0]} "
            "UNION ALL SELECT t.project_id, t.days, t.attribution_ids, -1 "
            "FROM task_shapes t JOIN apart USING (project_id, task_id)) known), "
            "cells AS (SELECT part, project_id, tasks, cell.day, cell.attribution_id FROM parts, "
            "unnest(days, attribution_ids) AS cell (day, attribution_id) "
            f"WHERE cell.day >= {days[0]} AND cell.day < {days[1]}), "
            f"counted AS (SELECT DISTINCT {keys}{of_day} AS at, s.part, s.tasks FROM cells s {belongs}), "
            f"living AS (SELECT {keys}{of_hour} AS at FROM apart d JOIN rollup_units s "
            f"ON s.project_id = d.project_id AND s.task_id = d.task_id {belongs} AND s.grain = 'hour' "
            "AND s.period_start >= :since AND s.period_start < :until "
            f"GROUP BY {', '.join([*columns, of_hour])}, s.project_id, s.task_id HAVING sum(s.calls) > 0) "
            f"SELECT {names}at, sum(tasks) AS tasks FROM ("
            f"SELECT {names}at, tasks FROM counted UNION ALL SELECT {names}at, 1 FROM living) every "
            f"GROUP BY {names}at"
        ),
        parameters,
    ).all()
    return {tuple(row)[:-1]: int(row.tasks) for row in found}


def _has_charges(connection: Connection, query: CostQuery, start: datetime, end: datetime) -> bool:
    if start >= end:
        return False
    return connection.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM charges WHERE project_id = ANY(:projects) AND end_at >= :start "
            "AND end_at < :end AND superseded_at IS NULL AND month = ANY(:months))"
        ),
        {
            "projects": list(query.projects),
            "start": start,
            "end": end,
            "months": sorted({moment.astimezone(UTC).date().replace(day=1) for moment in (start, end)}),
        },
    ).scalar_one()
