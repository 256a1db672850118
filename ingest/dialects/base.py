"""What a dialect is: the words an instrumentation uses for one request, and how its input counts are meant."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ingest.usage import TRUST_FRAMEWORK, UNKNOWN, Usage
from models.core.telemetry import Span
from models.core.values import value

Attributes = Mapping[str, Any]
Vocabulary = Mapping[str, tuple[str, ...]]
"""Quantity → attribute names in the order in which they are believed."""


class Role(StrEnum):
    """What a record is in the story of its trace."""

    CALL = "call"
    """One request to a model provider, or one description of it."""
    ROLLUP = "rollup"
    """A container (agent, workflow, chain, step, tool) that may repeat what its calls used."""
    NONE = "none"
    """Something else: HTTP, database, message queue."""


@dataclass(slots=True, frozen=True)
class Context:
    """What a convention may depend on."""

    span: Span
    attributes: Attributes
    provider: str | None
    is_stream: bool | None


@dataclass(slots=True, frozen=True)
class Convention:
    """How a dialect means its counts, and why we think so."""

    name: str = UNKNOWN
    reason: str = ""
    trust: int = TRUST_FRAMEWORK
    reasoning_inside: bool = True
    tool_use_inside: bool = False


ConventionOf = Callable[[Context], Convention]


def always(name: str, reason: str, **more: Any) -> ConventionOf:
    """A convention that depends on nothing."""
    convention = Convention(name, reason, **more)
    return lambda _: convention


@value
class Reading:
    """What one record says about one request, or about the sum of several."""

    span: Span
    dialect: str
    role: Role
    operation: str = ""
    usages: Sequence[Usage] = ()
    provider: str | None = None
    model: str | None = None
    request_model: str | None = None
    response_ids: Sequence[str] = ()
    """Ids that name the request wherever it is described: provider response ids and request ids."""
    service_tier: str | None = None
    region: str | None = None
    server_address: str | None = None
    reported_cost: Decimal | None = None
    anatomy: Mapping[str, int] = field(default_factory=dict[str, int])
    """Prompt sections, drafted and accepted tokens, by `vocabulary.Anatomy`."""
    agents: Sequence[tuple[str, int | None]] = ()
    """Agents that answered inside this one request, with their output tokens, in their order."""
    is_stream: bool | None = None
    is_error: bool = False
    is_refused: bool = False
    """The provider answered with an error, so nothing was processed."""
    is_partial: bool = False
    is_estimated: bool = False
    unbelieved: Sequence[Usage] = ()
    """Counts that the package made up: kept beside the call, in no total."""
    rank: int = 0
    """Which description names model, provider and times: the lower the better."""
    asked: str = ""
    """Model and hash of the question, where the end of a stream is a record apart from that of its request."""
    opened_ns: int | None = None
    """When the request had been answered with a stream whose end this record tells."""

    @property
    def has_usage(self) -> bool:
        """Whether any count was read."""
        return bool(self.usages)


@dataclass(slots=True, frozen=True, kw_only=True)
class Dialect:
    """One vocabulary at its versions.

    `scopes` are instrumentation scope names; one that ends in `*` is a prefix. `adjust` gets the last word on a
    reading, for the faults a version is known to have.
    """

    name: str
    scopes: tuple[str, ...]
    vocabulary: Vocabulary
    convention: ConventionOf
    bodies: tuple[str, ...] = ()
    """Attributes that hold a raw or wrapped response body as JSON text."""
    role: Callable[[Span, Attributes], Role | None] | None = None
    adjust: Callable[[Reading, Context], Reading] | None = None
    rank: int = 0
    nameless_agents: tuple[str, ...] = ()
    """Constants that this instrumentation writes where an agent's name belongs."""
    ignores_address: bool = False
    """Whether `server.address` is a constant rather than the host that answered."""
    facts: Callable[[Attributes], dict[str, Any]] | None = field(default=None)
    """Facts under names of its own: `provider`, `model`, `request_model`, `response_id`, `operation`, …"""


def version_of(span: Span) -> tuple[int, ...]:
    """The scope's version as numbers (`0.62b1` → (0, 62)); empty where there is none."""
    parts: list[int] = []
    for piece in span.scope_version.split("."):
        digits = ""
        for character in piece:
            if not character.isdigit():
                break
            digits += character
        if not digits:
            break
        parts.append(int(digits))
        if len(digits) < len(piece):
            break
    return tuple(parts)
