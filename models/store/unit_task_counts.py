"""Distinct tasks of sessions, users and tags: a task knows whose it is, so most are counted without their cells."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from models.core.queries import CostQuery, CostRow
from models.core.vocabulary import Granularity
from models.store.cost_sql import UNIT, column_of, conditions
from models.store.engine import PLANNED_ANEW
from models.store.unit_costs import INSIDE, TAG, apart_of, edge_cells, hours_of, whole_hours
from models.store.unit_sums import hashed


def unit_task_counts(
    connection: Connection, query: CostQuery, kind: str, page: Sequence[CostRow]
) -> dict[tuple[Any, ...], int] | None:
    """Distinct tasks per row of a page by session, user or tag; None where cells have to be counted.

    A session is found by its name, and its cells tell. Of users and tags, and of what has no session, tasks that lie
    in the period and belong to one session, user and set of tags are counted by what they belong to. Those that are
    apart (`store.unit_costs`), and those of several, are counted from their cells.
    """
    if query.granularity is not Granularity.NONE or not whole_hours(query):
        return None
    if kind != "session":
        return _by_owner(connection, query, kind, page)
    named = [row for row in page if row.keys["session"] is not None]
    nameless = [row for row in page if row.keys["session"] is None]
    counts = _of_sessions(connection, query, named) if named else {}
    return counts | _by_owner(connection, query, kind, nameless) if nameless else counts


def _of_sessions(connection: Connection, query: CostQuery, page: Sequence[CostRow]) -> dict[tuple[Any, ...], int]:
    hours = hours_of(query)
    parameters: dict[str, Any] = {"projects": list(query.projects)}
    parameters["names"] = list({row.keys["session"] for row in page})
    edges = " UNION ALL ".join(edge_cells(query, hours, "session", parameters))
    within = hours.within("r.period_start", parameters)
    columns = [column_of(name, parameters, {"session": "c.name"}) for name in query.group_by]
    keys = ", ".join(f"key_{position}" for position in range(len(columns)))
    where = conditions(query, parameters)
    of_edges = (
        "UNION ALL SELECT w.name, r.project_id, hashtextextended(u.task, 0), r.calls FROM wanted w "
        f"JOIN ({edges}) r USING (project_id, key_id) CROSS JOIN {UNIT} WHERE u.task IS NOT NULL"
        if edges
        else ""
    )
    found = connection.execute(
        text(
            "WITH wanted AS MATERIALIZED (SELECT each.id AS project_id, every.name, "
            "hashtextextended(every.name, 0) AS key_id FROM unnest(CAST(:projects AS bigint[])) AS each (id), "
            "unnest(CAST(:names AS text[])) AS every (name)), "
            "cells AS (SELECT w.name, r.project_id, r.task_id, r.calls FROM wanted w, LATERAL (SELECT * "
            "FROM rollup_units r WHERE r.project_id = w.project_id AND r.session_id = w.key_id "
            f"OFFSET 0) r WHERE r.task_id IS NOT NULL AND {within} UNION ALL "
            "SELECT w.name, r.project_id, r.task_id, r.calls FROM unit_parts r "
            "JOIN wanted w ON w.project_id = r.project_id AND w.key_id = r.session_id "
            f"WHERE r.task_id IS NOT NULL AND {within} {of_edges}), "
            f"living AS (SELECT {_listed(columns)} FROM cells c JOIN projects p ON p.id = c.project_id "
            f"WHERE {where} GROUP BY c.project_id, c.task_id, {', '.join(columns)} "
            "HAVING sum(c.calls) > 0) "
            f"SELECT {keys}, CAST(NULL AS timestamptz) AS at, count(*) AS tasks FROM living GROUP BY {keys}"
        ),
        parameters,
        execution_options=PLANNED_ANEW,
    ).all()
    return {tuple(row)[:-1]: int(row.tasks) for row in found}


def _by_owner(
    connection: Connection, query: CostQuery, kind: str, page: Sequence[CostRow]
) -> dict[tuple[Any, ...], int]:
    parameters: dict[str, Any] = {"projects": list(query.projects)}
    apart = apart_of(query, "task", parameters, by_unit=True)
    of_cells = [column_of(name, parameters) for name in query.group_by]
    kept = {kind: "o.name"} if kind != "tags" else {TAG: "CAST(o.name AS jsonb)"}
    of_totals = [column_of(name, parameters, kept) for name in query.group_by]
    keys = ", ".join(f"key_{position}" for position in range(len(query.group_by)))
    where = conditions(query, parameters)
    wanted, living, owners = (
        "true",
        "true",
        "SELECT DISTINCT project_id, key_id, name FROM rollup_keys WHERE " + _of(kind),
    )
    if kind != "tags":
        names = [row.keys[kind] for row in page]
        parameters["names"] = [name for name in names if name is not None]
        parameters["nameless"] = None in names
        wanted = (
            f"t.{kind}_id IN (SELECT {hashed('wanted.name')} FROM unnest(CAST(:names AS text[])) AS wanted (name) "
            "UNION SELECT 0 WHERE :nameless)"
        )
        column = of_cells[query.group_by.index(kind)]
        living = f"({column} = ANY(:names) OR (:nameless AND {column} IS NULL))"
        owners = (
            f"SELECT p.id AS project_id, {hashed('every.name')} AS key_id, every.name FROM projects p, "
            "(SELECT unnest(CAST(:names AS text[])) AS name UNION ALL SELECT NULL) every "
            "WHERE p.id = ANY(:projects)"
        )
    found = connection.execute(
        text(
            f"WITH {apart}, several AS MATERIALIZED (SELECT t.project_id, t.key_id FROM unit_totals t "
            "WHERE t.project_id = ANY(:projects) AND t.kind = 'task' AND t.is_mixed "
            f"AND {INSIDE}), "
            f"counted AS (SELECT t.project_id, t.{kind}_id, count(*) AS tasks FROM unit_totals t "
            f"WHERE t.project_id = ANY(:projects) AND t.kind = 'task' AND NOT t.is_mixed AND t.calls > 0 AND {INSIDE} "
            f"AND {wanted} GROUP BY t.project_id, t.{kind}_id), "
            f"owners AS MATERIALIZED ({owners}), "
            f"whole AS (SELECT {_listed(of_totals)}, sum(o.tasks) AS tasks FROM (SELECT c.*, n.name FROM counted c "
            f"JOIN owners n ON n.project_id = c.project_id AND n.key_id = c.{kind}_id) o "
            f"JOIN projects p ON p.id = o.project_id WHERE {where} GROUP BY {', '.join(of_totals)}), "
            "cells AS (SELECT project_id, key_id, unit_id, calls FROM apart_cells UNION ALL "
            "SELECT r.project_id, r.task_id, r.unit_id, r.calls FROM several, LATERAL (SELECT * FROM rollup_units r "
            "WHERE r.project_id = several.project_id AND r.task_id = several.key_id OFFSET 0) r), "
            f"living AS (SELECT {_listed(of_cells)} FROM cells c JOIN projects p ON p.id = c.project_id "
            "CROSS JOIN LATERAL (SELECT u.session, u.user_id, u.tags FROM work_units u "
            "WHERE u.project_id = c.project_id AND u.unit_id = c.unit_id OFFSET 0) u "
            f"WHERE {where} AND {living} GROUP BY c.project_id, c.key_id, {', '.join(of_cells)} "
            "HAVING sum(c.calls) > 0) "
            f"SELECT {keys}, CAST(NULL AS timestamptz) AS at, sum(tasks) AS tasks FROM ("
            f"SELECT {keys}, tasks FROM whole UNION ALL SELECT {keys}, 1 FROM living) every GROUP BY {keys}"
        ),
        parameters,
        execution_options=PLANNED_ANEW,
    ).all()
    return {tuple(row)[:-1]: int(row.tasks) for row in found}


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"{column} AS key_{position}" for position, column in enumerate(columns))


def _of(kind: str) -> str:
    return (
        f"project_id = ANY(:projects) AND kind = '{kind}' AND grain = 'month' "
        "AND period_start >= date_trunc('month', CAST(:first_hour AS timestamptz), 'UTC') AND period_start < :end"
    )
