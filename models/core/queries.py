"""Questions and answers about costs: the one shape that API, pages and store share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.core.vocabulary import CostBasis, Granularity

TRACES_AMONG = 100_000
"""Among so many of the newest calls of a period its costliest traces are looked for: no sums are kept by trace."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CostQuery:
    """What `/api/v1/costs` asks. Periods are half-open; a call belongs to the moment it ends."""

    projects: tuple[int, ...]
    start: datetime
    end: datetime
    group_by: tuple[str, ...] = ()
    granularity: Granularity = Granularity.NONE
    filters: tuple[tuple[str, str | None], ...] = ()
    """(dimension, value) pairs; values of one dimension are alternatives, dimensions narrow. None: no value."""
    basis: CostBasis = CostBasis.EFFECTIVE
    limit: int = 1000
    cursor: str | None = None


@dataclass(slots=True, kw_only=True)
class CostRow:
    """Sums of one group. Null costs mean that nothing of the group is priced."""

    keys: dict[str, str | None] = field(default_factory=dict[str, str | None])
    time: datetime | None = None
    calls: int | None = None
    errors: int | None = None
    tasks: int | None = None
    tokens: dict[str, int] = field(default_factory=dict[str, int])
    list_cost: Decimal | None = None
    billed_cost: Decimal | None = None
    effective_cost: Decimal | None = None
    cache_savings: Decimal | None = None
    unpriced_calls: int | None = 0
    unpriced_tokens: int = 0

    def cost(self, basis: CostBasis) -> Decimal | None:
        """The cost on the basis asked for."""
        return getattr(self, f"{basis.value}_cost")


@dataclass(slots=True, kw_only=True)
class Costs:
    """The answer to a CostQuery: one page of rows, and the totals of all pages."""

    query: CostQuery
    rows: Sequence[CostRow]
    totals: CostRow
    currency: str = "USD"
    priced_through: datetime | None = None
    next_cursor: str | None = None


@dataclass(slots=True, kw_only=True)
class CallQuery:
    """What `/api/v1/calls` asks."""

    projects: tuple[int, ...]
    start: datetime | None = None
    end: datetime | None = None
    trace_id: bytes | None = None
    session: str | None = None
    agent: str | None = None
    unpriced: bool = False
    """Only calls that were looked at and have no price."""
    filters: tuple[tuple[str, str | None], ...] = ()
    limit: int = 100
    cursor: str | None = None


@dataclass(slots=True, kw_only=True)
class CallPage:
    """Calls as JSON-ready mappings (the contract's call, with `charge` inside), newest first."""

    calls: Sequence[Mapping[str, Any]]
    next_cursor: str | None = None


@dataclass(slots=True, kw_only=True)
class SpanNode:
    """One span of a trace with what it cost itself and with all below it."""

    span_id: str
    parent_span_id: str | None
    depth: int
    name: str
    signal: str
    start: datetime
    end: datetime
    status: str
    instrumentation: str
    agent: str | None
    role: str
    """`call`, `rollup`, `duplicate` or `span`."""
    call: Mapping[str, Any] | None
    """The call this span is, as in CallPage, or None."""
    self_cost: Decimal | None
    inclusive_cost: Decimal | None


@dataclass(slots=True, kw_only=True)
class TraceTree:
    """A trace as a depth-first list of spans: parents come before their children, siblings by start."""

    project: str
    trace_id: str
    start: datetime
    end: datetime
    spans: Sequence[SpanNode]
    calls: int
    effective_cost: Decimal | None
    unpriced_calls: int
    agents: Sequence[str] = ()
    """Who called, by name; only where traces are listed."""


@dataclass(slots=True, kw_only=True)
class Status:
    """How far the road from bytes to figures has come."""

    spans_stored: int
    spans_pending: int
    calls: int
    lag_seconds: float
    priced_through: datetime | None
    version: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Project:
    """A separate set of telemetry and figures. The sample lives in one of its own."""

    id: int
    name: str
    is_demo: bool
    first_charge: datetime | None = None
    last_charge: datetime | None = None
