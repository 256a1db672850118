"""Logfire's integrations: flat counts are inclusive; gen_ai.usage.raw or `usage` hold the provider's own object."""

from dataclasses import replace
from hashlib import blake2b
from typing import Any

from ingest.dialects.base import Attributes, Context, Dialect, Reading, Role, always
from ingest.dialects.providers import provider_of_name
from ingest.dialects.vocabulary import GENAI
from ingest.json_text import parse
from ingest.usage import INCLUSIVE
from models.core.telemetry import Span

_BODIES = ("gen_ai.usage.raw", "response", "usage", "response_data")


def _agents_role(span: Span, attributes: Attributes) -> Role | None:
    if span.name.startswith(("Chat completion with", "Responses API", "Generation")):
        return Role.CALL
    return Role.ROLLUP


def _role(span: Span, attributes: Attributes) -> Role | None:
    """Up to 4 requests have no operation, and most no model, beside their request and response bodies."""
    if "gen_ai.operation.name" in attributes or not span.scope_name.startswith("logfire."):
        return None
    tags = attributes.get("logfire.tags")
    return Role.CALL if isinstance(tags, list | tuple) and "LLM" in tags else None


def _facts(attributes: Attributes) -> dict[str, Any]:
    asked = parse(attributes.get("request_data"))
    return {"request_model": asked.get("model")} if isinstance(asked, dict) else {}


def _streamed(reading: Reading, context: Context) -> Reading:
    """Tell the two records of a stream: the request, ended when it was opened, and the log span at its end.

    The log span ("streaming response from … took …") repeats the question, has the counts, and stands in another
    trace where the application has no span of its own; its time less its duration is when the request ended.
    """
    if reading.role is not Role.CALL:
        return reading
    attributes = context.attributes
    if reading.provider is None:
        reading = replace(reading, provider=provider_of_name(reading.span.scope_name.partition(".")[2]))
    question = attributes.get("jevons.input_hash")
    if question is None:
        words = attributes.get("gen_ai.input.messages", attributes.get("request_data"))
        if words is None:
            return reading
        question = blake2b(str(words).encode(), digest_size=16).hexdigest()
    asked = f"{reading.request_model}:{question}"
    took = attributes.get("duration")
    if attributes.get("logfire.span_type") != "log" or not isinstance(took, int | float):
        return reading if reading.has_usage else replace(reading, asked=asked)
    return replace(reading, asked=asked, opened_ns=reading.span.end_ns - int(took * 1_000_000_000), is_stream=True)


DIALECTS = (
    Dialect(
        name="logfire-openai-agents",
        scopes=("logfire.openai_agents",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "the Agents SDK's input_tokens contain cached tokens"),
        bodies=_BODIES,
        role=_agents_role,
        rank=1,
    ),
    Dialect(
        name="logfire",
        scopes=("logfire.*", "logfire"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Logfire sums the provider's input with its cached tokens"),
        bodies=_BODIES,
        role=_role,
        facts=_facts,
        adjust=_streamed,
        rank=2,
    ),
)
