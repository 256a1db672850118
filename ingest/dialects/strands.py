"""Strands Agents: every count under two names, on the call, on the loop cycle and on the agent."""

from dataclasses import replace

from ingest.dialects.base import Attributes, Context, Convention, Dialect, Reading, Role
from ingest.dialects.providers import provider_of_model
from ingest.dialects.vocabulary import GENAI
from ingest.usage import EXCLUSIVE, INCLUSIVE
from models.core.telemetry import Span

_SUMMED = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens")
"""Names that Strands writes since 1.55, which is also when it began to sum the prompt; its scope has no version."""
_BESIDE = ("anthropic", "aws.bedrock")
"""Providers whose input tokens lie beside cached ones; a model behind LiteLLM (`anthropic/…`) is not among them."""


def _is_beside(context: Context) -> bool:
    model = context.attributes.get("gen_ai.request.model")
    return isinstance(model, str) and "/" not in model and provider_of_model(model) in _BESIDE


def _convention(context: Context) -> Convention:
    if not any(key in context.attributes for key in _SUMMED) and _is_beside(context):
        return Convention(EXCLUSIVE, "Strands up to 1.54 copies the provider's input, beside which cached tokens lie")
    return Convention(INCLUSIVE, "Strands' span counts contain cached tokens (its metrics do not)")


def _unasked(reading: Reading, context: Context) -> Reading:
    """Strands up to 1.40 writes 0 for the cached tokens of Anthropic's own API, which it did not look at."""
    if not any(usage.convention == EXCLUSIVE for usage in reading.usages) or reading.provider != "anthropic":
        return reading
    usages = tuple(
        replace(usage, cache_read=None, cache_write=None) if usage.cache_read == 0 and usage.cache_write == 0 else usage
        for usage in reading.usages
    )
    return replace(reading, usages=usages)


def _role(span: Span, attributes: Attributes) -> Role | None:
    if "cycle" in span.name or span.name.startswith(("invoke_agent", "execute_tool", "invoke_")):
        return Role.ROLLUP
    return None


DIALECTS = (
    Dialect(
        name="strands",
        scopes=("strands*", "opentelemetry.instrumentation.strands"),
        vocabulary=GENAI,
        convention=_convention,
        role=_role,
        adjust=_unasked,
        rank=1,
    ),
)
