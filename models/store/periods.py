"""Billing periods: a month is open until it is closed with a snapshot, and reopened with a reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import Connection, text

from models.core.errors import BadInput, Conflict
from models.core.money import plain
from models.core.time import rfc3339
from models.core.vocabulary import BUCKETS
from models.store.audit import append_audit
from models.store.bulk import driver
from models.store.closed_months import hold_ledger
from models.store.interning import ATTRIBUTION
from models.store.tag_rules import live_rules, rule_json

SOFT_CLOSED, CLOSED, REOPENED = "soft_closed", "closed", "reopened"


@dataclass(slots=True, frozen=True)
class Snapshot:
    """What a month was when it closed."""

    number: int
    sha256: str
    charges: int
    unpriced_charges: int
    effective_cost: Decimal
    taken_at: datetime
    taken_by: str
    reason: str | None

    def as_json(self) -> dict[str, Any]:
        """The snapshot as shown outside."""
        return {
            "number": self.number,
            "sha256": self.sha256,
            "charges": self.charges,
            "unpriced_charges": self.unpriced_charges,
            "effective_cost": plain(self.effective_cost),
            "taken_at": rfc3339(self.taken_at),
            "taken_by": self.taken_by,
            "reason": self.reason,
        }


@dataclass(slots=True, frozen=True)
class Period:
    """The state of one month of one project."""

    project_id: int
    project: str
    month: date
    state: str
    changed_at: datetime | None
    changed_by: str | None
    reason: str | None
    snapshots: Sequence[Snapshot]

    def as_json(self) -> dict[str, Any]:
        """The period as shown outside; the last snapshot first."""
        return {
            "period": f"{self.month:%Y-%m}",
            "project": self.project,
            "state": self.state,
            "changed_at": None if self.changed_at is None else rfc3339(self.changed_at),
            "changed_by": self.changed_by,
            "reason": self.reason,
            "snapshots": [each.as_json() for each in self.snapshots],
        }


def month_named(text_: str) -> date:
    """The first day of a month written `YYYY-MM`.

    Raises   BadInput.
    """
    try:
        found = datetime.strptime(text_, "%Y-%m").date()  # noqa: DTZ007 a month has no zone
    except ValueError:
        found = None
    if found is None or f"{found:%Y-%m}" != text_:
        reason = f"{text_!r} is no period; write the month as YYYY-MM, such as 2026-10"
        raise BadInput(reason + ".", [{"field": "period", "reason": reason}])
    return found


def next_month(month: date) -> date:
    """The first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def list_periods(connection: Connection, projects: Sequence[int], month: date | None = None) -> Sequence[Period]:
    """Months with charges or with a state, the newest first; of one month every project named."""
    rows = connection.execute(
        text(
            "WITH months AS ("
            "SELECT project_id, date_trunc('month', period_start, 'UTC')::date AS month FROM rollup_calls "
            "WHERE project_id = ANY(:projects) AND grain = 'day' GROUP BY 1, 2 "
            "UNION SELECT project_id, month FROM periods WHERE project_id = ANY(:projects) "
            "UNION SELECT id, CAST(:month AS date) FROM projects WHERE id = ANY(:projects) "
            "AND CAST(:month AS date) IS NOT NULL) "
            "SELECT m.project_id, j.name, m.month, coalesce(p.state, 'open') AS state, p.changed_at, p.changed_by, "
            "p.reason FROM months m JOIN projects j ON j.id = m.project_id "
            "LEFT JOIN periods p ON p.project_id = m.project_id AND p.month = m.month "
            "WHERE CAST(:month AS date) IS NULL OR m.month = :month ORDER BY m.month DESC, m.project_id"
        ),
        {"projects": list(projects), "month": month},
    ).all()
    snapshots: dict[tuple[int, date], list[Snapshot]] = {}
    kept = connection.execute(
        text(
            "SELECT project_id, month, number, sha256, charges, unpriced_charges, effective_cost, taken_at, taken_by, "
            "reason FROM period_snapshots WHERE project_id = ANY(:projects) ORDER BY number DESC"
        ),
        {"projects": list(projects)},
    )
    for row in kept:
        snapshots.setdefault((row.project_id, row.month), []).append(
            Snapshot(
                row.number,
                bytes(row.sha256).hex(),
                row.charges,
                row.unpriced_charges,
                row.effective_cost,
                row.taken_at,
                row.taken_by,
                row.reason,
            )
        )
    return [
        Period(
            row.project_id,
            row.name,
            row.month,
            row.state,
            row.changed_at,
            row.changed_by,
            row.reason,
            snapshots.get((row.project_id, row.month), []),
        )
        for row in rows
    ]


def close_period(
    connection: Connection,
    project_id: int,
    month: date,
    *,
    actor: str,
    at: datetime,
    checks: Sequence[Mapping[str, Any]],
    reason: str | None = None,
) -> Snapshot:
    """Close a month: take its snapshot and have the database refuse changes from here on.

    The caller holds the ledger (`hold_ledger`) since before it made the checks, and has decided about them.
    Raises   Conflict where it is closed already.
    """
    before = _state(connection, project_id, month)
    if before == CLOSED:
        raise Conflict(f"{month:%Y-%m} is closed already. Late usage becomes a correction in the open month.")
    digest, facts = snapshot_of(connection, project_id, month)
    number: int = connection.execute(
        text(
            "SELECT coalesce(max(number), 0) + 1 FROM period_snapshots "
            "WHERE project_id = :project_id AND month = :month"
        ),
        {"project_id": project_id, "month": month},
    ).scalar_one()
    rules = [rule_json(rule) for rule in live_rules(connection, project_id)]
    connection.execute(
        text(
            "INSERT INTO period_snapshots (project_id, month, number, sha256, charges, unpriced_charges, list_cost, "
            "billed_cost, effective_cost, rules, checks, taken_at, taken_by, reason) VALUES (:project_id, :month, "
            ":number, :sha256, :charges, :unpriced, :list_cost, :billed_cost, :effective_cost, CAST(:rules AS jsonb), "
            "CAST(:checks AS jsonb), :at, :actor, :reason)"
        ),
        {
            "project_id": project_id,
            "month": month,
            "number": number,
            "sha256": digest,
            **facts,
            "rules": orjson.dumps(rules).decode(),
            "checks": orjson.dumps(list(checks), default=str).decode(),
            "at": at,
            "actor": actor,
            "reason": reason,
        },
    )
    taken = Snapshot(
        number, digest.hex(), facts["charges"], facts["unpriced"], facts["effective_cost"], at, actor, reason
    )
    _change(connection, project_id, month, before, CLOSED, actor, at, reason, {"snapshot": taken.as_json()})
    return taken


def soft_close_period(
    connection: Connection, project_id: int, month: date, *, actor: str, at: datetime, reason: str | None = None
) -> None:
    """Mark a month as under review; nothing is refused yet. Raises Conflict if it is closed."""
    hold_ledger(connection, project_id)
    before = _state(connection, project_id, month)
    if before == CLOSED:
        raise Conflict(f"{month:%Y-%m} is closed; reopen it first, with a reason.")
    _change(connection, project_id, month, before, SOFT_CLOSED, actor, at, reason, {})


def reopen_period(
    connection: Connection, project_id: int, month: date, *, actor: str, at: datetime, reason: str
) -> None:
    """Open a closed month again; its snapshots stay. Raises BadInput without a reason, Conflict where it is open."""
    if not reason.strip():
        raise BadInput(
            "reopening needs a reason: it stands in the audit trail beside your name.",
            [{"field": "reason", "reason": "is empty"}],
        )
    hold_ledger(connection, project_id)
    before = _state(connection, project_id, month)
    if before not in (CLOSED, SOFT_CLOSED):
        raise Conflict(f"{month:%Y-%m} is {before}; only a closed month can be reopened.")
    _change(connection, project_id, month, before, REOPENED, actor, at, reason, {})


def snapshot_of(connection: Connection, project_id: int, month: date) -> tuple[bytes, dict[str, Any]]:
    """SHA-256 over the canonical lines of a month's live charges, and their counts and sums.

    A line holds what a charge says and where it belongs, in a fixed order of columns and rows; database ids and the
    moment of recording are not in it. The same charges give the same hash, whenever and in whatever order recorded.
    """
    scope = {"project_id": project_id, "month": month}
    digest = sha256()
    told = ", ".join(
        (
            "encode(c.origin_id, 'hex')",
            "encode(c.span_id, 'hex')",
            "c.charge_class",
            "c.correction_part",
            "c.end_at AT TIME ZONE 'UTC'",
            "c.usage_at AT TIME ZONE 'UTC'",
            "c.call_count",
            "c.is_error",
            *(f"a.{name}" for name in ATTRIBUTION),
            "c.unit_id",
            "c.price_status",
            "c.unpriced_reason",
            *(f"c.{name}" for name in ("list_cost", "billed_cost", "effective_cost", "uncached_cost")),
            "c.unpriced_tokens",
            *(f"c.{bucket.value}" for bucket in BUCKETS),
            *(f"c.line_{name}" for name in ("buckets", "quantities", "prices_per_m", "list_costs", "billed_costs")),
            "c.line_effective_costs",
        )
    )
    order = 'c.origin_id, c.span_id, c.charge_class COLLATE "C", c.correction_part COLLATE "C", c.usage_at, c.digest'
    with driver(connection).cursor() as cursor:
        copying = cursor.copy(
            f"COPY (SELECT {told} FROM charges c JOIN attributions a USING (project_id, attribution_id) "
            "WHERE c.project_id = %(project_id)s AND c.month = %(month)s AND c.superseded_at IS NULL "
            f"ORDER BY {order}) TO STDOUT",
            scope,
        )
        with copying as copy:
            for block in copy:
                digest.update(block)
    row = connection.execute(
        text(
            "SELECT count(*) AS charges, count(*) FILTER (WHERE price_status = 'unpriced') AS unpriced, "
            "coalesce(sum(list_cost), 0) AS list_cost, coalesce(sum(billed_cost), 0) AS billed_cost, "
            "coalesce(sum(effective_cost), 0) AS effective_cost FROM charges "
            "WHERE project_id = :project_id AND month = :month AND superseded_at IS NULL"
        ),
        scope,
    ).one()
    return digest.digest(), dict(row._mapping)


def _state(connection: Connection, project_id: int, month: date) -> str:
    return (
        connection.execute(
            text("SELECT state FROM periods WHERE project_id = :project_id AND month = :month"),
            {"project_id": project_id, "month": month},
        ).scalar()
        or "open"
    )


def _change(
    connection: Connection,
    project_id: int,
    month: date,
    before: str,
    state: str,
    actor: str,
    at: datetime,
    reason: str | None,
    more: Mapping[str, Any],
) -> None:
    connection.execute(
        text(
            "INSERT INTO periods (project_id, month, state, changed_at, changed_by, reason) "
            "VALUES (:project_id, :month, :state, :at, :actor, :reason) ON CONFLICT (project_id, month) "
            "DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at, "
            "changed_by = excluded.changed_by, reason = excluded.reason"
        ),
        {"project_id": project_id, "month": month, "state": state, "at": at, "actor": actor, "reason": reason},
    )
    append_audit(
        connection,
        actor=actor,
        action=f"period.{state}",
        subject=f"period:{month:%Y-%m}",
        at=at,
        before={"state": before},
        after={"state": state, **more},
        reason=reason,
        project_id=project_id,
    )
