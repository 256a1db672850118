"""MLflow tracing: mlflow.chat.tokenUsage in JSON, cached tokens inside the input."""

from dataclasses import replace
from typing import Any

from ingest.dialects.base import Context, Dialect, Reading, always
from ingest.dialects.vocabulary import GENAI
from ingest.json_text import parse
from ingest.provider_bodies import count
from ingest.usage import INCLUSIVE, Usage

_KEY = "mlflow.chat.tokenUsage"
_WORDS = {
    "input": "input_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
    "cache_write_1h": "cache_creation_input_tokens_above_1hr",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "total": "total_tokens",
}


def _token_usage(reading: Reading, context: Context) -> Reading:
    told = parse(context.attributes.get(_KEY))
    if not isinstance(told, dict):
        return reading
    counts: dict[str, Any] = {
        name: value for name, key in _WORDS.items() if (value := count(told.get(key))) is not None
    }
    if not counts:
        return reading
    usage = Usage(
        convention=INCLUSIVE,
        reason="MLflow sums the provider's input with its cached tokens",
        origins={name: f"{_KEY}.{_WORDS[name]}" for name in counts},
        span_id=reading.span.span_id,
        **counts,
    )
    return replace(reading, usages=(usage, *reading.usages))


DIALECTS = (
    Dialect(
        name="mlflow",
        scopes=("mlflow*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "MLflow sums the provider's input with its cached tokens"),
        bodies=("mlflow.spanOutputs",),
        adjust=_token_usage,
        rank=1,
    ),
)
