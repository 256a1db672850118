"""The shared values: a span as kept, a call as derived, and what could not be taken."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import Any

from models.core.values import value
from models.core.vocabulary import BUCKETS, Bucket, CallStatus, Signal, UsageSource


@value
class Span:
    """One span, log record or metric point as kept: without prompts, with everything that counts.

    Ids are bytes until shown. A log record or metric point without ids of its own carries ids derived
    from its content, so that redelivery is recognised. Times are nanoseconds since 1970 UTC; a log record
    starts and ends at its timestamp. Attribute values are str, bool, int, float, list or dict, as OTLP has them.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    name: str
    start_ns: int
    end_ns: int
    signal: Signal = Signal.TRACES
    kind: int = 0
    status: str = "unset"
    """`unset`, `ok` or `error`."""
    status_message: str | None = None
    scope_name: str = ""
    scope_version: str = ""
    resource: Mapping[str, Any] = field(default_factory=dict[str, Any])
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    events: Sequence[Mapping[str, Any]] = ()
    """Each `{"name", "time_ns", "attributes"}`."""
    links: Sequence[tuple[bytes, bytes]] = ()

    @property
    def instrumentation(self) -> str:
        """Scope name and version as one word, `name@version`; the bare name where there is no version."""
        return f"{self.scope_name}@{self.scope_version}" if self.scope_version else self.scope_name


_counts: Callable[["TokenCounts"], tuple[int | None, ...]] = attrgetter(*(bucket.value for bucket in BUCKETS))
_NO_COUNTS = (None,) * len(BUCKETS)


@value
class TokenCounts:
    """Tokens of one call in disjoint buckets. None: the payload does not tell; 0: it says none."""

    input: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    cache_write_unknown: int | None = None
    tool_use_input: int | None = None
    output: int | None = None
    reasoning: int | None = None

    def get(self, bucket: Bucket) -> int | None:
        """The count of one bucket."""
        return getattr(self, bucket)

    @property
    def counts(self) -> tuple[int | None, ...]:
        """The counts in the fixed order of the vocabulary."""
        return _counts(self)

    def as_dict(self) -> dict[str, int | None]:
        """Bucket name → count, in the fixed order of the vocabulary."""
        return {bucket.value: count for bucket, count in zip(BUCKETS, self.counts, strict=True)}

    @property
    def known_total(self) -> int:
        """The sum of the counts that are known."""
        return sum(count for count in self.counts if count is not None)

    @property
    def is_absent(self) -> bool:
        """Whether no bucket is known at all."""
        return self.counts == _NO_COUNTS


@value
class Call:
    """One real request to a model provider, however many spans describe it."""

    trace_id: bytes
    span_id: bytes
    start_ns: int
    end_ns: int
    status: CallStatus
    provider: str | None
    """The host that bills, in OpenTelemetry's words: `openai`, `anthropic`, `aws.bedrock`, `gcp.gemini`, …"""
    model: str | None
    """The model that served; the requested one where the payload names no other."""
    request_model: str | None
    operation: str
    """OpenTelemetry's: `chat`, `embeddings`, `text_completion`, `generate_content`, …"""
    instrumentation: str
    tokens: TokenCounts
    usage_source: UsageSource
    convention: str
    """How input counts were read: `inclusive`, `exclusive`, … of cached tokens."""
    convention_reason: str = ""
    details: Mapping[str, int] = field(default_factory=dict[str, int])
    """Counts priced apart, by `vocabulary.Detail`, and what the request was made of, by `vocabulary.Anatomy`."""
    agent: str | None = None
    agent_path: str | None = None
    task: str | None = None
    session: str | None = None
    user: str | None = None
    team: str | None = None
    cost_center: str | None = None
    environment: str | None = None
    service: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    inferred: Sequence[str] = ()
    """Names of the attribution fields above that were inferred rather than stated."""
    response_id: str | None = None
    service_tier: str | None = None
    """The tier that served: `standard`, `priority`, `flex`, `batch`, …; None where not told."""
    region: str | None = None
    server_address: str | None = None
    reported_cost: Decimal | None = None
    """Cost as the provider or gateway reports it: a cross-check, not the truth."""
    provenance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Bucket or fact → `{"span_id", "attribute", "value"}` it was read from."""
    described_by: Sequence[bytes] = ()
    """Span ids of every span that describes this call, its own first."""
    agents: Sequence[tuple[str, int | None]] = ()
    """Agents that answered inside this one request, with their output tokens, in the order in which they spoke."""

    def as_json(self) -> dict[str, Any]:
        """The call as `jevons normalize --json` and `/api/v1/calls` show it."""
        from models.core.time import rfc3339_of_ns

        return {
            "trace_id": self.trace_id.hex(),
            "span_id": self.span_id.hex(),
            "start": rfc3339_of_ns(self.start_ns),
            "end": rfc3339_of_ns(self.end_ns),
            "duration_ms": (self.end_ns - self.start_ns) / 1_000_000,
            "status": self.status.value,
            "provider": self.provider,
            "model": self.model,
            "request_model": self.request_model,
            "operation": self.operation,
            "agent": self.agent,
            "agent_path": self.agent_path,
            "task": self.task,
            "session": self.session,
            "user": self.user,
            "team": self.team,
            "cost_center": self.cost_center,
            "environment": self.environment,
            "service": self.service,
            "tags": dict(self.tags),
            "inferred": list(self.inferred),
            "instrumentation": self.instrumentation,
            "tokens": self.tokens.as_dict(),
            "details": dict(self.details),
            "usage_source": self.usage_source.value,
            "convention": self.convention,
            "convention_reason": self.convention_reason,
            "service_tier": self.service_tier,
            "response_id": self.response_id,
            "provenance": {key: dict(value) for key, value in self.provenance.items()},
            "agents": [{"name": name, "output_tokens": output} for name, output in self.agents],
            "superseded_by": None,
        }


@dataclass(slots=True, frozen=True, kw_only=True)
class Rejection:
    """Input that could not be taken: where it was and why. Its good neighbours go on."""

    position: str
    """Where in the input, such as `resource_spans[0].scope_spans[1].spans[7]`."""
    reason: str
    trace_id: bytes | None = None
    span_id: bytes | None = None

    def as_json(self) -> dict[str, Any]:
        """The rejection as shown outside."""
        return {
            "position": self.position,
            "reason": self.reason,
            "trace_id": self.trace_id.hex() if self.trace_id else None,
            "span_id": self.span_id.hex() if self.span_id else None,
        }


@dataclass(slots=True, frozen=True, kw_only=True)
class Suppression:
    """A span with usage that is no call of its own: a roll-up or a second description."""

    trace_id: bytes
    span_id: bytes
    why: str
    """`rollup`, `duplicate`, `metric`, …"""
    of: str | None = None
    """Hex span id of the call it repeats, where there is one."""

    def as_json(self) -> dict[str, Any]:
        """The suppression as shown outside."""
        return {"trace_id": self.trace_id.hex(), "span_id": self.span_id.hex(), "why": self.why, "of": self.of}


@dataclass(slots=True, frozen=True, kw_only=True)
class Derivation:
    """What a link group says: its calls, what was left out and why."""

    calls: Sequence[Call] = ()
    suppressed: Sequence[Suppression] = ()
    rejections: Sequence[Rejection] = ()
