"""Which price list entry a call belongs to: provider and model as spans name them → as the price list does."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot


class PriceKey(NamedTuple):
    """Where to look a price up; without provider and model, the reason."""

    provider: str | None
    model: str | None
    reason: str | None = None


ALIASES: Mapping[str, str] = {
    "x_ai": "x-ai",
    "xai": "x-ai",
    "grok": "x-ai",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot_ai": "moonshotai",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "together-ai": "together",
    "togetherai": "together",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "vertex_ai": "google",
    "vertexai": "google",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "z.ai": "zai",
    "zhipu": "zhipuai",
}
"""Names of OpenTelemetry's conventions and of common libraries that the price list spells otherwise."""

FAMILIES: tuple[tuple[str, str], ...] = (
    (r"^azure\b|^azure[._-]", "azure"),
    (r"^(aws|amazon)[._-]", "aws"),
    (r"^(gcp|google)[._-]|^vertex[._-]", "google"),
    (r"^openai\.", "openai"),
    (r"^anthropic\.", "anthropic"),
    (r"^(xai|x_ai)\.", "x-ai"),
    (r"^(mistral|groq|cohere|deepseek|perplexity|cerebras|openrouter)\.", r"\1"),
)
"""Dotted or hyphenated names (`azure.ai.inference`, `aws.bedrock`, `gcp.vertex_ai`, `openai.responses`) by prefix.
Never by what a name contains: `azure-openai` would be priced as OpenAI's own."""

GATEWAYS = ("litellm", "litellm_proxy", "gateway", "vercel")
"""Routers that put the host before the model: `anthropic/claude-sonnet-4-5`."""

NO_PROVIDER = "provider not told: several hosts sell this model at their own prices; set gen_ai.provider.name"
_BEDROCK_REGION = re.compile(r"^(us-gov|us|eu|apac|au|jp|ca|global)\.(?=[a-z0-9-]+\.)")
_PATH_PREFIX = re.compile(
    r"^(models|publishers/[^/]+/models|projects/.*/models|.*:(foundation-model|inference-profile))/"
)


def with_price_keys(calls: pl.DataFrame) -> pl.DataFrame:
    """Name the price list entry of each call, once per distinct pair.

    Shapes   a frame with `provider` and `model` → the same rows and order.
    Adds     price_provider, price_model, price_reason (replaced where present); see PriceKey.
    """
    pairs = calls.select("provider", "model").unique()
    keys = [price_key(provider, model) for provider, model in pairs.iter_rows()]
    found = pairs.with_columns(
        pl.Series("price_provider", [key.provider for key in keys], dtype=pl.String),
        pl.Series("price_model", [key.model for key in keys], dtype=pl.String),
        pl.Series("price_reason", [key.reason for key in keys], dtype=pl.String),
    )
    bare = calls.drop("price_provider", "price_model", "price_reason", strict=False)
    return bare.join(found, on=["provider", "model"], how="left", nulls_equal=True, maintain_order="left")


@cache
def price_key(provider: str | None, model: str | None) -> PriceKey:
    """The price list entry for a provider and a model as a span names them.

    A provider without a price list of its own, or none at all, gives the names as they are or a reason, never
    another host's price. The provider is always the host: what Azure asks for OpenAI's model is a price of Azure.
    """
    if model is None:
        return PriceKey(None, None, "model not told: set gen_ai.response.model or gen_ai.request.model")
    if provider is None:
        return PriceKey(None, None, NO_PROVIDER)
    host, name = provider.strip().lower(), model.strip().lower()
    if host in GATEWAYS and "/" in name:
        host, name = name.split("/", 1)
    listed = list_provider(host)
    if listed is None:
        # A user's own price book may know it; the shipped one does not.
        return PriceKey(host, name)
    for candidate in _spellings(name):
        try:
            _, info = _snapshot().find_provider_model(candidate, None, listed, None)
        except LookupError:
            continue
        return PriceKey(listed, info.id)
    return PriceKey(listed, name)


def list_provider(name: str) -> str | None:
    """The price list's id for a provider name; None where it has no such provider."""
    name = ALIASES.get(name, name)
    if name in _provider_ids():
        return name
    for pattern, provider in FAMILIES:
        if found := re.match(pattern, name):
            return found.expand(provider)
    return None


def _spellings(model: str) -> Iterator[str]:
    yield model
    bare = _PATH_PREFIX.sub("", model)
    if bare != model:
        yield bare
    unregioned = _BEDROCK_REGION.sub("", bare)
    if unregioned != bare:
        yield unregioned


@cache
def _snapshot() -> "DataSnapshot":
    # The list is slow to import, and most processes answer without it.
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    # A snapshot of its own: a process that calls UpdatePrices must not change what we answer.
    return DataSnapshot(providers=providers, from_auto_update=False)


@cache
def _provider_ids() -> frozenset[str]:
    return frozenset(provider.id for provider in _snapshot().providers)
