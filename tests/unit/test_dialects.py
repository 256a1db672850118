"""Conventions of instrumentations without a public capture: 1237 fresh, 90112 read and 4608 written tokens."""

import json
from decimal import Decimal
from typing import Any

import pytest

from ingest.calls import derive_calls
from models.core.telemetry import Call
from models.core.vocabulary import Signal, UsageSource
from models.prices.skus import price_key
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


def test_vercels_metadata_alone_tells_cached_tokens_of_claude_and_bedrock() -> None:
    bedrock = {
        **VERCEL,
        "ai.model.provider": "amazon-bedrock",
        "ai.usage.inputTokens": 12,
        "ai.response.providerMetadata": json.dumps({"bedrock": {"usage": {"cacheWriteInputTokens": 50_000}}}),
    }
    (call,) = derive_calls([span(1, "chat", "ai", bedrock)]).calls
    tokens = call.tokens
    assert (tokens.input, tokens.cache_read, tokens.cache_write_unknown) == (12, None, 50_000)
    assert (call.provider, call.convention) == ("aws.bedrock", "exclusive")
    # The fourth generation has no usage object around them.
    cached = {"cacheCreationInputTokens": WRITE, "cacheReadInputTokens": READ}
    fourth = {
        **VERCEL,
        "ai.usage.promptTokens": FRESH,
        "ai.response.providerMetadata": json.dumps({"anthropic": cached}),
    }
    (call,) = derive_calls([span(1, "chat", "ai", fourth)]).calls
    tokens = call.tokens
    assert (tokens.input, tokens.cache_read, tokens.cache_write_unknown) == (FRESH, READ, WRITE)
    assert call.provenance["cache_write_unknown"]["attribute"] == (
        "ai.response.providerMetadata.cacheCreationInputTokens"
    )


def test_an_operation_around_vercels_bedrock_request_keeps_what_is_beyond_it() -> None:
    metadata = json.dumps({"bedrock": {"usage": {"cacheWriteInputTokens": 50_000}}})
    inner = {**VERCEL, "ai.model.provider": "amazon-bedrock", "ai.response.providerMetadata": metadata}
    counts = {"gen_ai.usage.input_tokens": 60_000, "gen_ai.usage.output_tokens": 1_000}
    calls = derive_calls(
        [
            span(1, "chat", "acme.outer", {"gen_ai.operation.name": "chat", **counts}, end_ms=100),
            span(2, "ai.generateText.doGenerate", "ai", {**inner, "ai.usage.inputTokens": 12}, parent=1, end_ms=9),
        ]
    ).calls
    assert sorted(call.tokens.known_total for call in calls) == [61_000 - 50_012 - OUTPUT, 50_012 + OUTPUT]


def test_an_operation_that_repeats_vercels_last_bedrock_request_is_no_call() -> None:
    metadata = json.dumps({"bedrock": {"usage": {"cacheWriteInputTokens": 50}}})
    inner = {**VERCEL, "ai.model.provider": "amazon-bedrock", "ai.response.providerMetadata": metadata}
    counts = {"gen_ai.usage.input_tokens": 45_000, "gen_ai.usage.output_tokens": 2_000}
    calls = derive_calls(
        [
            span(1, "chat", "acme.outer", {"gen_ai.operation.name": "chat", **counts}, end_ms=100),
            span(2, "ai.generateText.doGenerate", "ai", {**inner, "ai.usage.inputTokens": 40_000}, parent=1, end_ms=9),
            span(3, "ai.generateText.doGenerate", "ai", {**inner, "ai.usage.inputTokens": 45_000}, parent=1, end_ms=19),
        ]
    ).calls
    assert [call.tokens.input for call in calls] == [40_000, 45_000]


@pytest.mark.parametrize("named", ["vertex.anthropic.messages", "googleVertex.anthropic.messages"])
def test_claude_on_vertex_is_billed_by_google_and_counts_as_anthropic_does(named: str) -> None:
    told = {
        **VERCEL,
        "ai.model.provider": named,
        "gen_ai.system": named,
        "ai.model.id": "claude-sonnet-4-5@20250929",
        "ai.usage.inputTokens": READ + 1,
        "ai.usage.cachedInputTokens": READ,
    }
    (call,) = derive_calls([span(1, "chat", "ai", told)]).calls
    # As inclusive counts these would be a single fresh token.
    assert (call.tokens.input, call.tokens.cache_read, call.convention) == (READ + 1, READ, "exclusive")
    assert call.provider == "gcp.vertex_ai"
    assert price_key(call.provider, call.model)[:2] == ("google", "claude-sonnet-4-5")


def test_litellms_own_cost_is_kept_for_the_cross_check() -> None:
    told = {**INCLUSIVE, "hidden_params": json.dumps({"response_cost": 0.0058, "litellm_overhead_time_ms": 3.2})}
    (call,) = derive_calls([span(1, "litellm_request", "litellm", told)]).calls
    assert call.reported_cost == Decimal("0.0058")


def test_a_total_with_reasoning_beside_the_output_is_believed() -> None:
    told = {**MODEL, "gen_ai.system": "xai", "gen_ai.request.model": "grok-4"}
    counts = {"gen_ai.usage.input_tokens": 279, "gen_ai.usage.output_tokens": 800}
    sums = {"gen_ai.usage.reasoning.output_tokens": 89, "gen_ai.usage.total_tokens": 1168}
    (call,) = derive_calls([span(1, "chat", "opentelemetry.instrumentation.openai", {**told, **counts, **sums})]).calls
    assert (call.tokens.input, call.tokens.output, call.tokens.reasoning) == (279, 800, 89)


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


def langfuse(details: dict[str, int]) -> Call:
    told = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-5"}
    told["langfuse.observation.usage_details"] = json.dumps(details)
    (call,) = derive_calls([span(1, "chat", "langfuse-sdk", told)]).calls
    return call


@pytest.mark.parametrize(
    ("details", "tokens"),
    [
        pytest.param(
            {"total": 559, "input_modality_1": 4, "output_modality_1": 15, "thoughts_token_count": 540},
            {"input": 4, "output": 15, "reasoning": 540},
            id="vertex-by-modality",
        ),
        pytest.param(
            {"total": 1020, "input_modality_1": 200, "cached_modality_1": 800, "output_modality_1": 20}
            | {"cached_content_token_count": 800},
            {"input": 200, "cache_read": 800, "output": 20},
            id="vertex-takes-cached-content-out-by-modality",
        ),
        pytest.param(
            {"input": 1000, "output": 20, "total": 1020, "cached_content_token_count": 800},
            {"input": 200, "cache_read": 800, "output": 20},
            id="vertex-leaves-cached-content-in-the-prompt-without-modalities",
        ),
        pytest.param(
            {"total": 1100, "input_flex": 200, "input_flex_cache_read": 800}
            | {"output_flex": 60, "output_flex_reasoning": 40},
            {"input": 200, "cache_read": 800, "output": 60, "reasoning": 40},
            id="flex",
        ),
        pytest.param(
            {"total": 260, "input_priority": 200, "input_audio": 50, "output_priority": 60, "output_audio": 0},
            {"input": 200, "output": 60},
            id="audio-lies-inside-its-tier",
        ),
        pytest.param(
            {"input": 70, "output": 10, "total": 150, "input_audio": 30, "output_audio": 40},
            {"input": 100, "output": 50},
            id="audio-goes-back-into-its-side",
        ),
        pytest.param(
            {"input": 1237, "output": 613, "total": 96570, "input_cache_read": 90112, "input_cache_creation": 0}
            | {"input_ephemeral_5m_input_tokens": 4096, "input_ephemeral_1h_input_tokens": 512},
            {"input": 1237, "cache_read": 90112, "cache_write_5m": 4096, "cache_write_1h": 512, "output": 613},
            id="lifetimes-of-cache-writes",
        ),
        pytest.param(
            {"input": 5, "output": 7, "total": 30, "input_documents": 8, "output_rejected_prediction_tokens": 10},
            {"input": 13, "output": 17},
            id="parts-that-nobody-knows",
        ),
    ],
)
def test_langfuse_parts_sum_to_what_the_provider_processed(details: dict[str, int], tokens: dict[str, int]) -> None:
    call = langfuse({"input": 0, "output": 0, **details})
    assert {bucket: told for bucket, told in call.tokens.as_dict().items() if told} == tokens
    assert call.tokens.known_total == details["total"]
    assert "disagreement" not in call.provenance


def test_langfuse_parts_keep_their_price() -> None:
    flex = langfuse({"input": 0, "output": 0, "input_flex": 0, "input_flex_cache_read": 800, "output_flex": 60})
    assert (flex.service_tier, flex.tokens.input, flex.tokens.cache_read) == ("flex", 0, 800)
    heard = {"input": 70, "output": 0, "input_audio": 30, "output_modality_1": 2, "output_modality_2": 40}
    assert langfuse(heard).details == {"input_audio": 30, "output_image": 40}
    kept = {"input": 0, "output": 9, "input_modality_AUDIO": 5, "cached_modality_AUDIO": 7, "cached_modality_TEXT": 1}
    assert langfuse(kept).details == {"cache_read_audio": 7, "input_audio": 5}
    assert langfuse(kept).tokens.cache_read == 8
    # Every modality that was read from the cache is listed: of the audio, nothing was.
    spoken = {"input": 0, "output": 20, "input_modality_1": 200, "input_modality_4": 50, "cached_modality_1": 800}
    assert langfuse(spoken).details == {"cache_read_audio": 0, "input_audio": 50}


def test_a_langfuse_count_names_the_parts_that_it_was_summed_from() -> None:
    read = langfuse({"input": 0, "output": 9, "input_modality_1": 4, "input_modality_4": 5}).provenance
    key = "langfuse.observation.usage_details"
    assert read["input"]["attribute"] == f"{key}.input_modality_1, {key}.input_modality_4"
    assert (read["input"]["value"], read["output"]["attribute"]) == (9, f"{key}.output")


def test_langfuse_parts_that_do_not_sum_to_their_total_are_a_disagreement() -> None:
    call = langfuse({"input": 5, "output": 7, "total": 20})
    assert (call.tokens.input, call.tokens.output) == (5, 7)
    assert call.provenance["disagreement"] == {"on": ["total: 12, 20"]}


def test_langsmith_tells_the_tier_in_the_names_of_its_details() -> None:
    told = {
        **MODEL,
        "langsmith.span.kind": "llm",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.input_token_details": json.dumps({"flex": 200, "flex_cache_read": 800}),
        "gen_ai.usage.output_token_details": json.dumps({"flex": 60, "flex_reasoning": 40}),
    }
    (call,) = derive_calls([span(1, "chat", "langsmith", told)]).calls
    tokens = call.tokens
    assert (tokens.input, tokens.cache_read, tokens.output, tokens.reasoning) == (200, 800, 60, 40)
    assert call.service_tier == "flex"
