"""Rollups: every change of the ledger adds its part to the sums at once; merging puts the parts of an hour together.

A cell may lie in several parts that add up, so figures are complete at the commit of the charges, two writers never
wait for one another, and nothing is counted twice: a part and its charges are one transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from sqlalchemy import Connection, text

from models.store.engine import PLANNED_ANEW
from models.store.spend_rates import add_minutes
from models.store.sums import CALL_SUMS, LINE_SUMS, added, lines_of_charges, merge_parts, of_charges
from models.store.unit_sums import CELL, UNIT_OF_CELL, restate_units

ROLLUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rollup_calls": (("attribution_id",), CALL_SUMS),
    "rollup_lines": (("attribution_id", "bucket"), LINE_SUMS),
}
"""Narrow rollups: table → its dimensions and its sums."""
GRAINS = ("hour", "day", "month")
GATHER_SECONDS = 20
DUE = f"dirty_hours WHERE since <= now() - interval '{GATHER_SECONDS} seconds'"
"""A merge writes whole hours, days and months anew, and no figure waits for it: let parts gather first."""

_WITHIN = "grain = :grain AND project_id = :project_id AND period_start = ANY(:periods)"
_STAGED = "(SELECT 1 AS sign, i.* FROM charges_in i UNION ALL SELECT -1 AS sign, o.* FROM charges_out o)"


def add_parts(connection: Connection) -> None:
    """Add the staged charges (`charges_in`) and take off the superseded ones (`charges_out`), in every rollup."""
    any_go = connection.execute(text("SELECT EXISTS (SELECT FROM charges_out)")).scalar_one()
    # Mostly none are superseded, and what only comes is cheaper to add up.
    staged, sign = (_STAGED, "c.sign") if any_go else ("charges_in", "1")
    _insert(connection, staged, sign, {})
    _insert_units(connection, "unit_parts", staged, sign, {})
    add_minutes(connection, staged, sign)
    connection.execute(
        text(
            "INSERT INTO dirty_hours (project_id, hour) "
            f"SELECT DISTINCT project_id, date_trunc('hour', end_at, 'UTC') FROM {staged} c"
        )
    )


def rebuild_hours(connection: Connection, project_id: int, start: datetime, end: datetime) -> None:
    """Drop the sums of whole UTC days [start, end) and add them up again from the live charges.

    The transaction must be REPEATABLE READ: a part committed between dropping and adding would count twice.
    """
    scope: dict[str, object] = {"project_id": project_id, "start": start, "end": end}
    within = "project_id = :project_id AND period_start >= :start AND period_start < :end"
    months = (
        "project_id = :project_id AND grain = 'month' "
        "AND period_start >= date_trunc('month', CAST(:start AS timestamptz), 'UTC') AND period_start < :end"
    )
    for table in ROLLUPS:
        connection.execute(text(f"DELETE FROM {table} WHERE {within} AND grain IN ('hour', 'day')"), scope)
        connection.execute(text(f"DELETE FROM {table} WHERE {months}"), scope)
    for table in ("rollup_units", "unit_parts"):
        connection.execute(text(f"DELETE FROM {table} WHERE {within}"), scope)
    live = (
        "(SELECT 1 AS sign, l.* FROM charges l WHERE l.project_id = :project_id AND l.end_at >= :start "
        "AND l.end_at < :end AND l.superseded_at IS NULL "
        "AND l.month >= date_trunc('month', CAST(:start AS timestamptz), 'UTC')::date AND l.month <= :end)"
    )
    _insert(connection, live, "1", scope, grains=("hour", "day"))
    for table, (dimensions, sums) in ROLLUPS.items():
        # A month may begin before the period and end after it: its days say what it holds.
        names = ", ".join(dimensions)
        connection.execute(
            text(
                f"INSERT INTO {table} (project_id, grain, period_start, {names}, {', '.join(sums)}) "
                f"SELECT project_id, 'month', date_trunc('month', period_start, 'UTC'), {names}, {added(sums)} "
                f"FROM {table} WHERE project_id = :project_id AND grain = 'day' "
                "AND period_start >= date_trunc('month', CAST(:start AS timestamptz), 'UTC') "
                "AND period_start < date_trunc('month', CAST(:end AS timestamptz) - interval '1 microsecond', 'UTC')"
                f" + interval '1 month' GROUP BY project_id, 3, {names} HAVING sum(charges) <> 0"
            ),
            scope,
        )
    _insert_units(connection, "rollup_units", live, "1", scope)
    restate_units(connection, project_id)


def _insert(
    connection: Connection, source: str, sign: str, scope: dict[str, object], grains: Sequence[str] = GRAINS
) -> None:
    cell = {
        "project_id": "c.project_id",
        "period_start": "date_trunc('hour', c.end_at, 'UTC')",
        "attribution_id": "c.attribution_id",
    }
    of_calls = (
        f"SELECT {', '.join(f'{value} AS {name}' for name, value in cell.items())}, {of_charges('c', sign)} "
        f"FROM {source} c GROUP BY 1, 2, 3"
    )
    for table, (dimensions, sums) in ROLLUPS.items():
        columns = ", ".join(("project_id", "grain", "period_start", *dimensions, *sums))
        names = ", ".join(dimensions)
        hours = lines_of_charges(f"{source} c", cell, sign) if table == "rollup_lines" else of_calls
        steps = [f"hours AS MATERIALIZED (SELECT 'hour' AS grain, h.* FROM ({hours}) h)"]
        for finer, grain in pairwise(GRAINS):
            if grain in grains:
                steps.append(
                    f"{grain}s AS MATERIALIZED (SELECT project_id, '{grain}' AS grain, "
                    f"date_trunc('{grain}', period_start, 'UTC') AS period_start, {names}, {added(sums)} "
                    f"FROM {finer}s GROUP BY project_id, 3, {names})"
                )
        every = " UNION ALL ".join(f"SELECT {columns} FROM {grain}s" for grain in grains)
        connection.execute(text(f"WITH {', '.join(steps)} INSERT INTO {table} ({columns}) {every}"), scope)


def _insert_units(connection: Connection, table: str, source: str, sign: str, scope: dict[str, object]) -> None:
    """Cells per unit of work. Its task and session are looked up with its interned names."""
    cell = f"{', '.join(CELL)}"
    connection.execute(
        text(
            f"WITH cells AS MATERIALIZED (SELECT c.project_id, date_trunc('hour', c.end_at, 'UTC') AS period_start, "
            f"c.attribution_id, c.unit_id, {of_charges('c', sign)} FROM {source} c GROUP BY c.project_id, 2, 3, 4) "
            f"INSERT INTO {table} ({cell}, {', '.join(CALL_SUMS)}) "
            "SELECT n.project_id, period_start, attribution_id, n.unit_id, hashtextextended(u.task, 0), "
            f"hashtextextended(u.session, 0), {', '.join(CALL_SUMS)} FROM cells n LEFT JOIN {UNIT_OF_CELL} ON true"
        ),
        scope,
        execution_options=PLANNED_ANEW,
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
        execution_options=PLANNED_ANEW,
    )
    return [(row.project_id, row.hour) for row in rows]


def hours_are_due(connection: Connection) -> bool:
    """Whether parts have gathered for long enough that merging them is worth its price."""
    return connection.execute(text(f"SELECT EXISTS (SELECT 1 FROM {DUE})")).scalar_one()


def merge_hours(connection: Connection, project_id: int, hours: list[datetime]) -> int:
    """Put the parts of these hours, their days and months together: one row per cell. Returns the rows that went."""
    days = sorted({hour.replace(hour=0) for hour in hours})
    months = sorted({day.replace(day=1) for day in days})
    gone = 0
    for table, (dimensions, sums) in ROLLUPS.items():
        cell = ("project_id", "grain", "period_start", *dimensions)
        for grain, periods in zip(GRAINS, (hours, days, months), strict=True):
            scope = {"project_id": project_id, "grain": grain, "periods": list(periods)}
            merging = merge_parts(table, cell, sums, _WITHIN, "charges = 0")
            gone += connection.execute(text(merging), scope).scalar_one()
    return gone
