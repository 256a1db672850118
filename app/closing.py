"""Closing months and moving owners: the order of work, each step a transaction with its entry in the audit trail."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from app import wiring
from models.core.errors import BadInput, Conflict
from models.core.money import plain
from models.core.queries import Project
from models.store.audit import append_audit
from models.store.closed_months import closed_months, hold_ledger
from models.store.period_checks import FAIL, checks_of
from models.store.periods import CLOSED, SOFT_CLOSED, Snapshot, close_period, list_periods, reopen_period
from models.store.reattribution import Moved, apply_day, merged, open_days


def close(
    projects: Sequence[Project], month: date, *, actor: str, force: bool = False, reason: str | None = None
) -> dict[str, Snapshot]:
    """Close a month in those of the projects where it is not closed yet: in all of them or in none.

    Raises   Conflict naming each failing check where it is not forced; BadInput where it is forced without a reason.
    """
    if force and not (reason or "").strip():
        raise BadInput(
            "forcing a close needs a reason: it stands in the snapshot and in the audit trail.",
            [{"field": "reason", "reason": "is empty"}],
        )
    at = datetime.now(UTC)
    with wiring.transaction() as connection:
        states = {row.project_id: row.state for row in list_periods(connection, [p.id for p in projects], month)}
        projects = [each for each in projects if states.get(each.id) != CLOSED] or projects
        found: dict[int, list[dict[str, Any]]] = {}
        failing: list[str] = []
        for project in sorted(projects, key=lambda each: each.id):
            hold_ledger(connection, project.id)
            checks = checks_of(connection, project.id, month, at)
            found[project.id] = [check.as_json() for check in checks]
            named = f"{project.name}: " if len(projects) > 1 else ""
            failing += [f"{named}{check.what}. {check.todo}" for check in checks if check.state == FAIL]
        if failing and not force:
            raise Conflict(f"{month:%Y-%m} is not ready to close. {' '.join(failing)} Or force it, with a reason.")
        return {
            project.name: close_period(
                connection, project.id, month, actor=actor, at=at, checks=found[project.id], reason=reason
            )
            for project in projects
        }


def apply_rules(project_id: int, *, actor: str, reason: str | None = None) -> Moved:
    """Give every charge of a month that is not closed to the owner that the rules in force name.

    Day by day, each a transaction: safe to break off and to repeat; the second time nothing moves.
    """
    with wiring.transaction() as connection:
        days = open_days(connection, project_id)
        closed = sorted(closed_months(connection, project_id))
    parts: list[Moved] = []
    for day in days:
        with wiring.transaction() as connection:
            parts.append(apply_day(connection, project_id, day))
    moved = merged(parts, closed)
    if not moved.moves.is_empty():
        with wiring.transaction() as connection:
            append_audit(
                connection,
                actor=actor,
                action="tag_rules.apply",
                subject="open months",
                at=datetime.now(UTC),
                after=moved_json(moved),
                reason=reason,
                project_id=project_id,
            )
        wiring.current().hint("rollup")
    return moved


def moved_json(moved: Moved) -> dict[str, Any]:
    """What moves, as shown outside."""
    return {
        "calls": moved.calls,
        "moves": [
            {
                **row,
                "month": f"{row['month']:%Y-%m}",
                "effective_cost": plain(row["effective_cost"]),
            }
            for row in moved.moves.to_dicts()
        ],
        "closed": [f"{month:%Y-%m}" for month in moved.closed],
    }


def reopen(projects: Sequence[Project], month: date, *, actor: str, reason: str) -> list[str]:
    """Open a closed month again where it is closed; returns the names of the projects.

    Raises   BadInput without a reason; Conflict where it is closed in none of them.
    """
    at = datetime.now(UTC)
    with wiring.transaction() as connection:
        states = {row.project_id: row.state for row in list_periods(connection, [p.id for p in projects], month)}
        shut = [project for project in projects if states.get(project.id) in (CLOSED, SOFT_CLOSED)]
        for project in shut or projects:
            reopen_period(connection, project.id, month, actor=actor, at=at, reason=reason)
    return [project.name for project in shut]
