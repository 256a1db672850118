"""Langfuse SDK: all counts in one JSON object, in the provider's own words or in Langfuse's disjoint ones."""

from dataclasses import replace
from typing import Any

from ingest.dialects.base import Attributes, Context, Dialect, Reading, always
from ingest.dialects.vocabulary import GENAI
from ingest.json_text import parse, text_of
from ingest.provider_bodies import count, usage_of
from ingest.usage import EXCLUSIVE, TRUST_PROVIDER, UNKNOWN, Usage

_KEY = "langfuse.observation.usage_details"
_DISJOINT = {
    "input": ("input",),
    "cache_read": ("cache_read_input_tokens", "input_cached_tokens", "input_cache_read"),
    "cache_write": ("cache_creation_input_tokens", "input_cache_creation"),
    "cache_write_5m": ("cache_creation_ephemeral_5m_input_tokens", "input_cache_creation_5m"),
    "cache_write_1h": ("cache_creation_ephemeral_1h_input_tokens", "input_cache_creation_1h"),
    "output": ("output",),
    "reasoning": ("output_reasoning_tokens", "output_reasoning"),
    "total": ("total",),
}


def _disjoint(details: dict[str, Any], span_id: bytes) -> Usage | None:
    """Langfuse's own names: every key beside `input` and `output` was taken out of them."""
    counts: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for quantity, aliases in _DISJOINT.items():
        for alias in aliases:
            value = count(details.get(alias))
            if value is not None:
                counts[quantity], origins[quantity] = value, f"{_KEY}.{alias}"
                break
    if "input" not in counts and "output" not in counts:
        return None
    return Usage(
        convention=EXCLUSIVE,
        reason="Langfuse's usage_details are disjoint: cached tokens were taken out of `input`",
        origins=origins,
        span_id=span_id,
        trust=TRUST_PROVIDER,
        reasoning_inside=False,
        **counts,
    )


def _usage_details(reading: Reading, context: Context) -> Reading:
    details = parse(context.attributes.get(_KEY))
    if not isinstance(details, dict):
        return reading
    found = usage_of(details, _KEY) if "input" not in details and "output" not in details else None
    if found is not None:
        found = replace(found, span_id=reading.span.span_id)
    else:
        found = _disjoint(details, reading.span.span_id)
    return replace(reading, usages=(found,)) if found is not None else reading


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
