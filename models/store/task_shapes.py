"""Shapes of tasks, kept: the set of (day, attribution) that a task's calls lie in, and how many tasks have each.

Tasks of one shape are in the same groups whatever is asked, so counting shapes counts tasks (`store.task_counts`).
"""

from sqlalchemy import Connection, text

from models.store.engine import PLANNED_ANEW

MERGE_FROM = 1_000
"""Parts of shapes from which on they are put together."""

_CLAIMED = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS tasks_claimed (project_id BIGINT, task_id BIGINT) ON COMMIT DELETE ROWS"
)
_BEFORE = """
CREATE TEMPORARY TABLE IF NOT EXISTS tasks_before (
    project_id BIGINT, shape_id BIGINT, days DATE[], attribution_ids BIGINT[]
) ON COMMIT DELETE ROWS
"""
# Laterals that end with OFFSET 0 are looked up task by task: another join would read the shapes or cells of all tasks.
_SHAPE_OF = "LATERAL (SELECT * FROM task_shapes WHERE project_id = {0}.project_id AND task_id = {0}.task_id OFFSET 0) t"
# A task with more calls where it had some keeps its shape; only what came anew or was taken back can change it.
_CHANGED = f"""
INSERT INTO tasks_claimed SELECT DISTINCT n.project_id, n.task_id FROM (
    SELECT project_id, task_id, (period_start AT TIME ZONE 'UTC')::date AS day, attribution_id,
           bool_or(calls <= 0) AS is_taken_back
    FROM units_taken WHERE task_id IS NOT NULL GROUP BY 1, 2, 3, 4
) n LEFT JOIN {_SHAPE_OF.format("n")} ON true
WHERE t.task_id IS NULL OR n.is_taken_back OR NOT EXISTS (
    SELECT 1 FROM unnest(t.days, t.attribution_ids) AS cell (day, attribution_id)
    WHERE cell.day = n.day AND cell.attribution_id = n.attribution_id
)
"""
_REMEMBER = f"""
INSERT INTO tasks_before SELECT t.project_id, t.shape_id, t.days, t.attribution_ids
FROM tasks_claimed c CROSS JOIN {_SHAPE_OF.format("c")}
"""
_FORGET = """
DELETE FROM task_shapes WHERE ctid = ANY(ARRAY(
    SELECT t.row FROM tasks_claimed c CROSS JOIN LATERAL (
        SELECT ctid AS row FROM task_shapes WHERE project_id = c.project_id AND task_id = c.task_id OFFSET 0
    ) t
))
"""
_SHAPES = """
WITH cells AS (
    SELECT r.project_id, r.task_id, (r.period_start AT TIME ZONE 'UTC')::date AS day, r.attribution_id
    FROM {chosen} GROUP BY 1, 2, 3, 4 HAVING sum(r.calls) > 0
), shapes AS (
    SELECT project_id, task_id, array_agg(day ORDER BY day, attribution_id) AS days,
           array_agg(attribution_id ORDER BY day, attribution_id) AS attribution_ids
    FROM cells GROUP BY project_id, task_id
)
INSERT INTO task_shapes (project_id, task_id, shape_id, days, attribution_ids)
SELECT project_id, task_id, hashtextextended(days::text || attribution_ids::text, 0), days, attribution_ids FROM shapes
"""
_OF_CLAIMED = _SHAPES.format(
    chosen="tasks_claimed c CROSS JOIN LATERAL (SELECT * FROM rollup_units "
    "WHERE project_id = c.project_id AND task_id = c.task_id OFFSET 0) r"
)
_OF_PROJECT = _SHAPES.format(chosen="rollup_units r WHERE r.project_id = :project_id AND r.task_id IS NOT NULL")
_COLUMNS = "project_id, shape_id, first_day, last_day, days, attribution_ids, tasks, merged"
_PARTS = f"""
INSERT INTO rollup_tasks ({_COLUMNS})
SELECT project_id, shape_id, days[1], days[cardinality(days)], days, attribution_ids, sum(tasks), false FROM (
    SELECT t.project_id, t.shape_id, t.days, t.attribution_ids, 1 AS tasks
    FROM tasks_claimed c CROSS JOIN {_SHAPE_OF.format("c")}
    UNION ALL SELECT project_id, shape_id, days, attribution_ids, -1 FROM tasks_before
) part GROUP BY project_id, shape_id, days, attribution_ids HAVING sum(tasks) <> 0
"""
_COUNTED = f"""
INSERT INTO rollup_tasks ({_COLUMNS})
SELECT project_id, shape_id, days[1], days[cardinality(days)], days, attribution_ids, count(*), true
FROM task_shapes WHERE project_id = :project_id GROUP BY project_id, shape_id, days, attribution_ids
"""
_MERGE = f"""
WITH touched AS (SELECT DISTINCT project_id, shape_id FROM rollup_tasks WHERE NOT merged),
parts AS (DELETE FROM rollup_tasks r USING touched t
          WHERE r.project_id = t.project_id AND r.shape_id = t.shape_id RETURNING r.*)
INSERT INTO rollup_tasks ({_COLUMNS})
SELECT project_id, shape_id, first_day, last_day, days, attribution_ids, sum(tasks), true FROM parts
GROUP BY project_id, shape_id, first_day, last_day, days, attribution_ids HAVING sum(tasks) <> 0
"""


def update_shapes(connection: Connection) -> None:
    """Bring the shapes of the tasks in `units_taken` up to date; their cells are already in `rollup_units`."""
    for statement in (_CLAIMED, _BEFORE, "DELETE FROM tasks_claimed", "DELETE FROM tasks_before"):
        connection.execute(text(statement))
    if not connection.execute(text(_CHANGED), execution_options=PLANNED_ANEW).rowcount:
        return
    connection.execute(text("ANALYZE tasks_claimed"))
    for statement in (_REMEMBER, _FORGET, _OF_CLAIMED, _PARTS):
        connection.execute(text(statement), execution_options=PLANNED_ANEW)
    unmerged = connection.execute(
        text(f"SELECT count(*) FROM (SELECT 1 FROM rollup_tasks WHERE NOT merged LIMIT {MERGE_FROM}) few")
    ).scalar_one()
    if unmerged >= MERGE_FROM:
        connection.execute(text(_MERGE))


def restate_shapes(connection: Connection, project_id: int) -> None:
    """Find the shapes of a project's tasks again from their cells."""
    scope = {"project_id": project_id}
    for table in ("task_shapes", "rollup_tasks"):
        connection.execute(text(f"DELETE FROM {table} WHERE project_id = :project_id"), scope)
    connection.execute(text(_OF_PROJECT), scope)
    connection.execute(text(_COUNTED), scope)
