"""Sums of units of work: the parts that commits brought are put into cells, totals per task and session, and days.

`unit_parts` is a queue that counts: whatever lies in it is read with the other sums, so figures are complete at the
commit of the charges and the queue may wait. Taking a part off it and adding it elsewhere is one transaction.
"""

from sqlalchemy import Connection, text

from models.store.engine import PLANNED_ANEW
from models.store.sums import CALL_SUMS, added
from models.store.task_shapes import restate_shapes, update_shapes

CELL = ("project_id", "period_start", "attribution_id", "unit_id", "task_id", "session_id")
"""What a cell of a unit of work is named by; `unit_parts` and `rollup_units` hold cells."""
MERGER_LOCK = 0x756E6974
GATHER_SECONDS = 5
MANY_PARTS = 20_000
"""So many are merged at once; reading as many parts beside the sums takes some ten milliseconds."""
NAMELESS = 0
"""The key of what has no user, task or session."""
UNPRICED = "-1e22"
"""Where groups without any known cost sort: after all others."""

# Looked up cell by cell: reading all units for every merge would cost more with every unit there is.
UNIT_OF_CELL = (
    "LATERAL (SELECT task, session, user_id, tags FROM work_units "
    "WHERE project_id = n.project_id AND unit_id = n.unit_id OFFSET 0) u"
)

_SUMS = ", ".join(CALL_SUMS)
_NEW = ", ".join(f"n.{name}" for name in CALL_SUMS)
_STAGE = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS units_taken ON COMMIT DELETE ROWS AS
SELECT {", ".join(CELL)}, {_SUMS} FROM unit_parts WITH NO DATA
"""
# Up to an id, and not those of a list of ids: no plan of this compares each part with each.
_TAKE = f"""
WITH gone AS (
    DELETE FROM unit_parts
    WHERE id <= (SELECT max(id) FROM (SELECT id FROM unit_parts ORDER BY id LIMIT :limit) oldest) RETURNING *
), cells AS (
    INSERT INTO units_taken ({", ".join(CELL)}, {_SUMS})
    SELECT {", ".join(CELL)}, {added(CALL_SUMS)} FROM gone GROUP BY {", ".join(CELL)} RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS parts, (SELECT count(*) FROM cells) AS cells
"""
_CELLS = f"""
INSERT INTO rollup_units ({", ".join(CELL)}, {_SUMS})
SELECT {", ".join(CELL)}, {_NEW} FROM units_taken n WHERE ({_NEW}) <> ({", ".join("0" for _ in CALL_SUMS)})
"""


def merge_units(connection: Connection, limit: int) -> int:
    """Put up to `limit` parts into the sums of units; returns how many were taken.

    One at a time: a second merger finds the lock taken and returns 0. A rollback puts the parts back.
    """
    alone = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": MERGER_LOCK}).scalar_one()
    if not alone:
        return 0
    connection.execute(text(_STAGE))
    connection.execute(text("DELETE FROM units_taken"))
    taken = connection.execute(text(_TAKE), {"limit": limit}).one()
    if not taken.parts:
        return 0
    connection.execute(text(f"ANALYZE units_taken ({', '.join(CELL)}, charges)"))
    connection.execute(text(_CELLS))
    for kind in ("task", "session"):
        connection.execute(text(_totals("units_taken", kind)), execution_options=PLANNED_ANEW)
    connection.execute(text(_keys("units_taken")), execution_options=PLANNED_ANEW)
    # Only what was taken back can have come to nothing.
    if connection.execute(text("SELECT EXISTS (SELECT 1 FROM units_taken WHERE charges <= 0)")).scalar_one():
        _drop_empty(connection)
    update_shapes(connection)
    return taken.parts


def parts_are_due(connection: Connection) -> bool:
    """Whether merging is worth its price: parts have gathered for some seconds, or there are many of them."""
    return connection.execute(
        text(
            f"SELECT EXISTS (SELECT 1 FROM unit_parts WHERE since <= now() - interval '{GATHER_SECONDS} seconds') "
            f"OR (SELECT count(*) FROM (SELECT 1 FROM unit_parts LIMIT {MANY_PARTS}) few) >= {MANY_PARTS}"
        )
    ).scalar_one()


def restate_units(connection: Connection, project_id: int) -> None:
    """Add the totals, days and shapes of a project up again from its cells."""
    scope = {"project_id": project_id}
    for table in ("unit_totals", "rollup_keys"):
        connection.execute(text(f"DELETE FROM {table} WHERE project_id = :project_id"), scope)
    source = "(SELECT * FROM rollup_units WHERE project_id = :project_id)"
    for kind in ("task", "session"):
        connection.execute(text(_totals(source, kind)), scope)
    connection.execute(text(_keys(source)), scope)
    for table in ("unit_totals", "rollup_keys"):
        connection.execute(text(f"DELETE FROM {table} WHERE project_id = :project_id AND charges = 0"), scope)
    restate_shapes(connection, project_id)


def hashed(name: str) -> str:
    """The SQL of the 64-bit hash of a name; 0 where there is none."""
    return f"coalesce(hashtextextended({name}, 0), {NAMELESS})"


_KEYS_OF_CELL = f"""
LATERAL (VALUES ('user', {hashed("u.user_id")}, u.user_id), ('tags', {hashed("u.tags::text")}, u.tags::text),
                (CASE WHEN n.task_id IS NULL THEN 'task' END, {NAMELESS}, NULL),
                (CASE WHEN n.session_id IS NULL THEN 'session' END, {NAMELESS}, NULL)) AS key (kind, key_id, name)
"""


def _totals(source: str, kind: str) -> str:
    """Add cells to the totals of their tasks or sessions."""
    facts = {"session_id": "u.session", "user_id": "u.user_id", "tags_id": "u.tags::text"}
    if kind == "task":
        means = ", ".join(f"min({hashed(value)}) AS {name}" for name, value in facts.items())
        mixed = " OR ".join(f"min({hashed(value)}) <> max({hashed(value)})" for value in facts.values())
    else:
        means, mixed = ", ".join(f"NULL::bigint AS {name}" for name in facts), "false"
    name = "u.task" if kind == "task" else "u.session"
    after = ", ".join(f"{each} = t.{each} + excluded.{each}" for each in CALL_SUMS)
    apart = " OR ".join(f"t.{each} <> excluded.{each}" for each in facts)
    return f"""
    INSERT INTO unit_totals AS t (project_id, kind, key_id, name, place, first_hour, last_hour, {", ".join(facts)},
                                  is_mixed, sort_cost, {_SUMS})
    SELECT project_id, '{kind}', key_id, name, jsonb_build_array(name)::text, first_hour, last_hour,
           {", ".join(facts)}, is_mixed,
           CASE WHEN priced_charges > 0 THEN effective_cost ELSE {UNPRICED}::numeric END, {_SUMS}
    FROM (SELECT n.project_id, n.{kind}_id AS key_id, min({name}) AS name, min(n.period_start) AS first_hour,
                 max(n.period_start) AS last_hour, {means}, {mixed} AS is_mixed, {added(CALL_SUMS, "n")}
          FROM {source} n CROSS JOIN {UNIT_OF_CELL}
          WHERE n.{kind}_id IS NOT NULL GROUP BY n.project_id, n.{kind}_id) one
    ON CONFLICT (project_id, kind, key_id) DO UPDATE SET
        first_hour = least(t.first_hour, excluded.first_hour), last_hour = greatest(t.last_hour, excluded.last_hour),
        is_mixed = t.is_mixed OR excluded.is_mixed OR coalesce({apart}, false),
        sort_cost = CASE WHEN t.priced_charges + excluded.priced_charges > 0
                         THEN t.effective_cost + excluded.effective_cost ELSE {UNPRICED}::numeric END,
        {after}
    """


def _keys(source: str) -> str:
    """Add cells to the days and months of their users and tags, and of what has no task or session."""
    names = "project_id, kind, grain, period_start, key_id, name"
    after = ", ".join(f"{each} = k.{each} + excluded.{each}" for each in CALL_SUMS)
    return f"""
    WITH units AS MATERIALIZED (
        SELECT n.project_id, date_trunc('day', n.period_start, 'UTC') AS period_start, n.unit_id,
               min(n.task_id) AS task_id, min(n.session_id) AS session_id, {added(CALL_SUMS, "n")}
        FROM {source} n GROUP BY n.project_id, 2, n.unit_id
    ), days AS MATERIALIZED (
        SELECT n.project_id, key.kind, 'day' AS grain, n.period_start, key.key_id, key.name, {added(CALL_SUMS, "n")}
        FROM units n CROSS JOIN {UNIT_OF_CELL}, {_KEYS_OF_CELL}
        WHERE key.kind IS NOT NULL GROUP BY 1, 2, 4, 5, 6
    ), both_grains AS (
        SELECT {names}, {_SUMS} FROM days
        UNION ALL
        SELECT project_id, kind, 'month', date_trunc('month', period_start, 'UTC'), key_id, name, {added(CALL_SUMS)}
        FROM days GROUP BY 1, 2, 4, 5, 6
    )
    INSERT INTO rollup_keys AS k ({names}, {_SUMS}) SELECT {names}, {_SUMS} FROM both_grains
    ON CONFLICT (project_id, kind, grain, period_start, key_id) DO UPDATE SET {after}
    """


def _drop_empty(connection: Connection) -> None:
    """Drop what came to nothing: totals and keys of cells that were taken back, each looked up by its key."""
    of_kinds = " UNION ALL ".join(
        f"SELECT project_id, '{kind}' AS kind, {kind}_id AS key_id FROM units_taken WHERE charges <= 0"
        for kind in ("task", "session")
    )
    connection.execute(
        text(
            "DELETE FROM unit_totals WHERE ctid = ANY(ARRAY(SELECT t.row FROM "
            f"(SELECT DISTINCT * FROM ({of_kinds}) every) n CROSS JOIN LATERAL (SELECT ctid AS row FROM unit_totals "
            "WHERE project_id = n.project_id AND kind = n.kind AND key_id = n.key_id AND charges = 0 OFFSET 0) t))"
        ),
        execution_options=PLANNED_ANEW,
    )
    connection.execute(
        text(
            "DELETE FROM rollup_keys WHERE ctid = ANY(ARRAY(SELECT k.row FROM (SELECT DISTINCT n.project_id, key.kind, "
            "grain, date_trunc(grain, n.period_start, 'UTC') AS period_start, key.key_id FROM units_taken n "
            f"CROSS JOIN {UNIT_OF_CELL}, {_KEYS_OF_CELL}, (VALUES ('day'), ('month')) AS each (grain) "
            "WHERE n.charges <= 0 AND key.kind IS NOT NULL) n "
            "CROSS JOIN LATERAL (SELECT ctid AS row FROM rollup_keys WHERE project_id = n.project_id "
            "AND kind = n.kind AND grain = n.grain AND period_start = n.period_start AND key_id = n.key_id "
            "AND charges = 0 OFFSET 0) k))"
        ),
        execution_options=PLANNED_ANEW,
    )
