"""OpenLIT: Anthropic's input without cached tokens; invented counts where a stream has no usage."""

from dataclasses import replace

from ingest.dialects.base import Context, Convention, Dialect, Reading
from ingest.dialects.vocabulary import GENAI
from ingest.provider_bodies import count
from ingest.usage import EXCLUSIVE, INCLUSIVE

_EXCLUSIVE_HOSTS = ("anthropic", "aws.bedrock")


def _convention(context: Context) -> Convention:
    if "langchain" in context.span.scope_name and (context.is_stream or _has_cached(context)):
        return Convention(INCLUSIVE, "OpenLIT takes LangChain's usage_metadata of a stream, the sum of all input")
    if context.provider in _EXCLUSIVE_HOSTS or "anthropic" in context.span.scope_name:
        return Convention(EXCLUSIVE, "OpenLIT copies input_tokens, beside which cached tokens lie")
    if context.provider is not None and context.provider.startswith("gcp."):
        return Convention(
            INCLUSIVE,
            "OpenLIT copies promptTokenCount and candidatesTokenCount, beside which thoughts lie",
            reasoning_inside=False,
        )
    return Convention(INCLUSIVE, "OpenLIT copies prompt_tokens, of which cached tokens are part")


def _has_cached(context: Context) -> bool:
    """Whether cached tokens are told: OpenLIT's LangChain handler knows them from usage_metadata alone."""
    names = (*GENAI["cache_read"], *GENAI["cache_write"])
    return any(count(context.attributes.get(name)) for name in names)


def _invented(reading: Reading, context: Context) -> Reading:
    """Set aside the counts OpenLIT estimates from text when a stream ends without usage.

    OpenLIT writes cache keys, even as 0, only where the stream's usage chunk was seen (1.45); 1.34 knows no such
    keys and estimates every stream of OpenAI.
    """
    if not context.is_stream or not reading.usages or context.provider in _EXCLUSIVE_HOSTS:
        return reading
    if any(usage.cache_read is not None for usage in reading.usages):
        return reading
    return replace(reading, usages=(), unbelieved=reading.usages, is_estimated=True)


def _langchain_writes(reading: Reading, context: Context) -> Reading:
    """The LangChain handler writes 0 for cache counts it did not look for: no statement about Anthropic's cache."""
    if "langchain" in reading.span.scope_name and context.provider in _EXCLUSIVE_HOSTS:
        usages = tuple(
            replace(usage, cache_read=None, cache_write=None)
            if not usage.cache_read and not usage.cache_write
            else usage
            for usage in reading.usages
        )
        return replace(reading, usages=usages)
    return _invented(reading, context)


DIALECTS = (
    Dialect(
        name="openlit",
        scopes=("openlit*",),
        vocabulary=GENAI,
        convention=_convention,
        adjust=_langchain_writes,
        rank=2,
    ),
)
