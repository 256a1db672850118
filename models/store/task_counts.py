"""Distinct tasks: tasks that touched the same days and attributions are counted together, by that shape.

A task is in as many groups as its calls are, so distinct counts do not add up over cells. But tasks of one *shape*, the
set of (day, attribution) that their calls lie in, are in the same groups whatever is asked: counting them once, when
they change, leaves some thousand shapes to read instead of millions of cells (`store.task_shapes`). What has changed
and is not counted yet (`unit_parts`) is counted from its own cells, so answers are exact at the commit of the charges.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from models.core.queries import CostQuery
from models.core.vocabulary import Granularity
from models.store.cost_sql import UNIT, belonging, charges_of_period, column_of, conditions, needs_unit
from models.store.cover import Part, rounded, within_hours

Period = tuple[datetime, datetime]
"""Half-open."""


def task_counts(connection: Connection, query: CostQuery) -> dict[tuple[Any, ...], int] | None:
    """Distinct tasks per group, keyed by the values of `group_by` and the time; None where shapes cannot tell.

    Shapes know days and attributions: they cannot tell for groupings by hour, by task, session, user or tag. Of a day
    that the period cuts through, the side with less in it is looked at: where most of it lies outside, cells tell what
    lies inside; where most lies inside, the day counts as whole. Tasks with calls in that side are apart, like those
    that lost calls: their own cells within the period tell. One that has only gained calls since it was counted is in
    the groups of these as well: what it had before need not be read again.
    """
    used = (*query.group_by, *(name for name, _ in query.filters))
    if query.granularity is Granularity.HOUR or any(map(needs_unit, used)):
        return None
    now = datetime.now(UTC)
    since, until = rounded(query.start, query.end, "day", now)
    if since >= until:
        return None
    # What lies beside those days and belongs to the period, and what lies in them and does not.
    beside = [(query.start, since), (until, query.end)]
    left_out = [(since, query.start), (query.end, until)]
    begun, ended = rounded(query.start, query.end, "hour", now)
    first_hour = begun if since < query.start else since
    last_hour = ended if until > query.end else until
    parameters: dict[str, Any] = {
        "projects": list(query.projects),
        "since": since,
        "until": until,
        "first_hour": first_hour,
        "last_hour": last_hour,
    }
    columns = [column_of(name, parameters) for name in query.group_by]
    keys = "".join(f"{column} AS key_{position}, " for position, column in enumerate(columns))
    names = "".join(f"key_{position}, " for position in range(len(columns)))
    grain = query.granularity.value
    timed = query.granularity is not Granularity.NONE
    of_day = f"date_trunc('{grain}', s.day::timestamp) AT TIME ZONE 'UTC'" if timed else "NULL::timestamptz"
    of_hour = f"date_trunc('{grain}', s.period_start, 'UTC')" if timed else "NULL::timestamptz"
    belongs = f"{belonging(query, by_unit=False)} WHERE {conditions(query, parameters)}"
    days = "CAST(:since AS timestamptz) AT TIME ZONE 'UTC'", "CAST(:until AS timestamptz) AT TIME ZONE 'UTC'"
    known = f"FROM rollup_tasks WHERE project_id = ANY(:projects) AND first_day < {days[1]} AND last_day >= {days[0]}"
    inside = f"(first_day >= {days[0]} AND last_day < {days[1]})"
    every = "SELECT project_id, days, attribution_ids, tasks "
    # Without a time only the attributions of tasks that lie inside matter: there are few sets of them.
    merged = (
        f"SELECT project_id, days, attribution_ids, tasks {known}"
        if timed
        else f"SELECT project_id, CAST(NULL AS date[]) AS days, attribution_ids, sum(tasks) AS tasks {known} "
        f"AND {inside} GROUP BY project_id, attribution_ids UNION ALL {every}{known} AND NOT {inside}"
    )
    cut, out = _cells(beside, parameters), _cells(left_out, parameters)
    # Of a day that counts as whole, minutes that lie in an hour that the period cuts through: added or taken off.
    minutes = " UNION ALL ".join(
        _charges(Part(None, *edge, sign), parameters)
        for is_cut, sign, edge in (
            (since < query.start, 1, (query.start, first_hour)),
            (since < query.start, -1, (first_hour, query.start)),
            (until > query.end, 1, (last_hour, query.end)),
            (until > query.end, -1, (query.end, last_hour)),
        )
        if is_cut and edge[0] < edge[1]
    )
    of_minutes = f"UNION ALL SELECT m.* FROM ({minutes}) m JOIN apart USING (project_id, task_id)" if minutes else ""
    found = connection.execute(
        text(
            "WITH fresh AS MATERIALIZED (SELECT project_id, task_id, period_start, attribution_id, calls "
            "FROM unit_parts WHERE project_id = ANY(:projects) AND task_id IS NOT NULL), "
            f"cut AS MATERIALIZED ({cut}), "
            "apart AS MATERIALIZED (SELECT project_id, task_id FROM fresh WHERE calls < 0 "
            f"UNION SELECT project_id, task_id FROM cut UNION SELECT project_id, task_id FROM ({out}) out), "
            # A task that has only become more is in the groups of its shape and in those of what came.
            "grown AS MATERIALIZED (SELECT project_id, task_id FROM fresh "
            "EXCEPT SELECT project_id, task_id FROM apart), "
            "grown_cells AS (SELECT g.project_id, g.task_id, cell.day, cell.attribution_id, false AS is_fresh "
            "FROM grown g, LATERAL (SELECT * FROM task_shapes t WHERE t.project_id = g.project_id "
            "AND t.task_id = g.task_id OFFSET 0) t, unnest(t.days, t.attribution_ids) AS cell (day, attribution_id) "
            f"WHERE cell.day >= {days[0]} AND cell.day < {days[1]} UNION ALL "
            "SELECT f.project_id, f.task_id, (f.period_start AT TIME ZONE 'UTC')::date, f.attribution_id, true "
            "FROM fresh f JOIN grown USING (project_id, task_id) WHERE f.calls > 0 "
            "AND f.period_start >= :first_hour AND f.period_start < :last_hour), "
            f"more AS (SELECT {keys}{of_day} AS at FROM grown_cells s{belongs} "
            f"GROUP BY {', '.join([*columns, of_day])}, s.project_id, s.task_id HAVING bool_and(s.is_fresh)), "
            "hit AS MATERIALIZED (SELECT t.project_id, t.task_id, t.days, t.attribution_ids FROM apart d, LATERAL ("
            "SELECT * FROM task_shapes t WHERE t.project_id = d.project_id AND t.task_id = d.task_id OFFSET 0) t "
            f"WHERE t.days[1] < {days[1]} AND t.days[cardinality(t.days)] >= {days[0]}), "
            f"parts AS (SELECT row_number() OVER () AS part, known.* FROM ({merged} "
            "UNION ALL SELECT project_id, days, attribution_ids, -1 FROM hit) known), "
            "cells AS MATERIALIZED (SELECT part, project_id, tasks, cell.day, cell.attribution_id FROM parts, "
            "unnest(days, attribution_ids) AS cell (day, attribution_id) "
            f"WHERE cell.day IS NULL OR (cell.day >= {days[0]} AND cell.day < {days[1]})), "
            f"counted AS (SELECT DISTINCT {keys}{of_day} AS at, s.part, s.tasks FROM cells s{belongs}), "
            "changed AS (SELECT r.project_id, r.task_id, r.period_start, r.attribution_id, r.calls FROM hit d, "
            "LATERAL (SELECT * FROM rollup_units r WHERE r.project_id = d.project_id AND r.task_id = d.task_id "
            "OFFSET 0) r WHERE r.period_start >= :first_hour AND r.period_start < :last_hour UNION ALL "
            "SELECT f.* FROM fresh f JOIN apart USING (project_id, task_id) "
            "WHERE f.period_start >= :first_hour AND f.period_start < :last_hour UNION ALL SELECT * FROM cut "
            f"{of_minutes}), "
            f"living AS (SELECT {keys}{of_hour} AS at FROM changed s{belongs} "
            f"GROUP BY {', '.join([*columns, of_hour])}, s.project_id, s.task_id HAVING sum(s.calls) > 0) "
            f"SELECT {names}at, sum(tasks) AS tasks FROM ("
            f"SELECT {names}at, tasks FROM counted UNION ALL SELECT {names}at, 1 FROM living "
            f"UNION ALL SELECT {names}at, 1 FROM more) every "
            f"GROUP BY {names}at"
        ),
        parameters,
    ).all()
    return {tuple(row)[:-1]: int(row.tasks) for row in found}


def _cells(periods: Sequence[Period], parameters: dict[str, Any]) -> str:
    """A query of the cells with a task in some periods: of whole hours, and charges at the very edges."""
    parts = [
        "SELECT NULL::bigint AS project_id, NULL::bigint AS task_id, NULL::timestamptz AS period_start, "
        "NULL::bigint AS attribution_id, NULL::bigint AS calls WHERE false"
    ]
    for part in [part for start, end in periods for part in within_hours(start, end)]:
        if part.width is None:
            parts.append(_charges(part, parameters))
            continue
        parts.append(
            "SELECT project_id, task_id, period_start, attribution_id, calls FROM unit_cells "
            "WHERE project_id = ANY(:projects) AND task_id IS NOT NULL "
            f"AND {part.within('period_start', parameters)}"
        )
    return " UNION ALL ".join(parts)


def _charges(part: Part, parameters: dict[str, Any]) -> str:
    """A query of the charges with a task in some minutes, as cells; their calls are less than 0 if taken off."""
    by = ("project_id", "attribution_id", "unit_id")
    charges = charges_of_period(part, by, ("calls",), "date_trunc('hour', {}, 'UTC')", parameters)
    return (
        "SELECT r.project_id, hashtextextended(u.task, 0) AS task_id, r.at AS period_start, r.attribution_id, r.calls "
        f"FROM ({charges}) r, {UNIT} WHERE u.task IS NOT NULL"
    )
