"""Which records describe a request to a model, which only contain such requests, and which are neither."""

from functools import lru_cache
from typing import Any

from ingest.dialects.base import Attributes, Role
from models.core.telemetry import Span
from models.core.vocabulary import Signal

_OPENINFERENCE_CALLS = frozenset({"LLM", "EMBEDDING"})
_MODEL_WORDS = ("chat", "completion", "generate", "embed", "llm", "responses", "message", "inference", "transcri")
_CONTAINER_WORDS = ("agent", "workflow", "tool", "task", "chain", "step", "handoff", "retriev", "guard", "rerank")
_LANGFUSE_CALLS = frozenset({"generation", "embedding"})
_MLFLOW_CALLS = frozenset({"CHAT_MODEL", "LLM", "EMBEDDING"})
_MARKS = ("gen_ai.", "llm.", "ai.", "langfuse.", "mlflow.", "traceloop.", "openinference.", "langsmith.")

OPERATIONS = {
    "chat.completions": "chat",
    "chat_completion": "chat",
    "chat.completion": "chat",
    "completion": "text_completion",
    "text.completions": "text_completion",
    "embedding": "embeddings",
    "llm_call": "chat",
    "messages": "chat",
}
"""Operation names of older or other vocabularies → OpenTelemetry's."""


def _word(value: Any) -> str:
    return value.strip('"') if isinstance(value, str) else ""


@lru_cache(maxsize=1024)
def is_model_operation(operation: str) -> bool:
    """Whether an operation name means a request to a model."""
    lower = operation.lower()
    return not any(word in lower for word in _CONTAINER_WORDS) and any(word in lower for word in _MODEL_WORDS)


def role_of(span: Span, attributes: Attributes) -> Role:
    """What the record is, by the words of every vocabulary, the most explicit first."""
    if span.signal is Signal.METRICS:
        return Role.NONE
    if span.signal is Signal.LOGS:
        counted = any(key.startswith("gen_ai.usage.") for key in attributes)
        return Role.CALL if counted and "gen_ai.client.inference" in span.name else Role.NONE
    kind = _word(attributes.get("openinference.span.kind")).upper()
    if kind:
        return Role.CALL if kind in _OPENINFERENCE_CALLS else Role.ROLLUP
    observation = _word(attributes.get("langfuse.observation.type")).lower()
    if observation:
        return Role.CALL if observation in _LANGFUSE_CALLS else Role.ROLLUP
    mlflow = _word(attributes.get("mlflow.spanType")).upper()
    if mlflow:
        return Role.CALL if mlflow in _MLFLOW_CALLS else Role.ROLLUP
    langsmith = _word(attributes.get("langsmith.span.kind")).lower()
    if langsmith:
        return Role.CALL if langsmith in ("llm", "embedding") else Role.ROLLUP
    step = _word(attributes.get("ai.operationId"))
    if step:
        return Role.CALL if ".do" in step else Role.ROLLUP
    operation = _word(attributes.get("gen_ai.operation.name"))
    if operation:
        return Role.CALL if is_model_operation(operation) else Role.ROLLUP
    if attributes.get("llm.request.type"):
        return Role.CALL
    if attributes.get("traceloop.span.kind") or "gen_ai.tool.name" in attributes:
        return Role.ROLLUP
    counted = any(key.startswith(("gen_ai.usage.", "llm.token_count.", "llm.usage.")) for key in attributes)
    if counted and ("gen_ai.request.model" in attributes or "llm.model_name" in attributes):
        return Role.CALL
    if counted:
        return Role.ROLLUP
    if "gen_ai.request.model" in attributes and span.kind == 3:
        return Role.CALL
    return Role.ROLLUP if any(key.startswith(_MARKS) for key in attributes) else Role.NONE


def operation_of(span: Span, attributes: Attributes) -> str:
    """OpenTelemetry's name for what was asked of the model."""
    told = _word(attributes.get("gen_ai.operation.name")) or _word(attributes.get("llm.request.type"))
    if told:
        return OPERATIONS.get(told.lower(), told.lower())
    words = " ".join(
        (
            span.name,
            _word(attributes.get("openinference.span.kind")),
            _word(attributes.get("ai.operationId")),
            _word(attributes.get("langfuse.observation.type")),
            _word(attributes.get("mlflow.spanType")),
        )
    ).lower()
    return "embeddings" if "embed" in words else "chat"
