"""Guardrails as values: channels, budgets, and incidents as they are shown and sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from models.core.money import plain
from models.core.time import rfc3339


class ChannelKind(StrEnum):
    """How an alert travels."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    EMAIL = "email"


class IncidentState(StrEnum):
    """What has become of an incident."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


@dataclass(slots=True, frozen=True, kw_only=True)
class Channel:
    """Where alerts go. The secret signs webhooks and is never shown."""

    id: int
    project_id: int
    kind: ChannelKind
    name: str
    url: str
    secret: str | None = None
    filters: Sequence[str] = ()
    created_at: datetime

    def as_json(self) -> dict[str, Any]:
        """The channel as shown: whether it has a secret, never which."""
        return {
            "id": str(self.id),
            "kind": self.kind.value,
            "name": self.name,
            "url": self.url,
            "has_secret": self.secret is not None,
            "filter": list(self.filters),
            "created_at": rfc3339(self.created_at),
        }


@dataclass(slots=True, frozen=True, kw_only=True)
class Budget:
    """An amount for a period over what a filter selects; an empty filter selects everything."""

    id: int
    project_id: int
    name: str
    filters: Sequence[str]
    period: str
    rolling_days: int | None
    amount: Decimal
    thresholds: Sequence[int]
    channels: Sequence[int]
    mode: str
    owner: str | None
    created_at: datetime
    revision: int
    """Counts the changes of what it measures: its amount, filter and period."""

    def as_json(self) -> dict[str, Any]:
        """The budget as it was asked for."""
        return {
            "id": str(self.id),
            "name": self.name,
            "filter": list(self.filters),
            "period": self.period,
            "rolling_days": self.rolling_days,
            "amount": plain(self.amount),
            "thresholds": list(self.thresholds),
            "channels": [str(channel) for channel in self.channels],
            "mode": self.mode,
            "owner": self.owner,
            "created_at": rfc3339(self.created_at),
        }


@dataclass(slots=True, frozen=True, kw_only=True)
class Report:
    """What a detector or a budget says: the content of an incident, before anybody has dealt with it."""

    dedup_key: str
    kind: str
    title: str
    severity: str
    repeats: int | None
    cost_so_far: Decimal | None
    cost_per_minute: Decimal | None
    waste: Decimal | None = None
    agent: str | None = None
    team: str | None = None
    session: str | None = None
    trace_id: bytes | None = None
    budget_id: int | None = None
    dimensions: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    """What channel filters are held against, besides agent and team."""
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    events: Sequence[str] = ("opened",)
    """What an incident owes its channels, such as `threshold:80`: each event once."""
    channels: Sequence[int] = ()
    """Channels that are told whatever their filter."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Incident:
    """An incident as kept."""

    id: int
    project_id: int
    dedup_key: str
    kind: str
    state: IncidentState
    severity: str
    title: str
    agent: str | None
    team: str | None
    session: str | None
    trace_id: bytes | None
    budget_id: int | None
    repeats: int | None
    cost_so_far: Decimal | None
    cost_per_minute: Decimal | None
    waste: Decimal | None
    evidence: Mapping[str, Any]
    quiet: bool
    opened_at: datetime
    last_seen_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    snoozed_until: datetime | None
    resolved_at: datetime | None
    resolved_by: str | None

    def as_json(self) -> dict[str, Any]:
        """The incident as the API lists it and as webhooks carry it."""
        hour = None if self.cost_per_minute is None else plain(self.cost_per_minute * 60)
        return {
            "id": str(self.id),
            "kind": self.kind,
            "state": self.state.value,
            "severity": self.severity,
            "title": self.title,
            "agent": self.agent,
            "team": self.team,
            "session": self.session,
            "trace_id": self.trace_id.hex() if self.trace_id else None,
            "budget_id": None if self.budget_id is None else str(self.budget_id),
            "repeats": self.repeats,
            "cost_so_far": plain(self.cost_so_far),
            "cost_per_minute": plain(self.cost_per_minute),
            "projected_cost_per_hour": hour,
            "waste": plain(self.waste),
            "evidence": dict(self.evidence),
            "quiet": self.quiet,
            "opened_at": rfc3339(self.opened_at),
            "last_seen_at": rfc3339(self.last_seen_at),
            "acknowledged_at": _moment(self.acknowledged_at),
            "acknowledged_by": self.acknowledged_by,
            "snoozed_until": _moment(self.snoozed_until),
            "resolved_at": _moment(self.resolved_at),
            "resolved_by": self.resolved_by,
            "dedup_key": self.dedup_key,
        }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
