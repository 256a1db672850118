"""Agent frameworks that emit OpenTelemetry's GenAI spans themselves: ADK, Agent Framework, Semantic Kernel, AutoGen."""

from dataclasses import replace

from ingest.dialects.base import Attributes, Context, Convention, Dialect, Reading, Role, always
from ingest.dialects.vocabulary import GENAI, joined
from ingest.usage import INCLUSIVE, Usage
from models.core.telemetry import Span

_ADK_THOUGHTS = "gen_ai.usage.experimental.reasoning_tokens"
_GOOGLE_PATHS = ("models/", "publishers/", "projects/", "google/", "tunedModels/")
"""How Gemini models are named by path; every other name with a slash is LiteLLM's."""


def _adk_role(span: Span, attributes: Attributes) -> Role | None:
    # ADK 1.x named its model span call_llm and wrote no operation.
    return Role.CALL if span.name == "call_llm" else None


def _adk(context: Context) -> Convention:
    # 1.5 even wrote the total as output; the raw answer beside it is believed before these counts.
    beside = _ADK_THOUGHTS in context.attributes and "gen_ai.usage.reasoning.output_tokens" not in context.attributes
    return Convention(
        INCLUSIVE,
        "ADK up to 2.0 copies candidatesTokenCount, beside which thoughts lie"
        if beside
        else "ADK copies promptTokenCount and adds thoughts to the output",
        reasoning_inside=not beside,
    )


def _adk_litellm(reading: Reading, context: Context) -> Reading:
    """Behind LiteLLM (`openai/gpt-5`) candidates are the whole completion, to which ADK adds its reasoning again."""
    model = reading.request_model or ""
    if "/" not in model or model.startswith(_GOOGLE_PATHS):
        return reading
    usages: list[Usage] = []
    for usage in reading.usages:
        twice = usage.origins.get("reasoning") == "gen_ai.usage.reasoning.output_tokens"
        if twice and usage.output is not None and usage.reasoning is not None and usage.output >= 2 * usage.reasoning:
            usage = replace(usage, output=usage.output - usage.reasoning)
        usages.append(replace(usage, reasoning_inside=True))
    return replace(reading, usages=tuple(usages))


def _kernel_role(span: Span, attributes: Attributes) -> Role | None:
    operation = str(attributes.get("gen_ai.operation.name", ""))
    return Role.CALL if "completion" in operation else None


DIALECTS = (
    Dialect(
        name="google-adk",
        scopes=("gcp.vertex.agent",),
        vocabulary=joined(GENAI, {"reasoning": (_ADK_THOUGHTS,)}),
        convention=_adk,
        bodies=("gcp.vertex.agent.llm_response",),
        adjust=_adk_litellm,
        role=_adk_role,
        rank=1,
    ),
    Dialect(
        name="agent-framework",
        scopes=("agent_framework*", "Microsoft.Agents*", "Experimental.Microsoft.Extensions.AI*"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Agent Framework's input count contains cached tokens"),
        rank=1,
    ),
    Dialect(
        name="semantic-kernel",
        scopes=("semantic_kernel*", "Microsoft.SemanticKernel*"),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Semantic Kernel copies prompt_tokens, of which cached tokens are part"),
        role=_kernel_role,
        rank=1,
    ),
    Dialect(
        name="autogen",
        scopes=("autogen*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "AutoGen's own spans carry no counts"),
        rank=1,
    ),
    Dialect(
        name="haystack",
        scopes=("haystack*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "Haystack copies the provider's usage"),
        bodies=("haystack.component.output",),
        rank=1,
    ),
)
