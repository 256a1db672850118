"""Outcomes of tasks, and what an accepted task costs when the failed ones are paid for as well."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from models.core.errors import BadInput
from models.core.money import EXACT, QUANTUM, plain
from models.core.time import rfc3339

GROUPS = ("agent", "model", "provider", "team", "cost_center", "service", "tag:task.type")
"""What the cost per accepted task can be asked by."""


@dataclass(slots=True, frozen=True)
class Outcome:
    """How a task ended, and who says so."""

    id: int
    task: str
    outcome: str
    source: str
    note: str | None
    recorded_at: datetime
    recorded_by: str

    def as_json(self) -> dict[str, Any]:
        """The outcome as shown outside."""
        return {
            "id": str(self.id),
            "task_id": self.task,
            "outcome": self.outcome,
            "source": self.source,
            "note": self.note,
            "recorded_at": rfc3339(self.recorded_at),
            "recorded_by": self.recorded_by,
        }


_COLUMNS = "id, task, outcome, source, note, recorded_at, recorded_by"


def record_outcome(
    connection: Connection, project_id: int, *, task: str, outcome: str, source: str, note: str | None, actor: str
) -> Outcome:
    """Keep how a task ended; the latest word counts, and the same word again adds nothing."""
    # One writer per task at a time: two of them must not both be the latest.
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('outcome ' || :project_id || ' ' || :task, 0))"),
        {"project_id": project_id, "task": task},
    )
    scope = {"project_id": project_id, "task": task}
    live = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM outcomes WHERE project_id = :project_id AND task = :task AND superseded_at IS NULL"
        ),
        scope,
    ).one_or_none()
    if live is not None:
        if (live.outcome, live.source, live.note) == (outcome, source, note):
            return Outcome(*live)
        connection.execute(text("UPDATE outcomes SET superseded_at = now() WHERE id = :id"), {"id": live.id})
    row = connection.execute(
        text(
            "INSERT INTO outcomes (project_id, task, outcome, source, note, recorded_by) "
            f"VALUES (:project_id, :task, :outcome, :source, :note, :actor) RETURNING {_COLUMNS}"
        ),
        {**scope, "outcome": outcome, "source": source, "note": note, "actor": actor},
    ).one()
    return Outcome(*row)


def list_outcomes(
    connection: Connection, projects: Sequence[int], *, task: str | None, before_id: int | None, limit: int
) -> Sequence[Outcome]:
    """Outcomes in force, the latest first."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM outcomes WHERE project_id = ANY(:projects) AND superseded_at IS NULL "
            "AND (CAST(:task AS text) IS NULL OR task = :task) AND (CAST(:before AS bigint) IS NULL OR id < :before) "
            "ORDER BY id DESC LIMIT :limit"
        ),
        {"projects": list(projects), "task": task, "before": before_id, "limit": limit},
    )
    return [Outcome(*row) for row in rows]


@dataclass(slots=True, frozen=True)
class OutcomeRow:
    """Tasks of one group by how they ended, and what all of them cost."""

    key: str | None
    tasks: int
    accepted: int
    rejected: int
    failed: int
    unknown: int
    """Tasks that nobody judged, or judged unknown."""
    effective_cost: Decimal | None
    """Of every task of the group, failed ones included; null where nothing is priced."""
    unpriced_calls: int

    @property
    def cost_per_accepted(self) -> Decimal | None:
        """What an accepted task costs, failures included; null where none was accepted or nothing is priced."""
        if not self.accepted or self.effective_cost is None:
            return None
        return EXACT.divide(self.effective_cost, Decimal(self.accepted)).quantize(QUANTUM)

    def as_json(self, by: str) -> dict[str, Any]:
        """The row as shown outside."""
        return {
            by: self.key,
            "tasks": self.tasks,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "failed": self.failed,
            "unknown": self.unknown,
            "effective_cost": plain(self.effective_cost),
            "cost_per_accepted_task": plain(self.cost_per_accepted),
            "unpriced_calls": self.unpriced_calls,
        }


def outcome_summary(
    connection: Connection, projects: Sequence[int], start: datetime, end: datetime, by: str
) -> tuple[Sequence[OutcomeRow], OutcomeRow]:
    """Cost per accepted task by a dimension, the costliest first, and over everything.

    A task counts in every group that worked on it; its cost stays with the group that caused it. Calls without a task
    are not in it. Whole UTC hours.
    Raises   BadInput for a dimension it cannot be asked by.
    """
    if by not in GROUPS:
        reason = f"{by!r} is not among {', '.join(GROUPS)}"
        raise BadInput(
            f"cost per accepted task cannot be asked by {by!r}: {reason}.", [{"field": "by", "reason": reason}]
        )
    column = f"(u.tags ->> '{by.removeprefix('tag:')}')" if by.startswith("tag:") else f"a.{by}"
    scope = {"projects": list(projects), "start": start, "end": end}
    cells = (
        f"SELECT r.project_id, u.task, {column} AS key, sum(r.effective_cost) AS cost, "
        "sum(r.priced_charges) AS priced, sum(r.unpriced_calls) AS unpriced "
        "FROM unit_cells r JOIN attributions a USING (project_id, attribution_id) "
        "JOIN work_units u ON u.project_id = r.project_id AND u.unit_id = r.unit_id "
        "WHERE r.project_id = ANY(:projects) AND r.period_start >= :start "
        "AND r.period_start < :end AND u.task IS NOT NULL GROUP BY 1, 2, 3 HAVING sum(r.charges) <> 0"
    )
    ended = ", ".join(
        f"count(DISTINCT (c.project_id, c.task)) FILTER (WHERE {test}) AS {name}"
        for name, test in (
            ("accepted", "o.outcome = 'accepted'"),
            ("rejected", "o.outcome = 'rejected'"),
            ("failed", "o.outcome = 'failed'"),
            ("unknown", "coalesce(o.outcome, 'unknown') = 'unknown'"),
        )
    )
    rows = connection.execute(
        text(
            f"WITH cells AS ({cells}) SELECT c.key, grouping(c.key) AS whole, "
            f"count(DISTINCT (c.project_id, c.task)) AS tasks, {ended}, sum(c.cost) AS cost, "
            "coalesce(sum(c.priced), 0) AS priced, coalesce(sum(c.unpriced), 0) AS unpriced "
            "FROM cells c LEFT JOIN outcomes o ON o.project_id = c.project_id AND o.task = c.task "
            "AND o.superseded_at IS NULL GROUP BY GROUPING SETS ((c.key), ()) "
            "ORDER BY whole, cost DESC NULLS LAST, c.key"
        ),
        scope,
    ).all()
    made = [
        OutcomeRow(
            row.key,
            row.tasks,
            row.accepted,
            row.rejected,
            row.failed,
            row.unknown,
            row.cost if row.priced > 0 else None,
            int(row.unpriced),
        )
        for row in rows
    ]
    return made[:-1], made[-1]
