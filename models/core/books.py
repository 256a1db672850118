"""What the pages about prices and settings show: rates, price books, missing prices, keys, people, outcomes."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(slots=True, frozen=True, kw_only=True)
class Rate:
    """A price of one bucket of a model, in USD per million, over a half-open period."""

    provider: str | None
    model: str | None
    bucket: str
    price_per_m: Decimal
    tier: str | None
    context_from: int
    valid_from: datetime | None
    valid_to: datetime | None
    source: str
    is_own: bool
    """Set by the project itself; it stands above the shipped list."""


@dataclass(slots=True, frozen=True, kw_only=True)
class PriceBook:
    """A set of rates recorded together."""

    id: int
    name: str
    source: str
    rates: int
    is_own: bool
    recorded_at: datetime
    recorded_by: str | None
    superseded_at: datetime | None


@dataclass(slots=True, frozen=True, kw_only=True)
class MissingPrice:
    """Calls that have no cost for one reason."""

    provider: str | None
    model: str | None
    reason: str
    calls: int
    tokens: int
    last: datetime


@dataclass(slots=True, frozen=True, kw_only=True)
class Key:
    """An API key as listed: never its secret."""

    id: int
    project: str
    name: str
    scope: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(slots=True, frozen=True, kw_only=True)
class Person:
    """Somebody who may log in."""

    name: str
    role: str
    disabled: bool


@dataclass(slots=True, frozen=True, kw_only=True)
class Outcomes:
    """Tasks of a period by how they ended, and what one that was accepted costs with the others paid for."""

    accepted: int
    rejected: int
    failed: int
    unknown: int
    cost_per_accepted: Decimal | None
