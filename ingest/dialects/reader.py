"""Reading one record with its dialect: role, counts with their convention, and the facts that set the price."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingest.dialects import registry
from ingest.dialects.base import Attributes, Context, Dialect, Reading, Role
from ingest.dialects.providers import billed_provider, provider_of_name
from ingest.dialects.roles import operation_of, role_of
from ingest.dialects.shape import Shape, shape_of
from ingest.dialects.vocabulary import DETAILS
from ingest.json_text import parse, repr_usage, text_of
from ingest.provider_bodies import BodyFacts, count, facts_of, money, served_tier, usage_of
from ingest.request_anatomy import ANATOMY_KEYS, anatomy_of, drafts
from ingest.shared_agents import ATTRIBUTE as AGENTS
from ingest.shared_agents import agents_of
from ingest.usage import Usage
from models.core.telemetry import Span

_PROVIDER_KEYS = (
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.system",
    "ai.model.provider",
    "langsmith.metadata.ls_provider",
    "langfuse.observation.metadata.ls_provider",
    "traceloop.association.properties.ls_provider",
)
_ADDRESS_KEYS = (
    "server.address",
    "gen_ai.openai.api_base",
    "gen_ai.request.base_url",
    "llm.api_base",
    "net.peer.name",
)
_MODEL_KEYS = (
    "gen_ai.response.model",
    "llm.response.model_name",
    "ai.response.model",
    "langfuse.observation.model.name",
    "mlflow.llm.model",
)
_REQUEST_MODEL_KEYS = (
    "gen_ai.request.model",
    "llm.request.model_name",
    "ai.model.id",
    "llm.model_name",
    "embedding.model_name",
    "langsmith.metadata.ls_model_name",
    "langfuse.observation.metadata.ls_model_name",
    "traceloop.association.properties.ls_model_name",
    "model",
    "model_name",
)
_RESPONSE_ID_KEYS = ("gen_ai.response.id", "ai.response.id", "llm.response.id", "response_id")
_REQUEST_ID_KEYS = ("anthropic.request.id", "request_id", "gen_ai.request.id", "aws.request_id", "litellm.call_id")
ID_KEYS = (*_RESPONSE_ID_KEYS, *_REQUEST_ID_KEYS)
"""Attributes that name a request, the ids of its response first."""
_TIER_KEYS = (
    "gen_ai.openai.response.service_tier",
    "openai.response.service_tier",
    "anthropic.response.service_tier",
    "gen_ai.response.service_tier",
    "gen_ai.usage.service_tier",
)
_COST_KEYS = ("gen_ai.cost.total_cost", "operation.cost", "llm.cost.total", "cost_usd", "gen_ai.usage.reported_cost")
_STREAM_KEYS = (
    "gen_ai.request.stream",
    "llm.is_streaming",
    "gen_ai.is_streaming",
    "gen_ai.request.is_stream",
    "langsmith.request.streaming",
)
_DETAIL_KEYS = tuple(sorted(DETAILS))
_REGION_KEYS = ("cloud.region", "aws.region", "gen_ai.request.region")
_STATUS_KEYS = ("http.response.status_code", "http.status_code", "gen_ai.response.status_code", "status_code")
_REFUSALS = (
    "ratelimit",
    "rate_limit",
    "overloaded",
    "badrequest",
    "bad_request",
    "invalid_request",
    "authentication",
    "permissiondenied",
    "permission",
    "notfound",
    "not_found",
    "internalserver",
    "internal_server",
    "unprocessable",
    "apistatuserror",
    "servererror",
    "serviceunavailable",
    "throttling",
    "quota",
    "resourceexhausted",
    "validationexception",
    "error code: ",
    "clienterror",
    "api_error",
)
"""Beginnings and parts of error types with which a provider refuses a request."""


_NO_FACTS: Mapping[str, Any] = {}
_NO_ANATOMY: Mapping[str, int] = {}


def read(span: Span) -> Reading | None:
    """One record's reading, or None where it tells nothing about requests to models, or contains them without counts.

    Shapes   1 span, log record or metric point → 1 Reading or None.
    Units    tokens; costs in USD as the payload reports them.
    """
    dialect = registry.dialect_of(span)
    attributes = with_events(span)
    shape = shape_of(attributes)
    role = role_in(dialect, span, attributes)
    if role is Role.NONE or (role is Role.ROLLUP and counts_nothing(dialect, shape)):
        return None
    facts = dialect.facts(attributes) if dialect.facts else _NO_FACTS
    words = shape.of(_fact_words)
    bodies = [
        (key, body)
        for key in (shape.present(dialect.bodies) if role is Role.CALL else ())
        for body in (_body(attributes[key], key),)
        if body is not None
    ]
    names = [facts.get("provider"), *[attributes[key] for key in words.provider]]
    address = None if dialect.ignores_address else _first_text(attributes, words.address)
    request_model = facts.get("request_model") or _first_text(attributes, words.request_model)
    model = facts.get("model") or _first_text(attributes, words.model) or _of_bodies(bodies, "model")
    provider, _ = billed_provider(address, names, model or request_model)
    context = Context(
        span,
        attributes,
        provider_of_name(next((n for n in names if n), None)) or provider,
        _stream(attributes, words.stream),
    )
    flat = flat_usage(span, attributes, shape, dialect, context)
    usages = [replace(body.usage, span_id=span.span_id) for _, body in bodies if body.usage is not None]
    if flat is not None:
        usages.append(flat)
    cost = money(attributes[words.cost[0]] if words.cost else facts.get("reported_cost"))
    reading = Reading(
        span=span,
        dialect=dialect.name,
        role=role,
        operation=facts.get("operation") or operation_of(span, attributes),
        usages=tuple(usages),
        provider=provider,
        model=model or request_model,
        request_model=request_model,
        response_ids=response_ids(attributes, facts, bodies),
        service_tier=served_tier(
            facts.get("service_tier"),
            _first_text(attributes, words.tier),
            *(body.service_tier for _, body in bodies),
        ),
        region=facts.get("region") or _first_text(attributes, words.region) or _of_bodies(bodies, "region"),
        server_address=None if dialect.ignores_address else text_of(attributes.get("server.address")),
        reported_cost=cost or next((body.reported_cost for _, body in bodies if body.reported_cost is not None), None),
        anatomy=_anatomy(attributes, words.anatomy, bodies),
        agents=agents_of(attributes) if words.agents else (),
        is_stream=context.is_stream,
        is_error=facts.get("is_error", span.status == "error" or "error.type" in attributes),
        is_refused=facts.get("is_refused", _is_refused(span, attributes, words.status)),
        is_partial=any(body.is_unfinished for _, body in bodies) if bodies else False,
        rank=dialect.rank,
    )
    if reading.is_partial:
        reading = replace(reading, usages=tuple(_without_output(usage) for usage in reading.usages))
    return dialect.adjust(reading, context) if dialect.adjust else reading


def role_in(dialect: Dialect, span: Span, attributes: Attributes) -> Role:
    """What a record is: by its dialect where that has an opinion, else by everybody's words."""
    role = dialect.role(span, attributes) if dialect.role else None
    return role_of(span, attributes) if role is None else role


def with_events(span: Span) -> Attributes:
    """The span's attributes, and the usage and ids that only its events carry."""
    if not span.events:
        return span.attributes
    found: dict[str, Any] = {}
    for event in span.events:
        for key, value in event.get("attributes", {}).items():
            if ("usage." in key or key in _RESPONSE_ID_KEYS) and key not in span.attributes:
                found[key] = value
    return {**found, **span.attributes} if found else span.attributes


def _anatomy(
    attributes: Attributes, told: tuple[str, ...], bodies: Sequence[tuple[str, BodyFacts]]
) -> Mapping[str, int]:
    if not told and not bodies:
        return _NO_ANATOMY
    found: dict[str, int] = {}
    for _, body in bodies:
        found.update(drafts(body.accepted, body.rejected))
    return found | anatomy_of(attributes) if told else found


def _body(value: Any, key: str) -> BodyFacts | None:
    parsed = parse(value)
    facts = facts_of(parsed, key) if parsed is not None else None
    if facts is not None and facts.usage is None:
        facts = replace(facts, usage=usage_of(parsed, key))
    if facts is not None and facts.usage is not None and facts.usage.cache_read is not None:
        return facts
    inner = usage_of(repr_usage(value), f"{key}.usage")
    if inner is None:
        return facts
    return replace(facts or BodyFacts(), usage=inner)


def flat_usage(span: Span, attributes: Attributes, shape: Shape, dialect: Dialect, context: Context) -> Usage | None:
    """Counts from single attributes, one alias per quantity; None where there are none."""
    counts: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, quantity in shape.of(_words_of(dialect.vocabulary).found):
        # The best word of a quantity comes first; the next one speaks only where that is no count.
        if quantity not in counts:
            value = count(attributes[key])
            if value is not None:
                counts[quantity], origins[quantity] = value, key
    if not counts:
        return None
    details = {DETAILS[key]: value for key in shape.present(_DETAIL_KEYS) if (value := count(attributes[key]))}
    convention = dialect.convention(context)
    usage = Usage(
        convention=convention.name,
        reason=convention.reason,
        trust=convention.trust,
        reasoning_inside=convention.reasoning_inside,
        tool_use_inside=convention.tool_use_inside,
        details=details,
        origins=origins,
        span_id=span.span_id,
        **counts,
    )
    return None if usage.is_empty else usage


class _Words:
    """A vocabulary, asked which of its words a record has."""

    def __init__(self, vocabulary: Mapping[str, tuple[str, ...]]) -> None:
        self.vocabulary = vocabulary
        self.ranks = {key: (rank, name) for name, keys in vocabulary.items() for rank, key in enumerate(keys)}

    def found(self, names: Collection[str]) -> tuple[tuple[str, str], ...]:
        """(attribute, quantity) of each word, the best word of a quantity before its others."""
        here = sorted((*self.ranks[name], name) for name in names if name in self.ranks)
        return tuple((name, quantity) for _, quantity, name in here)


def _words_of(vocabulary: Mapping[str, tuple[str, ...]]) -> _Words:
    # By identity: vocabularies are constants of their dialects, kept alive by the words.
    words = _WORDS.get(id(vocabulary))
    if words is None:
        words = _WORDS[id(vocabulary)] = _Words(vocabulary)
    return words


_WORDS: dict[int, _Words] = {}


def words_of(vocabulary: Mapping[str, tuple[str, ...]]) -> Collection[str]:
    """Every attribute that a vocabulary has a word for."""
    return _words_of(vocabulary).ranks.keys()


def counts_nothing(dialect: Dialect, shape: Shape) -> bool:
    """Whether a container of this shape has no counts; a dialect that adjusts its readings may find some elsewhere."""
    return dialect.adjust is None and not shape.of(_words_of(dialect.vocabulary).found)


def _without_output(usage: Usage) -> Usage:
    """A cut stream's output count is that of its first chunk: no count of the answer."""
    return replace(usage, output=None, reasoning=None, total=None)


@dataclass(slots=True, frozen=True)
class _FactWords:
    """Which attributes of a record name the facts of a request, the most believed first."""

    provider: tuple[str, ...]
    address: tuple[str, ...]
    model: tuple[str, ...]
    request_model: tuple[str, ...]
    tier: tuple[str, ...]
    region: tuple[str, ...]
    cost: tuple[str, ...]
    stream: tuple[str, ...]
    status: tuple[str, ...]
    agents: tuple[str, ...]
    anatomy: tuple[str, ...]


def _fact_words(names: Collection[str]) -> _FactWords:
    def present(wanted: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in wanted if name in names)

    return _FactWords(
        provider=present(_PROVIDER_KEYS),
        address=present(_ADDRESS_KEYS),
        model=present(_MODEL_KEYS),
        request_model=present(_REQUEST_MODEL_KEYS),
        tier=present(_TIER_KEYS),
        region=present(_REGION_KEYS),
        cost=present(_COST_KEYS),
        stream=present(_STREAM_KEYS),
        status=present(_STATUS_KEYS),
        agents=present((AGENTS,)),
        anatomy=present(ANATOMY_KEYS),
    )


def _first_text(attributes: Attributes, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        text = text_of(attributes[key])
        if text:
            return text
    return None


def _of_bodies(bodies: Sequence[tuple[str, BodyFacts]], fact: str) -> Any:
    return next((told for _, body in bodies if (told := getattr(body, fact))), None) if bodies else None


def response_ids(
    attributes: Attributes, facts: Mapping[str, Any], bodies: Sequence[tuple[str, BodyFacts]]
) -> tuple[str, ...]:
    """Ids of one request, the most explicit first: the dialect's own, those of attributes, those of bodies."""
    found: list[str] = []
    for value in (
        facts.get("response_id"),
        *[attributes[key] for key in shape_of(attributes).present(ID_KEYS)],
        *[body.response_id for _, body in bodies],
    ):
        text = text_of(value)
        if text and text not in found:
            found.append(text)
    return tuple(found)


def _stream(attributes: Attributes, keys: tuple[str, ...]) -> bool | None:
    if keys:
        return attributes[keys[0]] in (True, "true", "True")
    step = attributes.get("ai.operationId")
    if isinstance(step, str) and "tream" in step:
        return True
    parameters = attributes.get("llm.invocation_parameters")
    if isinstance(parameters, str) and '"stream' in parameters:
        parsed = parse(parameters)
        if isinstance(parsed, dict) and (parsed.get("stream") or parsed.get("streaming")):
            return True
    return None


def _is_refused(span: Span, attributes: Attributes, keys: tuple[str, ...]) -> bool:
    for key in keys:
        status = count(attributes[key])
        if status is not None and status >= 400:
            return True
    if span.status != "error" and "error.type" not in attributes:
        return False
    words = [attributes.get("error.type"), attributes.get("exception.type"), span.status_message]
    words += [event.get("attributes", {}).get("exception.type") for event in span.events]
    text = " ".join(word.lower() for word in words if isinstance(word, str))
    error_type = attributes.get("error.type")
    if isinstance(error_type, str) and error_type.isdigit():
        return int(error_type) >= 400
    return any(word in text for word in _REFUSALS)
