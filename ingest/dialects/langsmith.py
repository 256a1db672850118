"""LangSmith's OTel export: flat inclusive sums; the details are in JSON, beside them or in the run's outputs."""

from dataclasses import replace
from typing import Any

from ingest.dialects.base import Attributes, Context, Dialect, Reading, Role, always
from ingest.dialects.vocabulary import GENAI
from ingest.json_text import parse, text_of
from ingest.provider_bodies import langchain_tier, usage_of
from ingest.usage import INCLUSIVE
from models.core.telemetry import Span

_INPUT = "gen_ai.usage.input_token_details"
_OUTPUT = "gen_ai.usage.output_token_details"


def _role(span: Span, attributes: Attributes) -> Role | None:
    kind = text_of(attributes.get("langsmith.span.kind")) or text_of(attributes.get("langsmith.run_type"))
    if kind:
        return Role.CALL if kind.lower() in ("llm", "embedding") else Role.ROLLUP
    return None


def _details(reading: Reading, context: Context) -> Reading:
    """The sums with LangChain's details, which are JSON attributes of their own."""
    attributes = context.attributes
    told: dict[str, Any] = {
        "input_token_details": parse(attributes.get(_INPUT)),
        "output_token_details": parse(attributes.get(_OUTPUT)),
    }
    if not any(isinstance(part, dict) for part in told.values()):
        return reading
    told["input_tokens"] = attributes.get("gen_ai.usage.input_tokens")
    told["output_tokens"] = attributes.get("gen_ai.usage.output_tokens")
    told["total_tokens"] = attributes.get("gen_ai.usage.total_tokens")
    usage = usage_of({key: value for key, value in told.items() if value is not None}, "gen_ai.usage")
    if usage is None:
        return reading
    usages = (replace(usage, span_id=reading.span.span_id), *reading.usages)
    return replace(reading, usages=usages, service_tier=reading.service_tier or langchain_tier(told))


DIALECTS = (
    Dialect(
        name="langsmith",
        scopes=("langsmith*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "LangSmith exports LangChain's usage_metadata, the sum of all input"),
        bodies=("gen_ai.completion", "langsmith.metadata.usage_metadata", "gen_ai.usage.details", "output.value"),
        role=_role,
        adjust=_details,
        rank=1,
    ),
)
