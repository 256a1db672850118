"""OpenTelemetry's own contrib instrumentations: botocore (Bedrock), openai-v2, openai-agents-v2, google-genai."""

from dataclasses import replace
from typing import Any

from ingest.dialects.base import Attributes, Context, Dialect, Reading, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import EXCLUSIVE, INCLUSIVE


def _renamed_agent(attributes: Attributes) -> dict[str, Any]:
    operation = attributes.get("gen_ai.operation.name")
    return {"operation": "chat"} if operation == "responses" else {}


def _google_tool_prompt(reading: Reading, context: Context) -> Reading:
    """contrib google-genai drops toolUsePromptTokenCount; thoughts are part of its output."""
    return replace(reading, usages=tuple(replace(usage, reasoning_inside=True) for usage in reading.usages))


DIALECTS = (
    Dialect(
        name="otel-botocore-bedrock",
        scopes=("opentelemetry.instrumentation.botocore*",),
        vocabulary=GENAI,
        convention=always(EXCLUSIVE, "botocore copies Bedrock's inputTokens, beside which cache reads and writes lie"),
        rank=2,
        facts=lambda attributes: {"provider": "aws.bedrock"},
    ),
    Dialect(
        name="otel-openai-v2",
        scopes=("opentelemetry.instrumentation.openai_v2", "opentelemetry.util.genai.*"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "openai-v2 copies prompt_tokens, of which cached tokens are part"),
        rank=2,
    ),
    Dialect(
        name="otel-openai-agents-v2",
        scopes=("opentelemetry.instrumentation.openai_agents_v2", "opentelemetry.instrumentation.genai.openai_agents"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "openai-agents-v2 copies the SDK's input_tokens, of which cached tokens are part"),
        nameless_agents=("OpenAI Agent", "agent"),
        ignores_address=True,
        facts=_renamed_agent,
        rank=1,
    ),
    Dialect(
        name="otel-google-genai",
        scopes=("opentelemetry.instrumentation.google_genai", "opentelemetry.instrumentation.genai.google_genai"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "google-genai copies promptTokenCount and adds thoughts to the output"),
        adjust=_google_tool_prompt,
        rank=2,
    ),
    Dialect(
        name="otel-vertexai",
        scopes=("opentelemetry.instrumentation.vertexai_v2", "opentelemetry.instrumentation.vertexai.v2"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "vertexai copies promptTokenCount, of which cached content is part"),
        facts=lambda attributes: {"provider": "gcp.vertex_ai"},
        rank=2,
    ),
    Dialect(
        name="otel-anthropic",
        scopes=(
            "opentelemetry.instrumentation.anthropic_v2",
            "opentelemetry.instrumentation.genai.anthropic",
            "opentelemetry.instrumentation.claude_agent_sdk",
        ),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "OpenTelemetry's convention: gen_ai.usage.input_tokens contains cached tokens"),
        rank=2,
    ),
)
