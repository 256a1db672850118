"""What is known about the figures themselves: coverage by instrumentation, findings with examples, unmetered usage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from models.core.metrics import MetricGap


class FindingKind(StrEnum):
    """What can be wrong with telemetry or with how it had to be read, the costliest first."""

    ABSENT = "usage_absent"
    METRICS = "metrics_say_more"
    REJECTED = "rejected"
    ESTIMATED = "usage_estimated"
    INVENTED = "usage_invented"
    PARTIAL = "usage_partial"
    AMBIGUOUS = "convention_ambiguous"
    DISAGREEMENT = "descriptions_disagree"
    MATCHED = "matched_without_id"
    DUPLICATE = "duplicate_suppressed"
    ROLLUP = "rollup_suppressed"
    LATE = "late_spans"
    NO_AGENT = "agent_unknown"
    NO_TEAM = "team_unknown"


@dataclass(slots=True, frozen=True)
class Example:
    """Where to look: a span of a trace, in hex."""

    trace_id: str
    span_id: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Coverage:
    """One instrumentation: what it sent and how well its calls are told."""

    instrumentation: str
    spans: int
    calls: int
    reported: int
    partial: int
    estimated: int
    absent: int
    refused: int
    """Requests that the provider answered with an error: no tokens, and nothing missing."""
    ambiguous: int
    without_agent: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Finding:
    """One kind of doubt about one instrumentation or reason."""

    kind: FindingKind
    what: str
    """The instrumentation, or the reason of a rejection."""
    count: int
    examples: Sequence[Example]
    said: str
    """What was found."""
    advice: str
    """What to change; empty where nothing need be."""
    is_problem: bool = True
    """False: Jevons dealt with it and figures are right."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Unmetered:
    """Calls of an agent and model that told no usage, and what they may have used: outside every total.

    Units    tokens of all buckets together; USD. None where no call of that agent or model is metered.
    """

    agent: str | None
    model: str | None
    calls: int
    peers: int
    """Metered calls that the estimate rests on."""
    basis: str
    """`agent and model`, `model`, or `no peer`."""
    tokens: int | None
    tokens_low: int | None
    tokens_high: int | None
    cost: Decimal | None
    cost_low: Decimal | None
    cost_high: Decimal | None
    examples: Sequence[Example] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class Quality:
    """The answer of `/api/v1/quality`."""

    start: datetime
    end: datetime
    calls: int
    """Calls looked at: all of the period, or its newest where there are more than that."""
    is_all: bool
    """False: there may be older calls, which nothing here counts."""
    coverage: Sequence[Coverage]
    findings: Sequence[Finding]
    unmetered: Sequence[Unmetered]
    metrics: Sequence[MetricGap] = ()
    """Services whose metrics say more than their calls."""
