"""The audit trail: appending to it, reading it, and checking its chain of hashes. The caller owns the transaction."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, or_, select, text

from models.core.money import plain
from models.core.time import rfc3339
from models.tables.audit import AuditEventRow
from models.tables.projects import ProjectRow

FIRST = bytes(32)
CHAIN_LOCK = 0x6A65766F_61756474
"""Advisory lock under which the chain grows: two events must not follow the same one."""


@dataclass(slots=True, frozen=True, kw_only=True)
class AuditEvent:
    """One event as kept; `project` is None for what belongs to the whole instance, such as users."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    project: str | None
    before: Any
    after: Any
    reason: str | None

    def as_json(self) -> dict[str, Any]:
        """The event as shown outside."""
        return {name: getattr(self, name) for name in self.__slots__} | {"at": rfc3339(self.at)}


def append_audit(
    connection: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    at: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
    project_id: int | None = None,
) -> int:
    """Append one event; returns its id. Money and times in `before` and `after` are kept as text."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHAIN_LOCK})
    last = connection.execute(select(AuditEventRow.digest).order_by(AuditEventRow.id.desc()).limit(1)).scalar()
    event = {
        "project_id": project_id,
        "at": at,
        "actor": actor,
        "action": action,
        "subject": subject,
        "before": _storable(before),
        "after": _storable(after),
        "reason": reason,
        "previous": last or FIRST,
    }
    statement = insert(AuditEventRow).values(**event, digest=_digest(event)).returning(AuditEventRow.id)
    return connection.execute(statement).scalar_one()


def list_events(
    connection: Connection,
    projects: Sequence[int],
    *,
    with_instance: bool,
    subject: str | None = None,
    action: str | None = None,
    actor: str | None = None,
    before_id: int | None = None,
    limit: int,
) -> Sequence[AuditEvent]:
    """Events of some projects, and of the instance itself where asked for, the newest first.

    Shapes   `before_id` is the id of the last event of the page before.
    """
    of_projects = AuditEventRow.project_id.in_(projects)
    wanted = ((AuditEventRow.subject, subject), (AuditEventRow.action, action), (AuditEventRow.actor, actor))
    names = [name for name in AuditEvent.__slots__ if name != "project"]
    statement = (
        select(*(getattr(AuditEventRow, name) for name in names), ProjectRow.name.label("project"))
        .outerjoin(ProjectRow, ProjectRow.id == AuditEventRow.project_id)
        .where(
            or_(of_projects, AuditEventRow.project_id.is_(None)) if with_instance else of_projects,
            *(column == value for column, value in wanted if value is not None),
        )
        .order_by(AuditEventRow.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        statement = statement.where(AuditEventRow.id < before_id)
    return [AuditEvent(**row._mapping) for row in connection.execute(statement)]


def first_broken_event(connection: Connection) -> int | None:
    """Id of the first event that does not follow from the one before it, or None where the chain is whole."""
    previous = FIRST
    for row in connection.execute(select(AuditEventRow.__table__).order_by(AuditEventRow.id)).mappings():
        if row["previous"] != previous or _digest(dict(row)) != row["digest"]:
            return row["id"]
        previous = row["digest"]
    return None


def _digest(event: Mapping[str, Any]) -> bytes:
    told = {name: event[name] for name in ("project_id", "actor", "action", "subject", "before", "after", "reason")}
    told["at"] = rfc3339(event["at"])
    return hashlib.sha256(event["previous"] + json.dumps(told, sort_keys=True).encode()).digest()


def _storable(value: Any) -> Any:
    """JSON that comes back from the database as it went in; a float would not."""
    if isinstance(value, Mapping):
        return {str(key): _storable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(part) for part in value]
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
