"""Deliveries owed to channels: claimed with a lease, sent outside of any transaction, retried, buried at last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from models.core.controls import Channel, Incident
from models.core.errors import NotFound
from models.store.controls import list_channels
from models.store.incidents import incident_by_id
from models.tables.controls import DeliveryRow

LEASE = timedelta(seconds=30)
"""How long a claimed delivery is left to its worker; longer than a send may take, so that two never send it at once."""
MOST_ATTEMPTS = 20
FIRST_RETRY = timedelta(seconds=1)
LONGEST_RETRY = timedelta(minutes=15)


@dataclass(slots=True, frozen=True, kw_only=True)
class Due:
    """A delivery in hand."""

    id: int
    event: str
    attempts: int
    """Attempts with this one."""
    incident: Incident
    channel: Channel | None
    """None where the channel was removed in the meantime."""


def claim_due(connection: Connection, at: datetime, limit: int) -> list[Due]:
    """Take deliveries that are due. A worker that dies leaves them to the next one when its lease ends."""
    due = (
        select(DeliveryRow.id)
        .where(DeliveryRow.state == "pending", DeliveryRow.next_attempt_at <= at)
        .order_by(DeliveryRow.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id.in_(due))
        .values(next_attempt_at=at + LEASE, attempts=DeliveryRow.attempts + 1)
        .returning(
            DeliveryRow.id,
            DeliveryRow.event,
            DeliveryRow.attempts,
            DeliveryRow.project_id,
            DeliveryRow.incident_id,
            DeliveryRow.channel_id,
        )
    ).all()
    channels = {channel.id: channel for channel in list_channels(connection, {row.project_id for row in rows})}
    return [
        Due(
            id=row.id,
            event=row.event,
            attempts=row.attempts,
            incident=incident_by_id(connection, [row.project_id], row.incident_id),
            channel=channels.get(row.channel_id),
        )
        for row in rows
    ]


def delivered(connection: Connection, delivery_id: int, at: datetime) -> None:
    """The channel has it."""
    values = {"state": "delivered", "delivered_at": at, "last_error": None}
    connection.execute(update(DeliveryRow).where(DeliveryRow.id == delivery_id).values(**values))


def failed(connection: Connection, due: Due, error: str, at: datetime, jitter: float, *, final: bool = False) -> bool:
    """Try again later, twice as late each time; after the last attempt it is dead. Returns whether it is.

    Units    `jitter` between 0 and 1 spreads the attempts over the upper half of the wait.
    """
    dead = final or due.attempts >= MOST_ATTEMPTS
    wait = min(FIRST_RETRY * 2 ** (due.attempts - 1), LONGEST_RETRY) * (0.5 + jitter / 2)
    values = {"state": "dead" if dead else "pending", "next_attempt_at": at + wait, "last_error": error[:500]}
    connection.execute(update(DeliveryRow).where(DeliveryRow.id == due.id).values(**values))
    return dead


@dataclass(slots=True, frozen=True, kw_only=True)
class DeliveryStatus:
    """A delivery as listed."""

    id: int
    incident_id: int
    channel_id: int
    event: str
    state: str
    attempts: int
    last_error: str | None
    created_at: datetime
    next_attempt_at: datetime
    delivered_at: datetime | None


def list_deliveries(
    connection: Connection, project_ids: Sequence[int], *, state: str | None = None, limit: int = 100
) -> list[DeliveryStatus]:
    """Deliveries, the newest first; `state="dead"` is the dead-letter list."""
    columns = [getattr(DeliveryRow, name) for name in DeliveryStatus.__dataclass_fields__]
    statement = select(*columns).where(DeliveryRow.project_id.in_(list(project_ids)))
    if state is not None:
        statement = statement.where(DeliveryRow.state == state)
    rows = connection.execute(statement.order_by(DeliveryRow.id.desc()).limit(limit))
    return [DeliveryStatus(**row._mapping) for row in rows]


def send_again(connection: Connection, project_ids: Sequence[int], delivery_id: int, at: datetime) -> None:
    """Give a dead delivery a new start.

    Raises   NotFound where there is no dead delivery of this id.
    """
    statement = (
        update(DeliveryRow)
        .where(
            DeliveryRow.id == delivery_id,
            DeliveryRow.project_id.in_(list(project_ids)),
            DeliveryRow.state == "dead",
        )
        .values(state="pending", attempts=0, next_attempt_at=at)
    )
    if not connection.execute(statement).rowcount:
        raise NotFound(f"there is no dead delivery {delivery_id}. `GET /api/v1/deliveries?state=dead` lists them.")
