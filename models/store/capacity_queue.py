"""What waits: hours of capacity to be shared, and calls to be placed on deployments anew."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from models.store.closed_months import hold_ledger

QUIET = timedelta(seconds=2)
"""An hour is shared when nothing was added to it for so long …"""
PATIENCE = timedelta(seconds=30)
"""… or at the latest after so long: an import of a busy hour must not share it again for every batch."""
DUE = "dirty_capacity_hours WHERE hour <= now() - interval '1 hour'"
"""Marks of hours that are over. Only whole hours are shared."""


def mark_hours(connection: Connection, project_id: int, hours: Iterable[datetime]) -> None:
    """Ask for these hours to be shared (again)."""
    wanted = sorted(set(hours))
    if wanted:
        connection.execute(
            text(
                "INSERT INTO dirty_capacity_hours (project_id, hour) "
                "SELECT :project_id, unnest(CAST(:hours AS timestamptz[]))"
            ),
            {"project_id": project_id, "hours": wanted},
        )


def mark_hours_of_deployment(
    connection: Connection, project_id: int, deployment_id: int, start: datetime | None = None
) -> None:
    """Ask for every hour with capacity of a deployment, from a moment on where one is given: its price changed."""
    connection.execute(
        text(
            "INSERT INTO dirty_capacity_hours (project_id, hour) SELECT project_id, hour FROM capacity_hours "
            "WHERE project_id = :project_id AND deployment_id = :deployment_id "
            "AND hour >= coalesce(CAST(:start AS timestamptz), '-infinity')"
        ),
        {"project_id": project_id, "deployment_id": deployment_id, "start": start},
    )


def mark_staged_hours(connection: Connection) -> None:
    """Ask for the hours whose calls on own hardware change: those in `charges_in` and `charges_out`."""
    connection.execute(
        text(
            "INSERT INTO dirty_capacity_hours (project_id, hour) "
            "SELECT DISTINCT project_id, date_trunc('hour', end_at, 'UTC') FROM "
            "(SELECT * FROM charges_in UNION ALL SELECT * FROM charges_out) staged "
            "WHERE deployment_id IS NOT NULL AND charge_class = 'usage'"
        )
    )


def claim_hour(connection: Connection, quiet: timedelta = QUIET) -> tuple[int, datetime] | None:
    """Take the longest waiting hour that is over, with the ledger of its project; None where nothing is due.

    A rollback puts its marks back. One hour per transaction, so that nobody waits long for the ledger.
    """
    row = connection.execute(
        text(
            f"SELECT project_id, hour FROM {DUE} GROUP BY project_id, hour "
            "HAVING max(since) <= clock_timestamp() - CAST(:quiet AS interval) "
            "OR min(since) <= clock_timestamp() - CAST(:patience AS interval) ORDER BY min(id) LIMIT 1"
        ),
        {"quiet": quiet, "patience": PATIENCE},
    ).one_or_none()
    if row is None:
        return None
    # Charges that are being written come first, so that their marks are seen; what is written later waits.
    hold_ledger(connection, row.project_id)
    taken = connection.execute(
        text("DELETE FROM dirty_capacity_hours WHERE project_id = :project_id AND hour = :hour"),
        {"project_id": row.project_id, "hour": row.hour},
    ).rowcount
    return (row.project_id, row.hour) if taken else None


def queue_matching_calls(
    connection: Connection, project_id: int, rules: Sequence[Mapping[str, Any]], deployment_id: int
) -> int:
    """Have calls priced again that a rule takes, or that a deployment had; returns how many.

    `rules` are the fields of a deployment before and after a change; a call that stays where it is stays as it is.
    """
    clauses: list[str] = []
    parameters: dict[str, Any] = {"project_id": project_id, "deployment_id": deployment_id}
    for position, fields in enumerate(rules):
        parts: list[str] = []
        for name, column in (
            ("match_service", "a.service"),
            ("match_model", "c.model"),
            ("match_server_address", "c.server_address"),
        ):
            if fields[name] is not None:
                key = f"{name}_{position}"
                parts.append(f"{column} LIKE :{key}")
                parameters[key] = like_pattern(fields[name])
        clauses.append(f"({' AND '.join(parts)})")
    return connection.execute(
        text(
            "INSERT INTO unrated_calls (project_id, trace_id, span_id) "
            "SELECT c.project_id, c.trace_id, c.span_id FROM calls c "
            "JOIN attributions a ON a.project_id = c.project_id AND a.attribution_id = c.attribution_id "
            f"WHERE c.project_id = :project_id AND ({' OR '.join(clauses)}) "
            "UNION SELECT h.project_id, h.origin_id, h.span_id FROM charges h WHERE h.project_id = :project_id "
            "AND h.deployment_id = :deployment_id AND h.charge_class = 'usage' AND h.superseded_at IS NULL"
        ),
        parameters,
    ).rowcount


def like_pattern(rule: str) -> str:
    """A rule's text, with `*` for any characters, as a pattern of LIKE."""
    escaped = rule.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
