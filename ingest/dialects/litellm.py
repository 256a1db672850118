"""LiteLLM's OTel callback: `litellm_request` with the whole, `raw_gen_ai_request` with the provider's own usage."""

from typing import Any

from ingest.dialects.base import Attributes, Dialect, Role, always
from ingest.dialects.vocabulary import GENAI
from ingest.json_text import parse, text_of
from ingest.provider_bodies import money
from ingest.usage import INCLUSIVE
from models.core.telemetry import Span

_RAW = "raw_gen_ai_request"
_HOSTS = ("openai", "anthropic", "groq", "gemini", "vertex_ai", "bedrock", "azure", "mistral", "cohere", "openrouter")


def _role(span: Span, attributes: Attributes) -> Role | None:
    if span.name == _RAW or span.name == "litellm_request":
        return Role.CALL
    if span.name in ("Received Proxy Server Request", "self", "router", "proxy_pre_call", "auth", "postgres", "redis"):
        return Role.ROLLUP
    return None


def _facts(attributes: Attributes) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    model = text_of(attributes.get("litellm.provider.model"))
    if model and "/" in model:
        facts["provider"] = model.split("/", 1)[0]
    for key, value in attributes.items():
        if key.startswith("llm.") and key.count(".") == 2 and key.endswith((".id", ".model", ".service_tier")):
            _, host, what = key.split(".")
            if what == "id":
                facts["response_id"] = value
            elif what == "model":
                facts["model"] = value
            else:
                facts["service_tier"] = value
            facts.setdefault("provider", host)
    hidden = parse(attributes.get("hidden_params"))
    if isinstance(hidden, dict) and money(hidden.get("response_cost")) is not None:
        facts["reported_cost"] = hidden["response_cost"]
    return facts


DIALECTS = (
    Dialect(
        name="litellm",
        scopes=("litellm*",),
        vocabulary=GENAI,
        convention=always(INCLUSIVE, "LiteLLM's Usage.prompt_tokens contains cache reads and writes"),
        bodies=("metadata.usage_object", *(f"llm.{host}.usage" for host in _HOSTS), "hidden_params"),
        role=_role,
        facts=_facts,
        rank=1,
    ),
)
