"""Conventions of instrumentations without a public capture: 1237 fresh, 90112 read and 4608 written tokens."""

import json
from typing import Any

import pytest

from ingest.calls import derive_calls
from models.core.vocabulary import Signal, UsageSource
from tests.unit.test_call_laws import span

FRESH, READ, WRITE, HOUR, OUTPUT = 1237, 90112, 4608, 512, 613
WHOLE = FRESH + READ + WRITE
MODEL = {"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
GENAI = {
    "gen_ai.usage.cache_read.input_tokens": READ,
    "gen_ai.usage.cache_creation.input_tokens": WRITE,
    "gen_ai.usage.output_tokens": OUTPUT,
}
INCLUSIVE = {**MODEL, **GENAI, "gen_ai.usage.input_tokens": WHOLE}
EXCLUSIVE = {**MODEL, **GENAI, "gen_ai.usage.input_tokens": FRESH}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.provider": "Anthropic",
    "llm.model_name": "claude-sonnet-4-5",
    "llm.token_count.completion": OUTPUT,
    "llm.token_count.prompt_details.cache_read": READ,
    "llm.token_count.prompt_details.cache_write": WRITE,
}
LANGSMITH = {
    **MODEL,
    "langsmith.span.kind": "llm",
    "gen_ai.usage.input_tokens": WHOLE,
    "gen_ai.usage.output_tokens": OUTPUT,
    "gen_ai.usage.input_token_details": json.dumps({"cache_read": READ, "cache_creation": WRITE}),
}
MLFLOW = {
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.llm.model": '"claude-sonnet-4-5"',
    "mlflow.chat.tokenUsage": json.dumps(
        {
            "input_tokens": WHOLE,
            "output_tokens": OUTPUT,
            "cache_read_input_tokens": READ,
            "cache_creation_input_tokens": WRITE,
            "cache_creation_input_tokens_above_1hr": HOUR,
        }
    ),
}
VERCEL = {
    "ai.operationId": "ai.generateText.doGenerate",
    "ai.model.provider": "anthropic.messages",
    "ai.model.id": "claude-sonnet-4-5",
    "ai.usage.outputTokens": OUTPUT,
}


@pytest.mark.parametrize(
    ("scope", "told", "convention"),
    [
        pytest.param("strands.telemetry.tracer", INCLUSIVE, "inclusive", id="strands"),
        pytest.param("agent_framework", INCLUSIVE, "inclusive", id="agent-framework"),
        pytest.param("@mastra/otel-exporter", INCLUSIVE, "inclusive", id="mastra"),
        pytest.param("opentelemetry.instrumentation.bedrock", EXCLUSIVE, "exclusive", id="openllmetry-bedrock"),
        pytest.param("opentelemetry.instrumentation.botocore.bedrock-runtime", EXCLUSIVE, "exclusive", id="botocore"),
        pytest.param("openlit.instrumentation.anthropic", EXCLUSIVE, "exclusive", id="openlit"),
        pytest.param("langsmith", LANGSMITH, "inclusive", id="langsmith"),
        pytest.param("mlflow.tracing.provider", MLFLOW, "inclusive", id="mlflow"),
        pytest.param(
            "openinference.instrumentation.agno",
            {**OPENINFERENCE, "llm.token_count.prompt": FRESH},
            "exclusive",
            id="openinference-agno",
        ),
        pytest.param(
            "openinference.instrumentation.bedrock",
            {**OPENINFERENCE, "llm.token_count.prompt": WHOLE},
            "inclusive",
            id="openinference-bedrock",
        ),
        pytest.param(
            "ai",
            {
                **VERCEL,
                "ai.usage.inputTokens": WHOLE,
                "ai.usage.inputTokenDetails.cacheReadTokens": READ,
                "ai.usage.inputTokenDetails.cacheWriteTokens": WRITE,
            },
            "inclusive",
            id="vercel-with-details",
        ),
    ],
)
def test_a_documented_scope_is_read_by_its_convention(scope: str, told: dict[str, Any], convention: str) -> None:
    (call,) = derive_calls([span(1, "chat", scope, told)]).calls
    tokens = call.tokens
    writes = sum(count or 0 for count in (tokens.cache_write_5m, tokens.cache_write_1h, tokens.cache_write_unknown))
    assert (tokens.input, tokens.cache_read, writes, tokens.output) == (FRESH, READ, WRITE, OUTPUT)
    assert (call.convention, call.usage_source, call.model) == (convention, UsageSource.REPORTED, "claude-sonnet-4-5")


def test_mlflow_knows_the_lifetime_of_writes() -> None:
    (call,) = derive_calls([span(1, "chat", "mlflow.tracing.provider", MLFLOW)]).calls
    assert (call.tokens.cache_write_5m, call.tokens.cache_write_1h) == (WRITE - HOUR, HOUR)


def test_vercels_fifth_generation_is_exclusive_for_anthropic() -> None:
    told = {**VERCEL, "ai.usage.inputTokens": FRESH, "ai.usage.cachedInputTokens": READ}
    (call,) = derive_calls([span(1, "chat", "ai", told)]).calls
    assert (call.tokens.input, call.tokens.cache_read, call.tokens.cache_write_unknown) == (FRESH, READ, None)


def test_counts_that_openlit_invents_for_a_stream_are_not_taken() -> None:
    told = {**MODEL, "gen_ai.system": "openai", "gen_ai.request.is_stream": True}
    counts = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 5}
    (call,) = derive_calls([span(1, "openai.chat", "openlit.otel.tracing", {**told, **counts})]).calls
    assert call.usage_source is UsageSource.ABSENT
    assert call.tokens.is_absent
    # They stay visible beside the call, marked as estimates.
    aside = call.provenance["unbelieved"]
    assert (aside["attribute"], aside["value"], aside["usage_source"]) == (
        "gen_ai.usage.input_tokens, gen_ai.usage.output_tokens",
        "7, 5",
        "estimated",
    )


def test_codex_is_read_once_out_of_span_turn_and_log() -> None:
    counts = {"gen_ai.usage.input_tokens": 91349, "gen_ai.usage.output_tokens": 613, "codex.usage.total_tokens": 91962}
    cached = {"gen_ai.usage.cache_read.input_tokens": 90112, "codex.usage.reasoning_output_tokens": 201}
    turn = {"codex.turn.token_usage.input_tokens": 91349, "codex.turn.token_usage.output_tokens": 613}
    log = {
        "event.name": "codex.sse_event",
        "input_token_count": 91349,
        "cached_token_count": 90112,
        "output_token_count": 613,
        "reasoning_token_count": 201,
        "model": "gpt-5",
    }
    records = [
        span(1, "session_task.turn", "codex_exec", turn, end_ms=500),
        span(2, "responses", "codex_exec", {**counts, **cached}, parent=1, end_ms=90),
        span(3, "codex.sse_event", "codex_otel.log_only", log, trace=9, start_ms=90, end_ms=90, signal=Signal.LOGS),
    ]
    (call,) = derive_calls(records).calls
    tokens = call.tokens
    assert (tokens.input, tokens.cache_read, tokens.output, tokens.reasoning) == (FRESH, READ, 412, 201)
    assert call.model == "gpt-5"


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("eastus.openai.azure.com", "azure.ai.openai"),
        ("api.groq.com", "groq"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("gateway.example.internal", "openai"),
    ],
)
def test_the_host_that_bills_is_the_provider(address: str, provider: str) -> None:
    told = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "server.address": address}
    counts = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 1}
    (call,) = derive_calls([span(1, "chat", "opentelemetry.instrumentation.openai_v2", {**told, **counts})]).calls
    assert call.provider == provider


@pytest.mark.parametrize(
    ("provider", "served", "model"),
    [
        ("openai", "openai/gpt-5", "gpt-5"),
        ("groq", "groq/llama-3.3-70b-versatile", "llama-3.3-70b-versatile"),
        ("groq", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4.5"),
        ("gcp.gemini", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
    ],
)
def test_a_prefix_that_repeats_the_provider_is_no_part_of_the_model(provider: str, served: str, model: str) -> None:
    told = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": served}
    counts = {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 1}
    (call,) = derive_calls([span(1, "chat", "opentelemetry.instrumentation.openai_v2", {**told, **counts})]).calls
    assert (call.model, call.request_model) == (model, served)


def test_a_method_that_only_prepares_a_request_is_no_call() -> None:
    scope = "openinference.instrumentation.llama_index"
    model = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-oss-120b"}
    counts = {"llm.token_count.prompt": 100, "llm.token_count.completion": 10}
    prepared = span(1, "OpenAILike._prepare_chat_with_tools", scope, model)
    asked = span(2, "OpenAILike.achat", scope, model | counts)
    assert [call.tokens.input for call in derive_calls([prepared, asked]).calls] == [100]
