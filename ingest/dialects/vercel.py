"""Vercel AI SDK: scope `ai` for two generations (told apart by their attributes), `gen_ai` for the v7 spans."""

from typing import Any

from ingest.dialects.base import Attributes, Context, Convention, Dialect, always
from ingest.dialects.vocabulary import GENAI, joined
from ingest.json_text import text_of
from ingest.usage import EXCLUSIVE, INCLUSIVE

_WORDS = joined(
    {
        "input": ("ai.usage.inputTokens", "ai.usage.promptTokens"),
        "cache_read": ("ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"),
        "cache_write": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "output": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "reasoning": ("ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"),
        "total": ("ai.usage.totalTokens",),
    },
    GENAI,
    {"input": ("ai.usage.tokens",)},
)
_DETAILED = "ai.usage.inputTokenDetails."


def _convention(context: Context) -> Convention:
    if any(key.startswith(_DETAILED) for key in context.attributes):
        return Convention(INCLUSIVE, "the AI SDK from v6 on: inputTokens is the sum of its inputTokenDetails")
    if context.provider in ("anthropic", "aws.bedrock") or _is_claude(context):
        return Convention(EXCLUSIVE, "the AI SDK up to v5 passes the provider's input, beside which cached tokens lie")
    return Convention(INCLUSIVE, "the AI SDK up to v5 passes the provider's input, of which cached tokens are part")


def _is_claude(context: Context) -> bool:
    """Whether the SDK speaks Anthropic's protocol to another host (`googleVertex.anthropic.messages`)."""
    named = text_of(context.attributes.get("ai.model.provider"))
    return named is not None and "anthropic" in named.split(".")


def _facts(attributes: Attributes) -> dict[str, Any]:
    return {"model": text_of(attributes.get("ai.response.model"))}


DIALECTS = (
    Dialect(
        name="vercel-ai",
        scopes=("ai",),
        vocabulary=_WORDS,
        convention=_convention,
        bodies=("ai.response.providerMetadata",),
        facts=_facts,
        rank=1,
    ),
    Dialect(
        name="vercel-ai-otel",
        scopes=("gen_ai",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "the AI SDK from v6 on sums cached tokens into gen_ai.usage.input_tokens"),
        rank=1,
    ),
)
