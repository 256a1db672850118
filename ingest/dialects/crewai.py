"""OpenLLMetry's CrewAI spans: no calls, only the crew's usage_metrics, which count a shared LLM once per agent."""

from dataclasses import replace
from typing import Any

from ingest.dialects.base import Attributes, Context, Dialect, Reading, Role, always
from ingest.dialects.vocabulary import GENAI
from ingest.json_text import parse
from ingest.provider_bodies import count
from ingest.usage import INCLUSIVE, Usage
from models.core.telemetry import Span

_KEY = "crewai.crew.usage_metrics"
_WORDS = {
    "input": "prompt_tokens",
    "cache_read": "cached_prompt_tokens",
    "cache_write": "cache_creation_tokens",
    "output": "completion_tokens",
    "reasoning": "reasoning_tokens",
    "total": "total_tokens",
}


def _role(span: Span, attributes: Attributes) -> Role | None:
    return Role.ROLLUP


def _metrics(reading: Reading, context: Context) -> Reading:
    """OpenLLMetry's crew: a Python-literal string, and the agents beside it."""
    return _with_sum(
        reading, parse(context.attributes.get(_KEY)), _agents(context.attributes, "crewai.crew.agents"), _KEY
    )


def openinference_crew(reading: Reading, context: Context) -> Reading:
    """OpenInference's crew: the sum is part of the kickoff's output."""
    output = parse(context.attributes.get("output.value"))
    told = output.get("token_usage") if isinstance(output, dict) else None
    if not isinstance(told, dict):
        return reading
    return _with_sum(reading, told, _agents(context.attributes, "crew_agents"), "output.value.token_usage")


def _with_sum(reading: Reading, told: Any, agents: int, where: str) -> Reading:
    """Read the crew's sum, unless it is one of a shared LLM.

    CrewAI adds up the counters of every agent's LLM object. Two agents that share one are counted twice, which
    shows: every count is then a multiple of the number of agents. Such a sum is no statement, so it is dropped.
    """
    if not isinstance(told, dict):
        return replace(reading, usages=())
    counts: dict[str, Any] = {
        name: value for name, key in _WORDS.items() if (value := count(told.get(key))) is not None
    }
    requests = count(told.get("successful_requests"))
    checked = [*counts.values(), *([requests] if requests is not None else [])]
    if agents != 1 and all(value % max(agents, 2) == 0 for value in checked):
        return replace(reading, usages=(), is_estimated=True)
    usage = Usage(
        convention=INCLUSIVE,
        reason="CrewAI's UsageMetrics.prompt_tokens contain cached_prompt_tokens",
        origins={name: f"{where}.{_WORDS[name]}" for name in counts},
        span_id=reading.span.span_id,
        **counts,
    )
    return replace(reading, usages=() if usage.is_empty else (usage,))


def _agents(attributes: Attributes, key: str) -> int:
    agents = parse(attributes.get(key))
    return len(agents) if isinstance(agents, list) else 0


def _facts(attributes: Attributes) -> dict[str, Any]:
    agents = parse(attributes.get("crewai.crew.agents"))
    models = {agent.get("llm") for agent in agents if isinstance(agent, dict)} if isinstance(agents, list) else set()
    models.discard(None)
    return {"request_model": models.pop()} if len(models) == 1 else {}


DIALECTS = (
    Dialect(
        name="openllmetry-crewai",
        scopes=("opentelemetry.instrumentation.crewai*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "CrewAI's UsageMetrics.prompt_tokens contain cached_prompt_tokens"),
        role=_role,
        adjust=_metrics,
        facts=_facts,
        rank=1,
    ),
)
