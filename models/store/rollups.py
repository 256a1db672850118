"""Rollups: every change of the ledger adds its part to the sums at once; merging puts the parts of an hour together.

A cell may lie in several parts that add up, so figures are complete at the commit of the charges, two writers never
wait for one another, and nothing is counted twice: a part and its charges are one transaction.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from models.store.sums import CALL_SUMS, LINE_SUMS, added, lines_of_charges, of_charges

ROLLUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "rollup_calls": (("attribution_id",), CALL_SUMS, ("hour", "day")),
    "rollup_units": (("attribution_id", "unit_id", "task_id"), CALL_SUMS, ("hour",)),
    "rollup_lines": (("attribution_id", "bucket"), LINE_SUMS, ("hour", "day")),
}
"""Table → its dimensions, its sums, and the grains it is kept in."""

# What a column is called where it is not the charge's own. The task of a unit is looked up with its interned name.
_FROM = {"bucket": "line.bucket", "task_id": "hashtextextended(unit.task, 0)"}
_STAGED = "(SELECT 1 AS sign, i.* FROM charges_in i UNION ALL SELECT -1 AS sign, o.* FROM charges_out o)"


def add_parts(connection: Connection) -> None:
    """Add the staged charges (`charges_in`) and take off the superseded ones (`charges_out`), in every rollup."""
    _insert(connection, _STAGED, "c.sign", {})
    connection.execute(
        text(
            "INSERT INTO dirty_hours (project_id, hour) "
            f"SELECT DISTINCT project_id, date_trunc('hour', end_at, 'UTC') FROM {_STAGED} c"
        )
    )
    connection.execute(
        text(
            "INSERT INTO dirty_tasks (project_id, task_id) "
            f"SELECT DISTINCT c.project_id, {_FROM['task_id']} "
            f"FROM (SELECT DISTINCT project_id, unit_id FROM {_STAGED} staged) c "
            "JOIN work_units unit ON unit.project_id = c.project_id AND unit.unit_id = c.unit_id "
            "WHERE unit.task IS NOT NULL"
        )
    )


def rebuild_hours(connection: Connection, project_id: int, start: datetime, end: datetime) -> None:
    """Drop the sums of whole UTC days [start, end) and add them up again from the live charges.

    The transaction must be REPEATABLE READ: a part committed between dropping and adding would count twice.
    """
    scope = {"project_id": project_id, "start": start, "end": end}
    _mark_tasks(connection, scope)
    for table in ROLLUPS:
        connection.execute(
            text(
                f"DELETE FROM {table} WHERE project_id = :project_id AND grain IN ('hour', 'day') "
                "AND period_start >= :start AND period_start < :end"
            ),
            scope,
        )
    live = (
        "(SELECT 1 AS sign, l.* FROM charges l WHERE l.project_id = :project_id AND l.end_at >= :start "
        "AND l.end_at < :end AND l.superseded_at IS NULL "
        "AND l.month >= date_trunc('month', CAST(:start AS timestamptz), 'UTC')::date AND l.month <= :end)"
    )
    _insert(connection, live, "c.sign", scope)
    _mark_tasks(connection, scope)


def _mark_tasks(connection: Connection, scope: Mapping[str, object]) -> None:
    connection.execute(
        text(
            "INSERT INTO dirty_tasks (project_id, task_id) SELECT DISTINCT project_id, task_id FROM rollup_units "
            "WHERE project_id = :project_id AND grain = 'hour' AND period_start >= :start AND period_start < :end "
            "AND task_id IS NOT NULL"
        ),
        scope,
    )


def _insert(connection: Connection, source: str, sign: str, scope: dict[str, object]) -> None:
    for table, (dimensions, sums, grains) in ROLLUPS.items():
        by_line = table == "rollup_lines"
        keys = ", ".join(f"{_FROM.get(name, f'c.{name}')} AS {name}" for name in dimensions)
        groups = ", ".join(_FROM.get(name, f"c.{name}") for name in dimensions)
        columns = ", ".join(("project_id", "grain", "period_start", *dimensions, *sums))
        amounts = added(LINE_SUMS, "line") if by_line else of_charges("c", sign)
        more = f" CROSS JOIN {lines_of_charges('c', sign)}" if by_line else ""
        if "task_id" in dimensions:
            more = " LEFT JOIN work_units unit ON unit.project_id = c.project_id AND unit.unit_id = c.unit_id"
        base = (
            f"SELECT c.project_id, 'hour' AS grain, date_trunc('hour', c.end_at, 'UTC') AS period_start, {keys}, "
            f"{amounts} FROM {source} c{more} GROUP BY c.project_id, 3, {groups}"
        )
        names = ", ".join(dimensions)
        days = (
            f" UNION ALL SELECT project_id, 'day', date_trunc('day', period_start, 'UTC'), {names}, {added(sums)} "
            f"FROM hours GROUP BY project_id, 3, {names}"
        )
        connection.execute(
            text(
                f"WITH hours AS MATERIALIZED ({base}) INSERT INTO {table} ({columns}) "
                f"SELECT {columns} FROM hours{days if 'day' in grains else ''}"
            ),
            scope,
        )


def claim_dirty_hours(connection: Connection, limit: int) -> list[tuple[int, datetime]]:
    """Take hours whose sums lie in parts off the list, the longest waiting first; a rollback puts them back."""
    rows = connection.execute(
        text(
            "WITH taken AS (DELETE FROM dirty_hours WHERE id IN "
            "(SELECT id FROM dirty_hours ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING project_id, hour) "
            "SELECT DISTINCT project_id, hour FROM taken ORDER BY project_id, hour"
        ),
        {"limit": limit},
    )
    return [(row.project_id, row.hour) for row in rows]


def merge_hours(connection: Connection, project_id: int, hours: list[datetime], *, units: bool = False) -> int:
    """Put the parts of these hours and of their days together: one row per cell. Returns the rows that went.

    One statement per table deletes and inserts: a part that arrives meanwhile is not seen and stays for later.
    """
    days = sorted({hour.replace(hour=0) for hour in hours})
    gone = 0
    for table, (dimensions, sums, grains) in ROLLUPS.items():
        if table == "rollup_units" and not units:
            continue
        cell = ", ".join(("project_id", "grain", "period_start", *dimensions))
        for grain, periods in (("hour", hours), ("day", days)):
            if grain not in grains:
                continue
            gone += connection.execute(
                text(
                    f"WITH parts AS (DELETE FROM {table} WHERE project_id = :project_id AND grain = :grain "
                    f"AND period_start = ANY(:periods) RETURNING *), "
                    f"merged AS (INSERT INTO {table} ({cell}, {', '.join(sums)}) "
                    f"SELECT {cell}, {added(sums)} FROM parts GROUP BY {cell} HAVING sum(charges) <> 0 RETURNING 1) "
                    "SELECT (SELECT count(*) FROM parts) - (SELECT count(*) FROM merged)"
                ),
                {"project_id": project_id, "grain": grain, "periods": list(periods)},
            ).scalar_one()
    return gone


def settled(hour: datetime, at: datetime) -> bool:
    """Whether an hour has ended long enough ago that its units are worth merging."""
    return at - hour > timedelta(hours=1, minutes=5)
