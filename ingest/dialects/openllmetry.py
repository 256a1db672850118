"""OpenLLMetry (Traceloop): one scope per library; the same keys, but Bedrock is exclusive and Google drops thoughts."""

from dataclasses import replace

from ingest.dialects.base import Context, Convention, Dialect, Reading, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import EXCLUSIVE, INCLUSIVE, TRUST_FAULTY, TRUST_FRAMEWORK

_OPENAI = always(INCLUSIVE, "OpenLLMetry copies OpenAI's prompt_tokens, of which cached tokens are part")


def _anthropic_convention(context: Context) -> Convention:
    reason = "OpenLLMetry-anthropic adds cache reads and writes to the input"
    # A stream's output is the final count plus the one of message_start (615 for a true 613).
    return Convention(INCLUSIVE, reason, TRUST_FAULTY if context.is_stream else TRUST_FRAMEWORK)


def _anthropic_faults(reading: Reading, context: Context) -> Reading:
    """Streams count message_start's output a second time: known fault, so the output is an estimate."""
    return replace(reading, is_estimated=bool(context.is_stream and reading.usages))


def _google_thoughts(reading: Reading, context: Context) -> Reading:
    """OpenLLMetry-google leaves thoughts out of the output, but the total has them (and the tool prompt)."""
    usages = []
    for usage in reading.usages:
        if usage.total is not None and usage.input is not None and usage.output is not None:
            rest = usage.total - usage.input - usage.output
            if usage.reasoning is None and rest > 0:
                origins = {**usage.origins, "reasoning": "gen_ai.usage.total_tokens − input − output"}
                usage = replace(usage, reasoning=rest, origins=origins)
        usages.append(replace(usage, reasoning_inside=False))
    return replace(reading, usages=tuple(usages))


def _langchain_faults(reading: Reading, context: Context) -> Reading:
    """Without streaming the Anthropic cache writes are always written as 0: no statement, so it is dropped."""
    if context.provider != "anthropic" or context.is_stream:
        return reading
    usages = tuple(
        replace(usage, cache_write=None) if usage.cache_write == 0 and not usage.cache_write_5m else usage
        for usage in reading.usages
    )
    return replace(reading, usages=usages)


DIALECTS = (
    Dialect(
        name="openllmetry-anthropic",
        scopes=("opentelemetry.instrumentation.anthropic",),
        vocabulary=GENAI,
        convention=_anthropic_convention,
        adjust=_anthropic_faults,
        rank=2,
    ),
    Dialect(
        name="openllmetry-bedrock",
        scopes=("opentelemetry.instrumentation.bedrock",),
        vocabulary=GENAI,
        convention=always(
            EXCLUSIVE, "OpenLLMetry-bedrock copies Bedrock's inputTokens, beside which cached tokens lie"
        ),
        facts=lambda attributes: {"provider": "aws.bedrock"},
        rank=2,
    ),
    Dialect(
        name="openllmetry-google",
        scopes=(
            "opentelemetry.instrumentation.google_generativeai",
            "opentelemetry.instrumentation.vertexai",
        ),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "OpenLLMetry-google copies promptTokenCount; thoughts are only in the total"),
        adjust=_google_thoughts,
        rank=2,
    ),
    Dialect(
        name="openllmetry-langchain",
        scopes=("opentelemetry.instrumentation.langchain",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "LangChain's usage_metadata counts cached tokens as input"),
        adjust=_langchain_faults,
        rank=1,
    ),
    Dialect(
        name="openllmetry-openai",
        scopes=("opentelemetry.instrumentation.openai*",),
        vocabulary=GENAI,
        convention=_OPENAI,
        rank=2,
    ),
    Dialect(
        name="openai-agents",
        # OpenLLMetry and OpenTelemetry contrib share this scope; both copy the SDK's input_tokens.
        scopes=("opentelemetry.instrumentation.openai_agents",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "the Agents SDK's input_tokens contain cached tokens"),
        nameless_agents=("OpenAI Agent", "agent"),
        ignores_address=True,
        rank=1,
    ),
    Dialect(
        name="openllmetry-llamaindex",
        scopes=("opentelemetry.instrumentation.llamaindex",),
        vocabulary=GENAI,
        convention=_OPENAI,
        rank=1,
    ),
    Dialect(
        name="openllmetry",
        scopes=(
            "opentelemetry.instrumentation.cohere",
            "opentelemetry.instrumentation.groq",
            "opentelemetry.instrumentation.haystack",
            "opentelemetry.instrumentation.mistralai",
            "opentelemetry.instrumentation.ollama",
            "opentelemetry.instrumentation.replicate",
            "opentelemetry.instrumentation.sagemaker",
            "opentelemetry.instrumentation.together",
            "opentelemetry.instrumentation.transformers",
            "opentelemetry.instrumentation.watsonx",
            "opentelemetry.instrumentation.writer",
            "opentelemetry.instrumentation.alephalpha",
            "opentelemetry.instrumentation.agno",
            "opentelemetry.instrumentation.mcp",
            "traceloop*",
        ),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "OpenLLMetry copies the provider's prompt tokens, of which cached ones are part"),
        rank=2,
    ),
)
