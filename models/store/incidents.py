"""Incidents: what is found opens or updates the row of its dedup key, and owes its channels a delivery."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, DateTime, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from models.core.controls import Channel, Incident, IncidentState, Report
from models.core.errors import Conflict, NotFound
from models.store.controls import list_channels
from models.tables.controls import DeliveryRow, IncidentRow

COLUMNS = tuple(getattr(IncidentRow, field.name) for field in fields(Incident))
CALM = "below every threshold"
"""Who resolves a rolling budget's incident when spend has fallen; going over again is then no news by itself."""


def report(connection: Connection, project_id: int, found: Report, at: datetime, *, quiet: bool = False) -> Incident:
    """Open the incident of this dedup key, or bring the one there is up to date; owe what is due to its channels.

    Safe to repeat and to run side by side: `uq_incidents_dedup_key` allows one row, `uq_deliveries_event` one delivery
    per event and channel. What says nothing new changes nothing, so that it can resolve by itself. Acknowledged and
    snoozed incidents are updated in silence; a resolved one that goes on is opened again, and a quiet one speaks as
    soon as live spans continue it.
    """
    values = _values(found)
    opened = connection.execute(
        insert(IncidentRow)
        .values(
            project_id=project_id,
            dedup_key=found.dedup_key,
            state=IncidentState.OPEN.value,
            quiet=quiet,
            opened_at=at,
            last_seen_at=at,
            **values,
        )
        .on_conflict_do_nothing(constraint="uq_incidents_dedup_key")
        .returning(*COLUMNS)
    ).one_or_none()
    if opened is not None:
        incident = _incident(opened)
        _owe(connection, incident, found, found.events)
        return incident
    return _update(connection, project_id, found, at, values, quiet=quiet)


def _update(
    connection: Connection, project_id: int, found: Report, at: datetime, values: Mapping[str, Any], *, quiet: bool
) -> Incident:
    before = _incident(
        connection.execute(
            select(*COLUMNS)
            .where(IncidentRow.project_id == project_id, IncidentRow.dedup_key == found.dedup_key)
            .with_for_update()
        ).one()
    )
    events = set(found.events)
    changes: dict[str, Any] = {}
    if before.resolved_by != CALM and not _says_more(before, found):
        _owe(connection, before, found, events)
        return before
    # The kind and the agent that opened the incident stay: what folds into it must not rename it.
    changes |= {key: value for key, value in values.items() if key not in ("kind", "agent")}
    changes |= {"last_seen_at": at, "quiet": before.quiet and quiet}
    if before.state is IncidentState.RESOLVED:
        changes |= {"state": "open", "resolved_at": None, "resolved_by": None}
        if before.resolved_by != CALM:
            # What counts no repeats may come and go about its limit: a word an hour at most.
            events.add(f"reopened:{found.repeats or f'{at:%Y-%m-%dT%H}'}")
    elif before.state is IncidentState.SNOOZED and before.snoozed_until is not None and before.snoozed_until <= at:
        changes |= {"state": "open", "snoozed_until": None}
        events.add(f"unsnoozed:{before.snoozed_until.isoformat()}")
    after = _incident(
        connection.execute(
            update(IncidentRow).where(IncidentRow.id == before.id).values(**changes).returning(*COLUMNS)
        ).one()
    )
    _owe(connection, after, found, events)
    return after


def _says_more(before: Incident, found: Report) -> bool:
    return (before.repeats or 0) < (found.repeats or 0) or before.cost_so_far != found.cost_so_far


def _values(found: Report) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "severity": found.severity,
        "title": found.title,
        "agent": found.agent,
        "team": found.team,
        "session": found.session,
        "trace_id": found.trace_id,
        "budget_id": found.budget_id,
        "repeats": found.repeats,
        "cost_so_far": found.cost_so_far,
        "cost_per_minute": found.cost_per_minute,
        "waste": found.waste,
        "evidence": dict(found.evidence),
    }


def _owe(connection: Connection, incident: Incident, found: Report, events: Iterable[str]) -> None:
    """Write a pending delivery per channel and event, unless the incident is quiet or somebody has taken it."""
    speaks = incident.state is IncidentState.OPEN or (
        # Whoever took the word about 50 % has not yet heard of 100 %.
        incident.kind == "budget" and incident.state is IncidentState.ACKNOWLEDGED
    )
    if incident.quiet or not speaks:
        return
    dimensions = {**found.dimensions, "agent": incident.agent, "team": incident.team, "session": incident.session}
    owed = [
        {"project_id": incident.project_id, "incident_id": incident.id, "channel_id": channel.id, "event": event}
        for channel in list_channels(connection, [incident.project_id])
        if channel.id in found.channels or (not found.channels and _takes(channel, dimensions))
        for event in sorted(events)
    ]
    if owed:
        connection.execute(insert(DeliveryRow).on_conflict_do_nothing(constraint="uq_deliveries_event"), owed)


def _takes(channel: Channel, dimensions: Mapping[str, str | None]) -> bool:
    """Whether a channel's filters let an incident through: values of one dimension are alternatives."""
    wanted: dict[str, set[str | None]] = {}
    for one in channel.filters:
        dimension, _, value = one.partition(":")
        wanted.setdefault(dimension, set()).add(value or None)
    return all(dimensions.get(dimension) in values for dimension, values in wanted.items())


def resolve_silent(connection: Connection, at: datetime, after: timedelta) -> list[Incident]:
    """Resolve incidents that have not been seen for a while, loops only; tell the channels that were told of them."""
    rows = connection.execute(
        update(IncidentRow)
        .where(
            IncidentRow.state != "resolved",
            IncidentRow.kind != "budget",
            IncidentRow.last_seen_at <= at - after,
        )
        .values(state="resolved", resolved_at=at, resolved_by="silence", snoozed_until=None)
        .returning(*COLUMNS)
    )
    resolved = [_incident(row) for row in rows]
    for incident in resolved:
        _owe_resolution(connection, incident, at)
    return resolved


def resolve_ended_budgets(connection: Connection, at: datetime) -> int:
    """Resolve incidents of budgets whose period is over; returns how many. Nobody is told: the calendar is known."""
    over_at = func.coalesce(IncidentRow.evidence["over_at"].astext, IncidentRow.evidence["period_end"].astext)
    ended = connection.execute(
        update(IncidentRow)
        .where(
            IncidentRow.state != "resolved",
            IncidentRow.kind == "budget",
            over_at.cast(DateTime(timezone=True)) <= at,
        )
        .values(state="resolved", resolved_at=at, resolved_by="end of period", snoozed_until=None)
    )
    return ended.rowcount


def resolve_budgets(connection: Connection, budget_ids: Sequence[int], at: datetime, by: str) -> int:
    """Resolve the incidents of these budgets, for a reason; returns how many. Nobody is told: spend that swings about
    a threshold must not speak each time, and who changes a budget knows. What is merely below its thresholds for now
    (CALM) stays acknowledged or snoozed."""
    live = IncidentRow.state == "open" if by == CALM else IncidentRow.state != "resolved"
    resolved = connection.execute(
        update(IncidentRow)
        .where(live, IncidentRow.kind == "budget", IncidentRow.budget_id.in_(list(budget_ids)))
        .values(state="resolved", resolved_at=at, resolved_by=by, snoozed_until=None)
    )
    return resolved.rowcount


def _owe_resolution(connection: Connection, incident: Incident, at: datetime) -> None:
    """Owe the end to whoever was told of something since the last end."""
    ends = func.max(DeliveryRow.id).filter(DeliveryRow.event.startswith("resolved:"))
    told = (
        select(DeliveryRow.channel_id)
        .where(DeliveryRow.incident_id == incident.id)
        .group_by(DeliveryRow.channel_id)
        .having(func.max(DeliveryRow.id) > func.coalesce(ends, 0))
    )
    owed = [
        {
            "project_id": incident.project_id,
            "incident_id": incident.id,
            "channel_id": channel,
            "event": f"resolved:{at.isoformat()}",
        }
        for channel in connection.execute(told).scalars()
    ]
    if owed:
        connection.execute(insert(DeliveryRow).on_conflict_do_nothing(constraint="uq_deliveries_event"), owed)


def acknowledge(
    connection: Connection, project_ids: Sequence[int], incident_id: int, actor: str, at: datetime
) -> Incident:
    """Somebody has it: no further word about it.

    Raises   NotFound; Conflict for a resolved one.
    """
    return _move(
        connection,
        project_ids,
        incident_id,
        {"state": "acknowledged", "acknowledged_at": at, "acknowledged_by": actor, "snoozed_until": None},
    )


def snooze(connection: Connection, project_ids: Sequence[int], incident_id: int, until: datetime) -> Incident:
    """Quiet until a moment; if it still goes on then, it speaks again.

    Raises   NotFound; Conflict for a resolved one.
    """
    return _move(connection, project_ids, incident_id, {"state": "snoozed", "snoozed_until": until})


def resolve(connection: Connection, project_ids: Sequence[int], incident_id: int, actor: str, at: datetime) -> Incident:
    """It is over, a person says. What was told of it is told that.

    Raises   NotFound; Conflict for one that is resolved already.
    """
    changes = {"state": "resolved", "resolved_at": at, "resolved_by": actor, "snoozed_until": None}
    incident = _move(connection, project_ids, incident_id, changes)
    _owe_resolution(connection, incident, at)
    return incident


def _move(connection: Connection, project_ids: Sequence[int], incident_id: int, changes: Mapping[str, Any]) -> Incident:
    before = incident_by_id(connection, project_ids, incident_id, lock=True)
    if before.state is IncidentState.RESOLVED:
        raise Conflict(
            f"incident {incident_id} was resolved by {before.resolved_by} at {before.resolved_at}; "
            "it opens again by itself if it goes on."
        )
    statement = update(IncidentRow).where(IncidentRow.id == incident_id).values(**changes).returning(*COLUMNS)
    return _incident(connection.execute(statement).one())


def incident_by_id(
    connection: Connection, project_ids: Sequence[int], incident_id: int, *, lock: bool = False
) -> Incident:
    """One incident of these projects.

    Raises   NotFound.
    """
    statement = select(*COLUMNS).where(IncidentRow.id == incident_id, IncidentRow.project_id.in_(list(project_ids)))
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise NotFound(f"there is no incident {incident_id}. `GET /api/v1/incidents` lists them.")
    return _incident(row)


def list_incidents(
    connection: Connection,
    project_ids: Sequence[int],
    *,
    state: str | None = None,
    trace_id: bytes | None = None,
    limit: int = 100,
    before_id: int | None = None,
) -> list[Incident]:
    """Incidents, the newest first; pages go on below `before_id`."""
    statement = select(*COLUMNS).where(IncidentRow.project_id.in_(list(project_ids)))
    if state is not None:
        statement = statement.where(IncidentRow.state == state)
    if trace_id is not None:
        statement = statement.where(IncidentRow.trace_id == trace_id)
    if before_id is not None:
        statement = statement.where(IncidentRow.id < before_id)
    return [_incident(row) for row in connection.execute(statement.order_by(IncidentRow.id.desc()).limit(limit))]


def _incident(row: Row) -> Incident:
    kept = dict(row._mapping)
    kept["state"] = IncidentState(kept["state"])
    if kept["trace_id"] is not None:
        kept["trace_id"] = bytes(kept["trace_id"])
    return Incident(**kept)
