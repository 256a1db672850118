"""Codex: a log per finished answer and per attempt, spans with the same counts; turn sums are roll-ups."""

from typing import Any

from ingest.dialects.base import Attributes, Dialect, Role, always
from ingest.dialects.vocabulary import GENAI, joined
from ingest.usage import INCLUSIVE
from models.core.telemetry import Span
from models.core.vocabulary import Signal

_WORDS = joined(
    {
        "input": ("input_token_count",),
        "cache_read": ("cached_token_count",),
        "cache_write": ("cache_write_token_count",),
        "output": ("output_token_count",),
        "reasoning": ("reasoning_token_count", "codex.usage.reasoning_output_tokens"),
        "total": ("codex.usage.total_tokens",),
    },
    GENAI,
)


def _failed(attributes: Attributes) -> bool:
    status = attributes.get("http.response.status_code")
    return bool(attributes.get("error.message")) or (
        isinstance(status, int | str) and str(status).isdigit() and int(status) >= 400
    )


def _role(span: Span, attributes: Attributes) -> Role | None:
    if span.signal is Signal.METRICS:
        return Role.NONE
    if span.signal is Signal.LOGS:
        event = attributes.get("event.name", span.name)
        if event == "codex.sse_event" and "input_token_count" in attributes:
            return Role.CALL
        if event == "codex.api_request" and _failed(attributes):
            return Role.CALL
        return Role.NONE
    if "gen_ai.usage.input_tokens" in attributes:
        return Role.CALL
    return Role.ROLLUP if any(key.startswith("codex.turn.") for key in attributes) else Role.NONE


def _facts(attributes: Attributes) -> dict[str, Any]:
    failed = _failed(attributes)
    provider = attributes.get("provider_name")
    return {
        "provider": provider or "openai",
        "operation": "chat",
        "model": attributes.get("model") or attributes.get("slug"),
        "is_error": failed,
        "is_refused": failed,
    }


DIALECTS = (
    Dialect(
        name="codex",
        scopes=("codex*",),
        vocabulary=_WORDS,
        convention=always(INCLUSIVE, "Codex copies OpenAI's input_tokens, of which cached tokens are part"),
        role=_role,
        facts=_facts,
        rank=1,
    ),
)
