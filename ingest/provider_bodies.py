"""Raw provider response bodies: the usage object by its shape, and the facts beside it that set the price.

The shapes are those of the providers' public API references: OpenAI chat and responses, Anthropic messages,
Google generateContent, Bedrock converse, Cohere, Mistral, DeepSeek, Groq, OpenRouter; LangChain's and LiteLLM's
normalised objects are told from them by their own keys.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from ingest.usage import EXCLUSIVE, INCLUSIVE, TRUST_PROVIDER, Usage

Body = Mapping[str, Any]

FAST = "fast"
"""The tier of Anthropic's fast mode: `speed` tells it beside a `service_tier` that does not know it."""

USAGE_KEYS = (
    "usage",
    "usageMetadata",
    "usage_metadata",
    "token_usage",
    "usage_object",
    "tokenUsage",
)
"""Where bodies keep their usage object, the provider's own before a framework's."""


@dataclass(slots=True, frozen=True, kw_only=True)
class BodyFacts:
    """What a response body tells about its request besides text."""

    usage: Usage | None = None
    response_id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    region: str | None = None
    reported_cost: Decimal | None = None
    is_unfinished: bool = False
    """The body says itself that the answer was cut before its end (a message without a stop reason)."""
    accepted: int | None = None
    """Drafted tokens that the model kept, and those it threw away."""
    rejected: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


def count(value: Any) -> int | None:
    """A token count, or None where the value is none: negative numbers, booleans and text are not counts."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, float):
        return int(value) if value >= 0 and value == int(value) else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return None


def money(value: Any) -> Decimal | None:
    """A cost as Decimal, through its text so that no float arithmetic touches it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def served_tier(*told: str | None) -> str | None:
    """The first tier that is told; fast mode where any of them is, because it alone sets the price."""
    known = [tier for tier in told if tier]
    return FAST if FAST in known else next(iter(known), None)


def usage_of(usage: Any, where: str = "usage") -> Usage | None:
    """Read a provider's usage object, whichever provider's it is.

    Shapes   one usage object → counts with the convention of its shape; None when no shape fits.
    Units    tokens.
    """
    if not isinstance(usage, dict):
        return None
    for fits, read in _SHAPES:
        if fits(usage):
            found = read(usage)
            if found.is_empty:
                return None
            keys = {name: f"{where}.{key}" for name, key in found.origins.items()}
            return replace(found, origins=keys, trust=TRUST_PROVIDER)
    return None


def facts_of(body: Any, where: str = "body") -> BodyFacts:
    """Read a response body, or a framework's wrapping of one: the best usage in it, id, model, tier, cost.

    Shapes   a dict or list, walked to depth 8 → one BodyFacts; all None when it tells nothing. Where the body holds
             several usage objects, the one that tells the most is taken, first the provider's own words.
    """
    best: Usage | None = None
    facts: dict[str, Any] = {}
    unfinished = False
    for depth, part in _parts(body):
        for key in USAGE_KEYS:
            found = usage_of(part.get(key), f"{where}.{key}")
            if found is not None and (best is None or _telling(found) > _telling(best)):
                best = found
                raw = part[key]
                facts.update(_usage_facts(raw))
        if isinstance(part.get("meta"), dict) and best is None:
            best = _cohere(part["meta"], where)
        if best is None and _is_cached_alone(part):
            best = usage_of(part, where)
        if "output_tokens" in part:
            facts.update(_price_facts(part))
        if depth <= 6:
            _collect(part, facts)
            _collect_drafts(part, facts)
        if part.get("type") == "message" and part.get("role") == "assistant" and "stop_reason" in part:
            unfinished = unfinished or part["stop_reason"] is None
    if best is not None and unfinished and best.output is not None:
        # What message_start counts is the first chunk, not the answer.
        best = replace(best, output=None, reasoning=None)
    return BodyFacts(
        usage=best,
        response_id=facts.get("id"),
        model=facts.get("model"),
        service_tier=served_tier(facts.get("speed"), facts.get("service_tier")),
        region=facts.get("region"),
        reported_cost=facts.get("cost"),
        is_unfinished=unfinished,
        accepted=facts.get("accepted"),
        rejected=facts.get("rejected"),
    )


def _telling(usage: Usage) -> tuple[bool, int]:
    """Ranks usage objects of one body: what frameworks copy of Anthropic's lacks what only its iterations tell."""
    return usage.spans_iterations, usage.detail


def _parts(body: Any, depth: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    if depth > 8:
        return
    if isinstance(body, dict):
        yield depth, body
        for key, value in body.items():
            # Iterations of a usage object are no bodies: their models did not give this answer.
            if key in _NO_BODIES or (key == "iterations" and "output_tokens" in body):
                continue
            if isinstance(value, dict | list):
                yield from _parts(value, depth + 1)
    elif isinstance(body, list):
        for value in body[:64]:
            yield from _parts(value, depth + 1)


_NO_BODIES = frozenset(("tools", "messages", "input", "parameters", "schema"))
_ID_KEYS = ("response_id", "responseId", "id")
_MODEL_KEYS = ("model", "model_name", "modelVersion", "model_version")
_ID_STARTS = ("msg_", "chatcmpl", "resp", "cmpl-", "gen-", "req_")


def _collect(part: Body, facts: dict[str, Any]) -> None:
    for key in _ID_KEYS:
        value = part.get(key)
        if isinstance(value, str) and value and "id" not in facts and _is_response_id(key, value, part):
            facts["id"] = value
    for key in _MODEL_KEYS:
        value = part.get(key)
        if isinstance(value, str) and value:
            facts.setdefault("model", value)
    for key in ("service_tier", "serviceTier"):
        value = part.get(key)
        if isinstance(value, str) and value:
            facts.setdefault("service_tier", value)


def _collect_drafts(part: Body, facts: dict[str, Any]) -> None:
    """OpenAI's predicted outputs (in the details of completion tokens), SGLang's drafts (in `meta_info`)."""
    accepted, rejected = count(part.get("accepted_prediction_tokens")), count(part.get("rejected_prediction_tokens"))
    if accepted is None and "spec_draft_token_num" in part:
        accepted, drafted = count(part.get("spec_accept_token_num")), count(part["spec_draft_token_num"])
        known = accepted is not None and drafted is not None and drafted >= accepted
        rejected = drafted - accepted if known and drafted is not None and accepted is not None else None
    if accepted is not None and rejected is not None:
        facts.setdefault("accepted", accepted)
        facts.setdefault("rejected", rejected)


def _is_response_id(key: str, value: str, part: Body) -> bool:
    """Tool calls, messages and runs have ids too: an `id` counts beside a usage object or by its form."""
    if key != "id":
        return value.startswith(_ID_STARTS) or any(name in part for name in USAGE_KEYS)
    if value.startswith(("call_", "toolu_", "run", "lc_", "rs_", "fc_", "ls_")):
        return False
    return any(name in part for name in USAGE_KEYS) or value.startswith(_ID_STARTS)


def _usage_facts(usage: Body) -> dict[str, Any]:
    found: dict[str, Any] = {"service_tier": tier} if (tier := langchain_tier(usage)) else {}
    for key in ("service_tier", "serviceTier"):
        if isinstance(usage.get(key), str):
            found["service_tier"] = usage[key]
    found.update(_price_facts(usage))
    cost = money(usage.get("cost"))
    if cost is not None:
        found["cost"] = cost
    return found


def _price_facts(usage: Body) -> dict[str, Any]:
    """What Anthropic's usage object tells of its price beside counts and tier; importers keep it without a body."""
    found: dict[str, Any] = {}
    geo = usage.get("inference_geo")
    if isinstance(geo, str) and geo not in ("", "not_available"):
        found["region"] = geo
    if usage.get("speed") == FAST:
        found["speed"] = FAST
    return found


def langchain_tier(usage: Body) -> str | None:
    """The service tier that LangChain tells by naming a part of the input after it; `standard` it never names."""
    details = usage.get("input_token_details")
    return next((tier for tier in ("flex", "priority") if isinstance(details, dict) and tier in details), None)


def _first(usage: Body, *keys: str) -> tuple[int | None, str]:
    for key in keys:
        holder: Any = usage
        for step in key.split("."):
            holder = holder.get(step) if isinstance(holder, dict) else None
        value = count(holder)
        if value is not None:
            return value, key
    return None, ""


def _read(usage: Body, convention: str, reason: str, keys: Mapping[str, tuple[str, ...]], **more: Any) -> Usage:
    counts: dict[str, int] = {}
    origins: dict[str, str] = {}
    for name, aliases in keys.items():
        value, key = _first(usage, *aliases)
        if value is not None:
            counts[name], origins[name] = value, key
    details = more.pop("details", {})
    return Usage(
        convention=convention,
        reason=reason,
        origins=origins,
        details={key: value for key, value in details.items() if value is not None},
        **counts,
        **more,
    )


def _openai(usage: Body) -> Usage:
    """OpenAI's two shapes and their many compatibles; cached and reasoning tokens are parts."""
    audio_in, _ = _first(usage, "prompt_tokens_details.audio_tokens", "input_tokens_details.audio_tokens")
    audio_out, _ = _first(usage, "completion_tokens_details.audio_tokens", "output_tokens_details.audio_tokens")
    image_in, _ = _first(usage, "prompt_tokens_details.image_tokens", "input_tokens_details.image_tokens")
    image_out, _ = _first(usage, "completion_tokens_details.image_tokens", "output_tokens_details.image_tokens")
    return _read(
        usage,
        INCLUSIVE,
        "OpenAI's usage object: cached tokens are part of the prompt",
        {
            "input": ("prompt_tokens", "input_tokens"),
            "cache_read": (
                "prompt_tokens_details.cached_tokens",
                "input_tokens_details.cached_tokens",
                "prompt_cache_hit_tokens",
                "cached_tokens",
                "cache_read_input_tokens",
            ),
            "cache_write": (
                "prompt_tokens_details.cache_write_tokens",
                "input_tokens_details.cache_write_tokens",
                "prompt_tokens_details.cache_creation_tokens",
                "cache_creation_input_tokens",
            ),
            "cache_write_5m": (
                "prompt_tokens_details.cache_creation_token_details.ephemeral_5m_input_tokens",
                "prompt_tokens_details.cache_write_tokens_details.ephemeral_5m_input_tokens",
            ),
            "cache_write_1h": (
                "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
                "prompt_tokens_details.cache_write_tokens_details.ephemeral_1h_input_tokens",
            ),
            "output": ("completion_tokens", "output_tokens"),
            "reasoning": (
                "completion_tokens_details.reasoning_tokens",
                "output_tokens_details.reasoning_tokens",
                "reasoning_tokens",
            ),
            "total": ("total_tokens",),
        },
        details={
            "input_audio": audio_in,
            "output_audio": audio_out,
            "input_image": image_in,
            "output_image": image_out,
        },
    )


_ITERATED = ("input", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "output")


def _anthropic(usage: Body) -> Usage:
    """Anthropic's shape, also under LangChain's and Bedrock's invoke: cached tokens lie beside the input."""
    told, iterations = _anthropic_counts(usage), usage.get("iterations")
    if not isinstance(iterations, list):
        return told
    return _over_iterations(told, [one for one in iterations if isinstance(one, dict)])


def _over_iterations(told: Usage, iterations: Sequence[Body]) -> Usage:
    """The counts of all iterations of a request on the model that answered, and what other models did meanwhile.

    Source   Anthropic (compaction, advisor tool, refusals and fallback): the top level leaves out compaction, which is
             the sum of all entries, and never holds the tokens of an advisor or of an attempt that was declined.
    """
    answer = next((one for one in reversed(iterations) if one.get("type") in ("message", "fallback_message")), {})
    own = [_anthropic_counts(one) for one in iterations if _is_of_answer(one, answer)]
    more: dict[str, Any] = {}
    origins = dict(told.origins)
    for name in _ITERATED:
        parts = [(value, part.origins[name]) for part in own if (value := getattr(part, name)) is not None]
        whole, top = sum(value for value, _ in parts), getattr(told, name)
        # Never less than the top level: of a long list the redaction keeps the beginning.
        if parts and (top is None or whole > top):
            more[name], origins[name] = whole, f"iterations[].{parts[0][1]}"
    left_out = tuple(text for one in iterations if not _is_of_answer(one, answer) and (text := _said(one)))
    if left_out:
        origins["left_out"] = "iterations[]"
    return replace(told, **more, origins=origins, left_out=left_out, spans_iterations=bool(more or left_out))


def _is_of_answer(one: Body, answer: Body) -> bool:
    """Whether an iteration ran on the model that answered: an advisor has its own, and so had a declined attempt."""
    if one.get("type") == "advisor_message":
        return False
    if one.get("model") and answer.get("model"):
        return one["model"] == answer["model"]
    return one.get("type") != "message" or answer.get("type") != "fallback_message"


def _said(one: Body) -> str:
    """One iteration in words; empty where it has no tokens."""
    counts = _anthropic_counts(one)
    told = [f"{name} {value}" for name in _ITERATED if (value := getattr(counts, name))]
    return f"{one.get('type')} of {one.get('model') or 'another model'}: {', '.join(told)}" if told else ""


def _anthropic_counts(usage: Body) -> Usage:
    searches, _ = _first(usage, "server_tool_use.web_search_requests")
    executions, _ = _first(usage, "server_tool_use.code_execution_requests")
    return _read(
        usage,
        EXCLUSIVE,
        "Anthropic's usage object: cached tokens lie beside input_tokens",
        {
            "input": ("input_tokens",),
            "cache_read": ("cache_read_input_tokens",),
            "cache_write": ("cache_creation_input_tokens",),
            "cache_write_5m": ("cache_creation.ephemeral_5m_input_tokens",),
            "cache_write_1h": ("cache_creation.ephemeral_1h_input_tokens",),
            "output": ("output_tokens",),
            "reasoning": ("output_tokens_details.thinking_tokens", "output_tokens_details.reasoning_tokens"),
        },
        details={"web_search_requests": searches, "code_execution_requests": executions},
    )


def _langchain(usage: Body) -> Usage:
    """LangChain's usage_metadata: input_tokens is the sum of all input token types."""
    return _read(
        usage,
        INCLUSIVE,
        "LangChain's usage_metadata: input_tokens is the sum of all input",
        {
            "input": ("input_tokens",),
            "cache_read": (
                "input_token_details.cache_read",
                "input_token_details.flex_cache_read",
                "input_token_details.priority_cache_read",
            ),
            "cache_write": ("input_token_details.cache_creation",),
            "cache_write_5m": ("input_token_details.ephemeral_5m_input_tokens",),
            "cache_write_1h": ("input_token_details.ephemeral_1h_input_tokens",),
            "output": ("output_tokens",),
            "reasoning": (
                "output_token_details.reasoning",
                "output_token_details.flex_reasoning",
                "output_token_details.priority_reasoning",
            ),
            "total": ("total_tokens",),
        },
    )


def _langchain_summed(usage: Body) -> Usage:
    read = _langchain(usage)
    # langchain-anthropic puts the writes only into the two lifetimes when both are told.
    if read.cache_write == 0 and (read.cache_write_5m or read.cache_write_1h):
        return replace(read, cache_write=None)
    return read


_GOOGLE_KEYS = {
    "input": ("promptTokenCount", "prompt_token_count"),
    "cache_read": ("cachedContentTokenCount", "cached_content_token_count"),
    "output": ("candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count"),
    "reasoning": ("thoughtsTokenCount", "thoughts_token_count"),
    "tool_use": ("toolUsePromptTokenCount", "tool_use_prompt_token_count"),
    "total": ("totalTokenCount", "total_token_count"),
}


def _google(usage: Body) -> Usage:
    """Gemini's usageMetadata: the prompt contains cached content; thoughts and the tool prompt lie beside."""
    read = _read(
        usage,
        INCLUSIVE,
        "Gemini's usageMetadata: promptTokenCount contains cached content, thoughts lie beside candidates",
        _GOOGLE_KEYS,
        reasoning_inside=False,
        details={
            "input_audio": _modality(usage, "AUDIO", "promptTokensDetails", "prompt_tokens_details"),
            "input_image": _modality(usage, "IMAGE", "promptTokensDetails", "prompt_tokens_details"),
            "cache_read_audio": _modality(usage, "AUDIO", "cacheTokensDetails", "cache_tokens_details"),
            "cache_read_image": _modality(usage, "IMAGE", "cacheTokensDetails", "cache_tokens_details"),
            "output_audio": _modality(usage, "AUDIO", "candidatesTokensDetails", "candidates_tokens_details"),
            "output_image": _modality(usage, "IMAGE", "candidatesTokensDetails", "candidates_tokens_details"),
        },
    )
    if read.output is None and read.reasoning is not None:
        return replace(read, output=0)
    return read


def _modality(usage: Body, modality: str, *keys: str) -> int | None:
    """Tokens of one modality; the list names all there are, so one that it leaves out was none."""
    for key in keys:
        rows = usage.get(key)
        if isinstance(rows, list) and rows:
            found = [
                count(row.get("tokenCount", row.get("token_count", 0)))
                for row in rows
                if isinstance(row, dict) and row.get("modality") == modality
            ]
            known = [value for value in found if value is not None]
            return sum(known) if len(known) == len(found) else None
    return None


def _bedrock(usage: Body) -> Usage:
    """Bedrock converse: cache reads and writes lie beside inputTokens, for every model behind it."""
    return _read(
        usage,
        EXCLUSIVE,
        "Bedrock converse's usage object: cached tokens lie beside inputTokens",
        {
            "input": ("inputTokens",),
            "cache_read": ("cacheReadInputTokens", "cacheReadInputTokenCount"),
            "cache_write": ("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
            "output": ("outputTokens",),
            "total": ("totalTokens",),
        },
    )


def _vercel(usage: Body) -> Usage:
    """The AI SDK's own usage object (`promptTokens`)."""
    return _read(
        usage,
        INCLUSIVE,
        "the AI SDK's usage object",
        {
            "input": ("promptTokens",),
            "cache_read": ("cachedInputTokens", "cachedPromptTokens"),
            "output": ("completionTokens",),
            "total": ("totalTokens",),
        },
    )


def _is_cached_alone(part: Body) -> bool:
    """Whether an object counts cached tokens but no input: the AI SDK up to v5 tells that in attributes."""
    cached = "cacheReadInputTokens" in part or "cacheWriteInputTokens" in part or "cacheCreationInputTokens" in part
    return cached and "inputTokens" not in part and "outputTokens" not in part


def _cached_alone(usage: Body) -> Usage:
    """The AI SDK's metadata of Claude and Bedrock, `usage` or no such object around it."""
    return _read(
        usage,
        EXCLUSIVE,
        "the AI SDK's metadata: cached tokens lie beside the input of Claude and Bedrock",
        {
            "cache_read": ("cacheReadInputTokens",),
            "cache_write": ("cacheWriteInputTokens", "cacheCreationInputTokens"),
        },
    )


def _cohere(meta: Body, where: str) -> Usage | None:
    """Cohere's meta.billed_units and usage.billed_units."""
    units = meta.get("billed_units")
    if not isinstance(units, dict):
        return None
    found = _read(
        units,
        INCLUSIVE,
        "Cohere's billed units",
        {"input": ("input_tokens",), "output": ("output_tokens",)},
    )
    if found.is_empty:
        return None
    origins = {name: f"{where}.billed_units.{key}" for name, key in found.origins.items()}
    return replace(found, origins=origins, trust=TRUST_PROVIDER)


def _cohere_usage(usage: Body) -> Usage:
    cached, key = _first(usage, "cached_tokens")
    found = _cohere(usage, "") or Usage()
    if cached is None:
        return replace(found, origins={name: f"billed_units.{name}_tokens" for name in found.origins})
    return replace(found, cache_read=cached, origins={"cache_read": key})


def _has(*keys: str) -> Callable[[Body], bool]:
    return lambda usage: any(key in usage for key in keys)


_SHAPES: tuple[tuple[Callable[[Body], bool], Callable[[Body], Usage]], ...] = (
    (_has("promptTokenCount", "prompt_token_count", "totalTokenCount", "total_token_count"), _google),
    (_has("inputTokens", "outputTokens"), _bedrock),
    (_has("promptTokens", "completionTokens"), _vercel),
    (_is_cached_alone, _cached_alone),
    (_has("billed_units"), _cohere_usage),
    (_has("input_token_details", "output_token_details"), _langchain_summed),
    (_has("prompt_tokens", "completion_tokens"), _openai),
    (_has("input_tokens_details"), _openai),
    (_has("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "iterations"), _anthropic),
    (_has("input_tokens", "output_tokens"), _openai),
)
"""Shapes in the order in which they are told apart: the most particular keys first."""
