"""Which records describe a request to a model, which only contain such requests, and which are neither."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ingest.dialects.base import Attributes, Role
from ingest.dialects.shape import shape_of
from models.core.telemetry import Span
from models.core.vocabulary import Signal

_MODEL_WORDS = ("chat", "completion", "generate", "embed", "llm", "responses", "message", "inference", "transcri")
_CONTAINER_WORDS = ("agent", "workflow", "tool", "task", "chain", "step", "handoff", "retriev", "guard", "rerank")
CLIENT = 3
"""OpenTelemetry's span kind of a request that goes out."""
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
    words = shape_of(attributes).of(_role_words)
    for key, said in words.explicit:
        word = _word(attributes[key])
        if word:
            return said(word)
    if words.names_tool:
        return Role.ROLLUP
    if words.counted:
        return Role.CALL if words.names_model else Role.ROLLUP
    if span.kind == CLIENT and "gen_ai.request.model" in attributes:
        return Role.CALL
    return Role.ROLLUP if words.marked else Role.NONE


@dataclass(slots=True, frozen=True)
class _RoleWords:
    """What the names of a record's attributes say about its role."""

    explicit: Sequence[tuple[str, Callable[[str], Role]]]
    """Attributes whose word decides, the most explicit first."""
    names_tool: bool
    counted: bool
    names_model: bool
    marked: bool


def _role_words(names: Collection[str]) -> _RoleWords:
    return _RoleWords(
        explicit=tuple((key, said) for key, said in _EXPLICIT.items() if key in names),
        names_tool="gen_ai.tool.name" in names,
        counted=any(name.startswith(("gen_ai.usage.", "llm.token_count.", "llm.usage.")) for name in names),
        names_model="gen_ai.request.model" in names or "llm.model_name" in names,
        marked=any(name.startswith(_MARKS) for name in names),
    )


def _call_if(words: frozenset[str]) -> Callable[[str], Role]:
    return lambda word: Role.CALL if word.lower() in words else Role.ROLLUP


_EXPLICIT: dict[str, Callable[[str], Role]] = {
    "openinference.span.kind": _call_if(frozenset({"llm", "embedding"})),
    "langfuse.observation.type": _call_if(frozenset({"generation", "embedding"})),
    "mlflow.spanType": _call_if(frozenset({"chat_model", "llm", "embedding"})),
    "langsmith.span.kind": _call_if(frozenset({"llm", "embedding"})),
    "ai.operationId": lambda word: Role.CALL if ".do" in word else Role.ROLLUP,
    "gen_ai.operation.name": lambda word: Role.CALL if is_model_operation(word) else Role.ROLLUP,
    "llm.request.type": lambda word: Role.CALL,
    "traceloop.span.kind": lambda word: Role.ROLLUP,
}


def operation_of(span: Span, attributes: Attributes) -> str:
    """OpenTelemetry's name for what was asked of the model."""
    told = _word(attributes.get("gen_ai.operation.name")) or _word(attributes.get("llm.request.type"))
    if told:
        return _operation(told)
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


@lru_cache(maxsize=1024)
def _operation(told: str) -> str:
    lower = told.lower()
    return OPERATIONS.get(lower, lower)
