"""Logfire's integrations: flat counts are inclusive; gen_ai.usage.raw or `usage` hold the provider's own object."""

from ingest.dialects.base import Attributes, Dialect, Role, always
from ingest.dialects.vocabulary import GENAI
from ingest.usage import INCLUSIVE
from models.core.telemetry import Span

_BODIES = ("gen_ai.usage.raw", "response", "usage", "response_data")


def _agents_role(span: Span, attributes: Attributes) -> Role | None:
    if span.name.startswith(("Chat completion with", "Responses API", "Generation")):
        return Role.CALL
    return Role.ROLLUP


def _provider_role(span: Span, attributes: Attributes) -> Role | None:
    # A streamed answer is a log span of its own ("streaming response from … took …") that repeats the request.
    return None


DIALECTS = (
    Dialect(
        name="logfire-openai-agents",
        scopes=("logfire.openai_agents",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "the Agents SDK's input_tokens contain cached tokens"),
        bodies=_BODIES,
        role=_agents_role,
        rank=1,
    ),
    Dialect(
        name="logfire",
        scopes=("logfire.*", "logfire"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Logfire sums the provider's input with its cached tokens"),
        bodies=_BODIES,
        role=_provider_role,
        rank=2,
    ),
)
