"""Langfuse SDK: all counts in one JSON object, in the provider's own words or in Langfuse's disjoint ones."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ingest.dialects.base import Attributes, Context, Dialect, Reading, always
from ingest.dialects.vocabulary import GENAI
from ingest.json_text import parse, text_of
from ingest.provider_bodies import count, usage_of
from ingest.usage import EXCLUSIVE, TRUST_PROVIDER, UNKNOWN, Usage
from models.core.vocabulary import Detail

_KEY = "langfuse.observation.usage_details"
_NAME = re.compile(r"(input|output|cached(?=_modality_))(?:_(flex|priority))?(?:_(.+?))?(?:_tokens)?")
"""Side, LangChain's service tier and part: `input_flex_cache_read`, `output_reasoning_tokens`, `input_modality_1`."""
_PARTS = {
    "cache_read": "cache_read",
    "cached": "cache_read",
    "cache_creation": "cache_write",
    "cache_creation_5m": "cache_write_5m",
    "cache_creation_1h": "cache_write_1h",
    "ephemeral_5m_input": "cache_write_5m",
    "ephemeral_1h_input": "cache_write_1h",
    "reasoning": "reasoning",
}
"""Parts that are quantities of their own; every other part stays in its side."""
_SIDES = {"input": "input", "output": "output", "cached": "cache_read"}
_MODALITIES = {
    "audio": "audio",
    "modality_AUDIO": "audio",
    "modality_4": "audio",
    "image": "image",
    "modality_IMAGE": "image",
    "modality_2": "image",
}
"""Parts that may be priced apart inside their side; Vertex AI numbers its modalities."""
_DETAILS = frozenset(detail.value for detail in Detail)
_BESIDE = {
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
    "cache_write_5m": "cache_creation_ephemeral_5m_input_tokens",
    "cache_write_1h": "cache_creation_ephemeral_1h_input_tokens",
    "tool_use": "tool_use_prompt_token_count",
    "reasoning": "thoughts_token_count",
    "total": "total",
}
"""Names that Langfuse leaves as the provider wrote them; none of these counts is in `input` or `output`."""
_GOOGLE_CACHED = "cached_content_token_count"


def _disjoint(details: Mapping[str, Any], span_id: bytes) -> Usage | None:
    """Langfuse's own names: every part of a side (`input_…`, `output_…`) was taken out of it, known to us or not."""
    known = {key: value for key, told in details.items() if (value := count(told)) is not None}
    found, apart = _parts_of(known)
    if not found.keys() & {"input", "output"}:
        return None
    for quantity, key in _BESIDE.items():
        if key in known:
            found.setdefault(quantity, {key: known[key]})
    cached = known.get(_GOOGLE_CACHED)
    if cached and "cache_read" not in found:
        found["cache_read"] = {_GOOGLE_CACHED: cached}
        if sum(found.get("input", {}).values()) >= cached:
            # Google's prompt contains it, and Langfuse takes it out only where it is told by modality.
            found["input"][_GOOGLE_CACHED] = -cached
    if any(key.startswith("cached_modality_") for key in known):
        # The list names every modality that was read from the cache.
        apart = {"cache_read_audio": 0, "cache_read_image": 0} | apart
    counts: dict[str, Any] = {quantity: sum(parts.values()) for quantity, parts in found.items()}
    if counts.get("cache_write") == 0 and (counts.get("cache_write_5m") or counts.get("cache_write_1h")):
        # langchain-anthropic puts the writes only into the two lifetimes when both are told.
        del counts["cache_write"]
    usage = Usage(
        convention=EXCLUSIVE,
        reason="Langfuse's usage_details are disjoint: each part was taken out of `input` or `output`",
        origins={quantity: _origin(parts) for quantity, parts in found.items()},
        details=apart,
        span_id=span_id,
        trust=TRUST_PROVIDER,
        reasoning_inside=False,
        **counts,
    )
    return replace(usage, disagreements=_beyond_total(usage))


def _parts_of(known: Mapping[str, int]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Quantity → the keys that make it up with their counts; and what may be priced apart inside."""
    named = [(key, name) for key in known if (name := _NAME.fullmatch(key))]
    tiered = {name[1] for _, name in named if name[2] and not name[3]}
    found: dict[str, dict[str, int]] = {}
    apart: dict[str, int] = {}
    for key, name in named:
        side, tier, part = name.groups()
        quantity = _PARTS.get(part, _SIDES[side])
        detail = f"{_SIDES[side]}_{_MODALITIES.get(part)}"
        if detail in _DETAILS and known[key]:
            apart[detail] = known[key]
        # LangChain's count of a tier is all that is neither cached nor reasoning: other parts lie inside it.
        if not (part and not tier and quantity == side and side in tiered):
            found.setdefault(quantity, {})[key] = known[key]
    return found, apart


def _origin(parts: Mapping[str, int]) -> str:
    """The keys that a count was summed from; the first of them where all are 0."""
    return ", ".join(f"{_KEY}.{key}" for key in [key for key, value in parts.items() if value] or [*parts][:1])


def _beyond_total(usage: Usage) -> tuple[str, ...]:
    """What the disjoint counts sum to, where the total says otherwise."""
    parts = (usage.input, usage.cache_read, usage.write, usage.tool_use, usage.output, usage.reasoning)
    processed = sum(part for part in parts if part is not None)
    if usage.total is None or usage.total == processed:
        return ()
    return (f"total: {', '.join(str(value) for value in sorted((processed, usage.total)))}",)


def _tier(details: Mapping[str, Any]) -> str | None:
    """The service tier that LangChain writes into the names of its parts."""
    return next((name[2] for key in details if (name := _NAME.fullmatch(key)) and name[2]), None)


def _usage_details(reading: Reading, context: Context) -> Reading:
    told = parse(context.attributes.get(_KEY))
    if not isinstance(told, dict):
        return reading
    details = {key: value for key, value in told.items() if isinstance(key, str)}
    found = usage_of(details, _KEY) if "input" not in details and "output" not in details else None
    if found is not None:
        found = replace(found, span_id=reading.span.span_id)
    else:
        found = _disjoint(details, reading.span.span_id)
    if found is None:
        return reading
    return replace(reading, usages=(found,), service_tier=reading.service_tier or _tier(details))


def _facts(attributes: Attributes) -> dict[str, Any]:
    return {
        "provider": text_of(attributes.get("langfuse.observation.metadata.ls_provider")),
        "request_model": text_of(attributes.get("langfuse.observation.metadata.ls_model_name")),
    }


DIALECTS = (
    Dialect(
        name="langfuse",
        scopes=("langfuse-sdk", "langfuse*"),
        vocabulary=GENAI,
        convention=always(UNKNOWN, "flat counts beside Langfuse's usage_details"),
        adjust=_usage_details,
        facts=_facts,
        rank=1,
    ),
)
