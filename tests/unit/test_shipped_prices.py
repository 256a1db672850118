"""The shipped price list: the package's own answers, hand tables, and names that differ."""

import random
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from genai_prices import Usage
from genai_prices.data import providers

from models.core.frames import CALLS, RATES
from models.costs.rate_cards import lay_out
from models.costs.rating import rate_calls
from models.prices.genai import shipped_rates
from models.prices.skus import NO_PROVIDER, price_key, with_price_keys
from tests.unit.rating_frames import NOON, call, calls


def rated(*rows: dict[str, Any]) -> pl.DataFrame:
    named = with_price_keys(calls(*rows)).select(list(CALLS))
    return rate_calls(named, shipped_rates()).charges


def test_the_list_is_whole_and_free_of_overlaps() -> None:
    rates = shipped_rates()
    assert rates.schema == pl.Schema(RATES)
    assert rates["rate_id"].n_unique() == rates.height
    assert lay_out(rates).cells.height > 2000


# Figures worked out by hand from the providers' published prices per million.
HAND = [
    pytest.param(
        call("anthropic", "claude-haiku-4-5-20251001", input=1000, cache_write_5m=10_000, cache_write_1h=0, output=100),
        "0.014",  # 1000×1 + 10000×1.25 + 100×5
        id="haiku-cache-write",
    ),
    pytest.param(
        call("openai", "gpt-4o-2024-08-06", input=1000, cache_read=8000, output=100),
        "0.0135",  # 1000×2.5 + 8000×1.25 + 100×10
        id="gpt-4o-cached",
    ),
    pytest.param(
        call("gcp.gemini", "models/gemini-2.5-pro", input=200_000, output=1000),
        "0.26",  # 200000×1.25 + 1000×10
        id="gemini-at-200k",
    ),
    pytest.param(
        call("gcp.gemini", "gemini-2.5-pro", input=200_000, tool_use_input=1, output=800, reasoning=200),
        "0.5150025",  # 200001×2.5 + 1000×15
        id="gemini-over-200k",
    ),
    pytest.param(
        call("deepseek", "deepseek-chat", at=NOON.replace(hour=17), input=1_000_000, output=1_000_000),
        "0.685",  # 0.135 + 0.55
        id="deepseek-off-peak",
    ),
    pytest.param(
        call("deepseek", "deepseek-chat", at=NOON.replace(hour=16), input=1_000_000, output=1_000_000),
        "1.37",  # 0.27 + 1.10
        id="deepseek-peak",
    ),
    pytest.param(
        call("openai", "gpt-4o", input=1_000_000, output=0, cache_write_unknown=1_000_000),
        "5",  # OpenAI documents that writes cost what input costs
        id="openai-writes-at-the-input-rate",
    ),
    pytest.param(
        call("openai", "gpt-5", NOON.replace(year=2026), service_tier="flex")
        | {"input": 200, "cache_read": 800, "output": 60, "reasoning": 40},
        "0.000675",  # 200×0.625 + 800×0.0625 + 100×5
        id="gpt-5-flex",
    ),
    pytest.param(
        call("anthropic", "claude-opus-5", service_tier="fast", input=1000, output=100),
        "0.015",  # 1000×10 + 100×50
        id="opus-5-in-fast-mode",
    ),
]


# Totals of captured two-call runs; Claude Code, LiteLLM and logfire report the same costs for them.
TWO_CALLS = {"input": 2588, "cache_read": 181_285}
CAPTURED = [
    pytest.param(
        call("anthropic", "claude-sonnet-4-5", **TWO_CALLS, cache_write_5m=8213, cache_write_1h=1029, output=1235),
        "0.11764725",
        id="captured-claude",
    ),
    pytest.param(call("openai", "gpt-5", **TWO_CALLS, output=829, reasoning=406), "0.038245625", id="captured-gpt-5"),
    pytest.param(
        call("groq", "llama-3.3-70b-versatile", input=2588, cache_read=0, output=1235), "0.00250257", id="captured-groq"
    ),
]


@pytest.mark.parametrize(("one", "expected"), [*HAND, *CAPTURED])
def test_hand_tables(one: dict[str, Any], expected: str) -> None:
    assert rated(one)["list_cost"].to_list() == [Decimal(expected)]


def test_a_missing_cache_rate_is_unknown_not_the_input_rate() -> None:
    row = rated(call("openai", "gpt-4", input=10, cache_read=10, output=1)).row(0, named=True)
    assert row["list_cost"] is None
    assert row["unpriced_reason"] == "no cache_read price for model gpt-4 of provider openai"


def test_time_of_day_prices_start_with_the_dated_price_they_follow() -> None:
    peak = {"hour": 2}
    before, after = datetime(2026, 8, 1, tzinfo=UTC).replace(**peak), datetime(2026, 10, 1, tzinfo=UTC).replace(**peak)
    got = rated(*(call("deepseek", "deepseek-v4-flash", at=at, input=1_000_000) for at in (before, after)))
    assert got["list_cost"].to_list() == [Decimal("0.14"), Decimal("0.3")]


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("anthropic", "claude-sonnet-4-5-20250929", ("anthropic", "claude-sonnet-4-5")),
        ("x_ai", "grok-4", ("x-ai", "grok-4-0709")),
        ("mistral_ai", "mistral-large-latest", ("mistral", "mistral-large")),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", ("google", "claude-sonnet-4-5")),
        ("gcp.gemini", "models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("azure.ai.openai", "gpt-4o-2024-08-06", ("azure", "gpt-4o")),
        ("azure-openai.chat", "gpt-4o", ("azure", "gpt-4o")),
        ("azure.ai.inference", "gpt-4o", ("azure", "gpt-4o")),
        ("openai.responses", "gpt-4o", ("openai", "gpt-4o")),
        ("litellm", "anthropic/claude-haiku-4-5", ("anthropic", "claude-haiku-4-5")),
        ("openrouter", "anthropic/claude-sonnet-4.5", ("openrouter", "anthropic/claude-sonnet-4.5")),
        ("ibm.watsonx.ai", "granite-3", ("ibm.watsonx.ai", "granite-3")),
        ("ollama", "llama3", ("ollama", "llama3")),
    ],
)
def test_names_of_spans_find_the_host_that_bills(provider: str, model: str, expected: tuple[str, str]) -> None:
    assert price_key(provider, model)[:2] == expected


def test_bedrock_regions_find_the_regional_price() -> None:
    key = price_key("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert key.provider == "aws"
    assert "claude-sonnet-4-5" in (key.model or "")


def test_without_a_provider_no_host_is_guessed() -> None:
    one = call(input=1, output=1) | {"provider": None, "model": "gpt-4o"}
    assert rated(one)["unpriced_reason"].to_list() == [NO_PROVIDER]


def test_a_model_whose_price_list_entry_is_empty_is_unpriced_not_free() -> None:
    empty = next(
        (provider.id, model.id)
        for provider in providers
        for model in provider.models
        if not isinstance(model.prices, list) and not model.prices.__dict__ and not provider.fallback_model_providers
    )
    got = rated(call(*empty, input=5)).row(0, named=True)
    assert (got["list_cost"], got["unpriced_tokens"]) == (None, 5)


def test_the_package_gives_the_same_answers() -> None:
    """A thousand random calls: models without time-of-day prices, cached counts only where a cache price is known."""
    chosen = random.Random(7)
    keys = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"}
    pool = [(p, m) for p in providers for m in p.models if not _has_time_of_day(m) and p.id != "openai-decisions"]
    rows, expected = [], []
    while len(rows) < 1000:
        provider, model = chosen.choice(pool)
        at = datetime(2026, chosen.randint(1, 12), chosen.randint(1, 28), chosen.randint(0, 23), tzinfo=UTC)
        priced = {k: v for k, v in model.get_prices(at).__dict__.items() if v is not None}
        if not {"input_mtok", "output_mtok"} <= set(priced) <= keys or _too_fine(priced):
            continue
        counts = {"input": chosen.randint(0, 150_000), "output": chosen.randint(0, 9_000)}
        counts |= {"cache_read": chosen.randint(0, 150_000)} if "cache_read_mtok" in priced else {}
        counts |= {"cache_write_5m": chosen.randint(0, 50_000)} if "cache_write_mtok" in priced else {}
        counts |= {"cache_write_1h": chosen.randint(0, 50_000)} if "cache_write_1h_mtok" in priced else {}
        write = counts.get("cache_write_5m", 0) + counts.get("cache_write_1h", 0)
        usage = Usage(
            input_tokens=counts["input"] + counts.get("cache_read", 0) + write,
            output_tokens=counts["output"],
            cache_read_tokens=counts.get("cache_read", 0),
            cache_write_tokens=write,
            **({"cache_write_1h_tokens": counts["cache_write_1h"]} if "cache_write_1h" in counts else {}),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            price = model.calc_price(usage, provider, genai_request_timestamp=at)
        named = {"price_provider": provider.id, "price_model": model.id}
        rows.append(call(provider.id, model.id, at=at, **counts) | named)
        expected.append(price.total_price)
    got = rate_calls(calls(*rows), shipped_rates()).charges
    different = [
        (row["provider"], row["model"], ours, theirs)
        for row, ours, theirs in zip(rows, got["list_cost"], expected, strict=True)
        if ours != theirs
    ]
    assert different == []


def _has_time_of_day(model: Any) -> bool:
    return isinstance(model.prices, list) and any("Time" in type(c.constraint).__name__ for c in model.prices)


def _too_fine(prices: dict[str, Any]) -> bool:
    amounts = [p if isinstance(p, Decimal) else p.base for p in prices.values()]
    amounts += [tier.price for p in prices.values() if not isinstance(p, Decimal) for tier in p.tiers]
    return any(amount.normalize().as_tuple().exponent < -9 for amount in amounts)
