"""Who bills a request: OpenTelemetry's well-known provider names, from the host first, then from what spans say."""

from functools import lru_cache
from typing import Any

_NAMES = {
    "openai": "openai",
    "open_ai": "openai",
    "anthropic": "anthropic",
    "claude": "anthropic",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "amazon": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "aws.bedrock": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "google-gla": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "google.generative-ai": "gcp.gemini",
    "gcp.gemini": "gcp.gemini",
    "gcp.gen_ai": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "google-vertex": "gcp.vertex_ai",
    "google_vertexai": "gcp.vertex_ai",
    "google.vertex": "gcp.vertex_ai",
    "googlevertex": "gcp.vertex_ai",
    "gcp.vertex_ai": "gcp.vertex_ai",
    "gcp.vertex.agent": "gcp.vertex_ai",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "azure.ai.openai": "azure.ai.openai",
    "az.ai.openai": "azure.ai.openai",
    "azure.ai.inference": "azure.ai.inference",
    "az.ai.inference": "azure.ai.inference",
    "azure_ai": "azure.ai.inference",
    "groq": "groq",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "mistral_ai": "mistral_ai",
    "deepseek": "deepseek",
    "xai": "x_ai",
    "x_ai": "x_ai",
    "cohere": "cohere",
    "perplexity": "perplexity",
    "ibm.watsonx.ai": "ibm.watsonx.ai",
    "watsonx": "ibm.watsonx.ai",
    "openrouter": "openrouter",
    "cerebras": "cerebras",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "together": "together",
    "together_ai": "together",
    "ollama": "ollama",
    "vllm": "vllm",
    "hosted_vllm": "vllm",
    "huggingface": "huggingface",
    "minimax": "minimax",
    "moonshot": "moonshot_ai",
    "moonshot_ai": "moonshot_ai",
    "nvidia_nim": "nvidia_nim",
    "sambanova": "sambanova",
    "novita": "novita",
}

_HOSTS: tuple[tuple[str, str], ...] = (
    ("api.openai.com", "openai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".models.ai.azure.com", "azure.ai.inference"),
    ("models.inference.ai.azure.com", "azure.ai.inference"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.groq.com", "groq"),
    ("openrouter.ai", "openrouter"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "x_ai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.perplexity.ai", "perplexity"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("api.minimax.io", "minimax"),
    ("api.minimaxi.com", "minimax"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.moonshot.cn", "moonshot_ai"),
    ("api.sambanova.ai", "sambanova"),
    ("api.novita.ai", "novita"),
    ("router.huggingface.co", "huggingface"),
    ("integrate.api.nvidia.com", "nvidia_nim"),
)

FRAMEWORKS = frozenset(
    {
        "langchain",
        "langgraph",
        "crewai",
        "llama_index",
        "llamaindex",
        "autogen",
        "smolagents",
        "haystack",
        "agno",
        "dspy",
        "strands",
        "strands-agents",
        "semantic_kernel",
        "microsoft.agent_framework",
        "litellm",
        "litellm_proxy",
        "gateway",
        "unknown",
        "traceloop",
        "openai_agents",
        "codex",
        "fake",
    }
)
"""Words that stand where a provider's name belongs but bill nobody."""

_FAMILIES = {
    "anthropic": "anthropic",
    "claude": "anthropic",
    "gpt": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "text-embedding": "openai",
    "gemini": "gcp.gemini",
    "command": "cohere",
    "mistral": "mistral_ai",
    "deepseek": "deepseek",
    "grok": "x_ai",
}


def provider_of_host(address: Any) -> str | None:
    """The provider behind a host name or URL; None for hosts nobody knows, such as one's own gateway."""
    return _of_address(address) if isinstance(address, str) and address else None


@lru_cache(maxsize=4096)
def _of_address(address: str) -> str | None:
    host = address.split("://")[-1].split("/")[0].split(":")[0].lower()
    if host.startswith("bedrock-runtime") and "amazonaws" in host:
        return "aws.bedrock"
    for ending, provider in _HOSTS:
        if host == ending.lstrip(".") or host.endswith(ending if ending[0] in ".-" else "." + ending):
            return provider
        if ending == "aiplatform.googleapis.com" and host.endswith("-" + ending):
            return provider
    return None


def provider_of_name(name: Any) -> str | None:
    """The well-known name of what a span calls its provider (`anthropic.messages`, `ChatOpenAI`, `groq.chat`)."""
    return _of_name(name) if isinstance(name, str) else None


@lru_cache(maxsize=4096)
def _of_name(name: str) -> str | None:
    word = name.strip().strip('"').lower()
    if not word or word in FRAMEWORKS:
        return None
    if word in _NAMES:
        return _NAMES[word]
    head = word.split(".")[0].split("/")[0]
    return _NAMES.get(head, word if "." not in word else head)


def provider_of_model(model: str | None) -> str | None:
    """The maker of a model, as the last resort when nothing names who billed."""
    if not model:
        return None
    bare = model.lower().rsplit("/", 1)[-1]
    if bare.startswith(("us.anthropic", "eu.anthropic", "apac.anthropic", "anthropic.", "amazon.", "meta.", "us.")):
        return "aws.bedrock"
    return next((maker for start, maker in _FAMILIES.items() if bare.startswith(start)), None)


def plain_model(model: str | None, provider: str | None) -> str | None:
    """A model without the prefix that only repeats its provider (`openai/gpt-5`, `groq/llama-…`, `models/gemini-…`).

    Gateways name models with the host in front. A prefix that says something else is part of the name: Groq serves
    `openai/gpt-oss-120b`, OpenRouter `anthropic/claude-sonnet-4.5`.
    """
    if not model or "/" not in model or provider is None:
        return model
    head, rest = model.split("/", 1)
    if not rest:
        return model
    if provider.startswith("gcp.") and "models/" in model:
        return model.rsplit("models/", 1)[1] or model
    return rest if provider_of_name(head) == provider else model


def billed_provider(address: Any, names: list[Any], model: str | None) -> tuple[str | None, str]:
    """Who bills, and how that was told: `host`, `span` or `model`."""
    found = provider_of_host(address)
    if found:
        return found, "host"
    for name in names:
        found = provider_of_name(name)
        if found:
            return found, "span"
    found = provider_of_model(model)
    return found, "model" if found else ""
