"""Answers about budgets and incidents: the shapes that the pages draw and the app fills."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from models.core.controls import Budget, Channel, Incident


@dataclass(slots=True, frozen=True, kw_only=True)
class Standing:
    """A budget and how it stands now."""

    budget: Budget
    start: datetime
    end: datetime
    spent: Decimal
    percent: Decimal
    crossed: Sequence[int]
    """Thresholds in percent that are reached."""
    forecast: Decimal | None
    """Spend of the whole period; None where the history is too short to say."""
    will_exceed: bool | None


@dataclass(slots=True, frozen=True, kw_only=True)
class Ahead:
    """Where a period will end, with its 80 % interval. Estimates, rounded to cents."""

    middle: Decimal
    low: Decimal
    high: Decimal


@dataclass(slots=True, frozen=True, kw_only=True)
class Burndown:
    """What was spent of a budget by the end of each day, and what is expected."""

    days: Sequence[tuple[date, Decimal]]
    """UTC days so far with the spend from the start of the period to their end, or to now."""
    first: date
    last: date
    """First and last day of the period."""
    ahead: Sequence[tuple[date, Decimal]]
    """Expected spend by the end of each day to come; empty without a forecast."""
    end: Ahead | None
    crosses: date | None
    """The day on which the expected spend passes the amount."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Repeat:
    """One step of a loop: what came of it and what it cost. Hashes, never contents."""

    number: int
    at: datetime
    tool: str | None
    arguments: str | None
    """Beginning of the keyed hash of the arguments; None where the instrumentation does not tell them."""
    result: str | None
    failed: bool
    context: int | None
    """Input tokens of the model call that asked for the step."""
    cost: Decimal | None
    """Cost of the model calls since the step before; None where none of them is priced."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Burn:
    """Money per minute in one slice of time."""

    start: datetime
    seconds: float
    per_minute: Decimal


@dataclass(slots=True, frozen=True, kw_only=True)
class Delivery:
    """What went to a channel."""

    id: int
    incident_id: int
    channel_id: int
    event: str
    state: str
    attempts: int
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


@dataclass(slots=True, frozen=True, kw_only=True)
class IncidentFile:
    """An incident with everything that is known about it."""

    incident: Incident
    deliveries: Sequence[Delivery] = field(default_factory=list[Delivery])
    channels: Sequence[Channel] = field(default_factory=list[Channel])
    repeats: Sequence[Repeat] = field(default_factory=list[Repeat])
    burn: Sequence[Burn] = field(default_factory=list[Burn])
    trace_cost: Decimal | None = None
    task: str | None = None
    before: Sequence[Incident] = field(default_factory=list[Incident])
    """Incidents of the same kind and agent in the thirty days before."""
