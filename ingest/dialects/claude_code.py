"""Claude Code: the same request as an api_request log and, in the beta, as a span; cached tokens lie beside input."""

from typing import Any

from ingest.dialects.base import Attributes, Dialect, Role, always
from ingest.usage import EXCLUSIVE
from models.core.telemetry import Span
from models.core.vocabulary import Signal

_WORDS = {
    "input": ("input_tokens",),
    "cache_read": ("cache_read_tokens",),
    "cache_write": ("cache_creation_tokens",),
    "output": ("output_tokens",),
}


def _role(span: Span, attributes: Attributes) -> Role | None:
    if span.signal is Signal.METRICS:
        return Role.NONE
    if span.signal is Signal.LOGS:
        name = span.name.removeprefix("claude_code.")
        return Role.CALL if name in ("api_request", "api_error") else Role.NONE
    return Role.CALL if span.name == "claude_code.llm_request" else Role.ROLLUP


def _facts(attributes: Attributes) -> dict[str, Any]:
    failed = attributes.get("success") in (False, "false") or "error" in attributes
    speed = attributes.get("speed")
    return {
        "provider": attributes.get("gen_ai.system") or "anthropic",
        "operation": "chat",
        "model": attributes.get("model"),
        "response_id": attributes.get("request_id"),
        "service_tier": speed if speed not in (None, "", "normal") else None,
        "is_error": failed,
        "is_refused": failed and "input_tokens" not in attributes,
    }


DIALECTS = (
    Dialect(
        name="claude-code",
        scopes=("com.anthropic.claude_code*",),
        vocabulary=_WORDS,
        convention=always(EXCLUSIVE, "Claude Code copies Anthropic's input_tokens, beside which cached tokens lie"),
        role=_role,
        facts=_facts,
        rank=1,
    ),
)
