"""OpenInference (Arize): llm.token_count.*; the provider's raw answer in output.value knows id, tier and lifetimes."""

from dataclasses import replace

from ingest.dialects.base import Attributes, Context, Convention, Dialect, Reading, Role, always, version_of
from ingest.dialects.crewai import openinference_crew
from ingest.dialects.vocabulary import GENAI, OPENINFERENCE, joined
from ingest.provider_bodies import count
from ingest.usage import EXCLUSIVE, INCLUSIVE
from models.core.telemetry import Span

_BODIES = ("output.value", "metadata")
_WORDS = joined(OPENINFERENCE, GENAI)


def _anthropic(context: Context) -> Convention:
    version = version_of(context.span)
    if version and version < (0, 1, 14):
        return Convention(EXCLUSIVE, "OpenInference-anthropic up to 0.1.13 takes Anthropic's own input_tokens")
    told = any("prompt_details.cache" in key for key in context.attributes)
    # `messages.stream()` tells only by the span's name that it is one.
    streams = context.is_stream or context.span.name == "MessagesStream"
    if version and version < (1,) and streams and not told:
        return Convention(EXCLUSIVE, "OpenInference-anthropic 0.1 streams: input_tokens without cached tokens")
    return Convention(INCLUSIVE, "OpenInference-anthropic adds cache reads and writes to the prompt")


def _anthropic_abort(reading: Reading, context: Context) -> Reading:
    """A stream that the client left: no end, no finish reason, and message_start's count instead of the answer's."""
    left = context.is_stream and context.span.status == "unset" and "llm.finish_reason" not in context.attributes
    if not left or version_of(context.span) < (1,) or not reading.usages:
        return reading
    usages = tuple(replace(usage, output=None, reasoning=None, total=None) for usage in reading.usages)
    return replace(reading, usages=usages, is_partial=True)


def _langchain(context: Context) -> Convention:
    version = version_of(context.span)
    if context.provider not in ("anthropic", "aws.bedrock") or not version or version >= (0, 1, 55):
        return Convention(INCLUSIVE, "OpenInference-langchain takes LangChain's sum of all input")
    if _beyond_both_sides(context) == 0:
        # Only LangChain's own usage_metadata, which a stream leaves, has a total.
        return Convention(INCLUSIVE, "OpenInference-langchain takes LangChain's sum of all input from a stream")
    return Convention(EXCLUSIVE, "OpenInference-langchain up to 0.1.54 takes Anthropic's own input_tokens")


def _bedrock(context: Context) -> Convention:
    if _beyond_both_sides(context):
        return Convention(
            EXCLUSIVE, "OpenInference-bedrock before 0.1.61 copies inputTokens; the total has the cached tokens beside"
        )
    return Convention(INCLUSIVE, "OpenInference-bedrock adds cache reads and writes to the prompt")


def _beyond_both_sides(context: Context) -> int | None:
    """What the total has beyond prompt and completion; None where one of the three is not told."""
    get = context.attributes.get
    total, prompt, answer = (count(get(f"llm.token_count.{side}")) for side in ("total", "prompt", "completion"))
    # An answer that nobody counted is part of the total too: without its count nothing is known beyond both.
    return None if total is None or prompt is None or answer is None else total - prompt - answer


def _agno(context: Context) -> Convention:
    if context.provider in ("anthropic", "aws.bedrock"):
        return Convention(EXCLUSIVE, "OpenInference-agno copies Anthropic's input_tokens, beside which cached ones lie")
    return Convention(INCLUSIVE, "OpenInference-agno copies the prompt tokens, of which cached ones are part")


def _google(context: Context) -> Convention:
    # The prompt count has the tool prompt added; only the raw answer tells it apart.
    return Convention(INCLUSIVE, "OpenInference-google adds thoughts to the output and the tool prompt to the prompt")


def _llama_index_role(span: Span, attributes: Attributes) -> Role | None:
    """LlamaIndex marks methods as LLM that only put a request together, such as `_prepare_chat_with_tools`."""
    return Role.ROLLUP if "._prepare" in span.name else None


def _scopes(*names: str) -> tuple[str, ...]:
    return tuple(f"openinference.instrumentation.{name}" for name in names)


DIALECTS = (
    Dialect(
        name="openinference-anthropic",
        scopes=(*_scopes("anthropic"), "@arizeai/openinference-instrumentation-anthropic"),
        vocabulary=_WORDS,
        convention=_anthropic,
        bodies=_BODIES,
        adjust=_anthropic_abort,
        rank=2,
    ),
    Dialect(
        name="openinference-langchain",
        scopes=(*_scopes("langchain"), "@arizeai/openinference-instrumentation-langchain*"),
        vocabulary=_WORDS,
        convention=_langchain,
        bodies=_BODIES,
        rank=1,
    ),
    Dialect(
        name="openinference-agno",
        scopes=_scopes("agno"),
        vocabulary=_WORDS,
        convention=_agno,
        bodies=_BODIES,
        rank=1,
    ),
    Dialect(
        name="openinference-google",
        scopes=_scopes("google_genai", "vertexai", "google_adk"),
        vocabulary=_WORDS,
        convention=_google,
        bodies=_BODIES,
        rank=2,
    ),
    Dialect(
        name="openinference-bedrock",
        scopes=_scopes("bedrock"),
        vocabulary=_WORDS,
        convention=_bedrock,
        bodies=_BODIES,
        facts=lambda attributes: {"provider": "aws.bedrock"},
        rank=2,
    ),
    Dialect(
        name="openinference-crewai",
        scopes=_scopes("crewai"),
        vocabulary=_WORDS,
        convention=always(INCLUSIVE, "CrewAI's UsageMetrics.prompt_tokens contain cached_prompt_tokens"),
        adjust=openinference_crew,
        rank=1,
    ),
    Dialect(
        name="openinference-llama-index",
        scopes=_scopes("llama_index"),
        vocabulary=_WORDS,
        convention=always(INCLUSIVE, "OpenInference: llm.token_count.prompt contains its prompt_details"),
        bodies=_BODIES,
        role=_llama_index_role,
        rank=1,
    ),
    Dialect(
        name="openinference",
        scopes=("openinference.instrumentation.*", "@arizeai/openinference-*"),
        vocabulary=_WORDS,
        convention=always(INCLUSIVE, "OpenInference: llm.token_count.prompt contains its prompt_details"),
        bodies=_BODIES,
        rank=1,
    ),
)
