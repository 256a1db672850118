"""Gemini CLI: one log knows everything; a second log and the llm_call span lack cache and thoughts."""

from typing import Any

from ingest.dialects.base import Attributes, Context, Convention, Dialect, Role
from ingest.dialects.vocabulary import GENAI, joined
from ingest.usage import INCLUSIVE, TRUST_PROVIDER
from models.core.telemetry import Span
from models.core.vocabulary import Signal

_WORDS = joined(
    {
        "input": ("input_token_count",),
        "cache_read": ("cached_content_token_count",),
        "output": ("output_token_count",),
        "reasoning": ("thoughts_token_count",),
        "tool_use": ("tool_token_count",),
        "total": ("total_token_count",),
    },
    GENAI,
)


def _role(span: Span, attributes: Attributes) -> Role | None:
    if span.signal is Signal.METRICS:
        return Role.NONE
    if span.signal is Signal.LOGS:
        if span.name in ("gemini_cli.api_response", "gemini_cli.api_error"):
            return Role.CALL
        counted = "gen_ai.usage.input_tokens" in attributes
        return Role.CALL if counted and span.name.startswith("gen_ai.client.inference") else Role.NONE
    return Role.CALL if attributes.get("gen_ai.operation.name") in ("llm_call", "generate_content") else Role.ROLLUP


def _convention(context: Context) -> Convention:
    logged = "input_token_count" in context.attributes
    return Convention(
        INCLUSIVE,
        "Gemini CLI copies promptTokenCount and candidatesTokenCount; thoughts lie beside the output",
        *((TRUST_PROVIDER,) if logged else ()),
        reasoning_inside=False,
    )


def _facts(attributes: Attributes) -> dict[str, Any]:
    auth = str(attributes.get("auth_type", ""))
    failed = "error.message" in attributes or "error_message" in attributes
    return {
        "provider": "gcp.vertex_ai" if "vertex" in auth else "gcp.gemini",
        "operation": "generate_content",
        "is_error": failed,
        "is_refused": failed,
    }


DIALECTS = (
    Dialect(
        name="gemini-cli",
        scopes=("gemini-cli*", "gemini_cli*"),
        vocabulary=_WORDS,
        convention=_convention,
        role=_role,
        facts=_facts,
        rank=1,
    ),
)
