"""OpenTelemetry's own contrib instrumentations: botocore (Bedrock), openai-v2, openai-agents-v2, google-genai."""

from dataclasses import replace
from typing import Any

from ingest.dialects.base import Attributes, Context, Convention, Dialect, Reading, always, version_of
from ingest.dialects.vocabulary import GENAI
from ingest.usage import EXCLUSIVE, INCLUSIVE, TRUST_FAULTY, TRUST_FRAMEWORK


def _renamed_agent(attributes: Attributes) -> dict[str, Any]:
    operation = attributes.get("gen_ai.operation.name")
    return {"operation": "chat"} if operation == "responses" else {}


def _google(context: Context) -> Convention:
    version = version_of(context.span)
    if not version or version >= (1,):
        return Convention(INCLUSIVE, "google-genai copies promptTokenCount and adds thoughts to the output")
    trust = TRUST_FAULTY if version < (0, 7) and _is_google_stream(context.attributes) else TRUST_FRAMEWORK
    return Convention(INCLUSIVE, "google-genai before 1.0 copies candidatesTokenCount; thoughts are nowhere", trust)


def _google_stream(reading: Reading, context: Context) -> Reading:
    """Before 0.7 a stream's input was added up over its chunks, each of which tells the whole."""
    version = version_of(context.span)
    summed = bool(version) and version < (0, 7) and _is_google_stream(context.attributes)
    return replace(reading, is_estimated=True) if summed and reading.usages else reading


def _is_google_stream(attributes: Attributes) -> bool:
    return str(attributes.get("code.function.name", "")).endswith("_stream")


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
        convention=_google,
        adjust=_google_stream,
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
