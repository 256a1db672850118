"""Every recorded response body with a price gives the usage that it was priced by."""

import gzip
import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingest.provider_bodies import facts_of
from ingest.usage import combine
from models.core.frames import CALLS
from models.costs.cache import INPUT_PARTS
from models.costs.rating import rate_calls
from models.prices.genai import shipped_rates
from models.prices.skus import with_price_keys
from tests.unit.rating_frames import call, calls

FILE = Path(__file__).parent / "provider_bodies" / "usages.jsonl.gz"


def priced(row: dict[str, Any]) -> list[dict[str, int]]:
    return [
        told["usage"]
        for told in row["extracted"]
        if any("input_price" in extractor for extractor in told["extractors"])
    ]


def rows() -> list[dict[str, Any]]:
    with gzip.open(FILE, "rt") as lines:
        return [row for row in map(json.loads, lines) if priced(row)]


ROWS = rows()
COMPACTED = [row for row in ROWS if '"type": "compaction"' in json.dumps(row["body"])]
"""Bodies whose top level leaves the compaction out, as Anthropic documents: genai-prices takes it for the whole."""
BY_SHAPE: dict[str, list[dict[str, Any]]] = defaultdict(list)
for one in ROWS:
    if one in COMPACTED:
        continue
    holder = one["body"].get("usage") or one["body"].get("usageMetadata") or one["body"].get("meta") or {}
    BY_SHAPE[",".join(sorted(holder))].append(one)


def test_all_1298_priced_bodies_are_here() -> None:
    assert len(ROWS) == 1298


@pytest.mark.parametrize("shape", sorted(BY_SHAPE))
def test_a_body_gives_the_usage_that_it_was_priced_by(shape: str) -> None:
    for row in BY_SHAPE[shape]:
        facts = facts_of(row["body"])
        assert facts.usage is not None
        combined = combine([facts.usage])
        tokens, details = combined.tokens, combined.details
        cached = [tokens.cache_read, tokens.cache_write_5m, tokens.cache_write_1h, tokens.cache_write_unknown]
        whole_input = sum(count or 0 for count in (tokens.input, tokens.tool_use_input, *cached))
        whole_output = (tokens.output or 0) + (tokens.reasoning or 0)
        told = [usage for extraction in row["extracted"] for usage in (extraction["usage"],)]
        assert (whole_input, whole_output) in {
            (usage.get("input_tokens", 0), usage.get("output_tokens", 0)) for usage in priced(row)
        }
        # An extractor of another provider's flavour may not know a part; the one that knows most is right.
        assert (tokens.cache_read or 0) == max(usage.get("cache_read_tokens", 0) for usage in told)
        assert (tokens.reasoning or 0) == max(usage.get("output_reasoning_tokens", 0) for usage in told)
        assert (tokens.tool_use_input or 0) == max(usage.get("input_tool_tokens", 0) for usage in told)
        assert (tokens.cache_write_1h or 0) == max(usage.get("cache_write_1h_tokens", 0) for usage in told)
        writes = sum(count or 0 for count in cached[1:])
        assert writes == max(usage.get("cache_write_tokens", 0) for usage in told)
        assert details.get("web_search_requests", 0) == max(usage.get("web_searches", 0) for usage in told)
        assert details.get("output_image", 0) == max(usage.get("output_image_tokens", 0) for usage in told)
        # The prompt's audio is told as a whole, of which a part may have been read from the cache.
        audio = (details.get("input_audio", 0) + details.get("cache_read_audio", 0), details.get("cache_read_audio", 0))
        assert audio == (
            max(usage.get("input_audio_tokens", 0) for usage in told),
            max(usage.get("cache_audio_read_tokens", 0) for usage in told),
        )


AUDIO = [row for row in ROWS if any("input_audio_tokens" in told["usage"] for told in row["extracted"])]


def test_prompts_with_audio_cost_what_they_were_priced_at() -> None:
    assert len(AUDIO) == 41
    for row in AUDIO:
        usage = facts_of(row["body"]).usage
        assert usage is not None
        combined = combine([usage])
        provider = "google" if "usageMetadata" in row["body"] else "openai"
        one = call(provider, row["model"], **combined.tokens.as_dict(), **combined.details)
        lines = rate_calls(with_price_keys(calls(one)).select(list(CALLS)), shipped_rates()).lines
        told = {
            Decimal(extractor["input_price"])
            for extraction in row["extracted"]
            for extractor in extraction["extractors"]
            if extractor["provider_id"] == provider and "input_price" in extractor
        }
        assert lines.filter(pl.col("bucket").is_in(INPUT_PARTS))["list_cost"].sum() in told


def test_audio_read_from_the_cache_is_no_fresh_audio() -> None:
    # A video of 3297 tokens: 321 of audio, 284 of them among the 2918 that were read from the cache.
    (row,) = (row for row in AUDIO if row["body"].get("usageMetadata", {}).get("cachedContentTokenCount") == 2918)
    usage = facts_of(row["body"]).usage
    assert usage is not None
    combined = combine([usage])
    assert (combined.tokens.input, combined.tokens.cache_read) == (379, 2918)
    assert combined.details == {"input_audio": 37, "cache_read_audio": 284}


def test_compaction_is_billed_with_the_message_that_it_made_room_for() -> None:
    counted = {
        row["body"]["file"].rpartition("/")[2]: combine([usage]).tokens
        for row in COMPACTED
        if (usage := facts_of(row["body"]).usage) is not None
    }
    assert len(COMPACTED) == len(counted) == 2
    cached = counted["test_anthropic_compaction_usage_with_cache.yaml"]
    assert (cached.input, cached.cache_write_5m, cached.output) == (100 + 180, 55_096, 82 + 8)
    fresh = counted["test_anthropic_compaction_end_to_end.yaml"]
    assert (fresh.input, fresh.cache_write_5m, fresh.output) == (55_196 + 220, 0, 125 + 8)


def test_the_tokens_of_an_advisor_are_left_out_of_the_model_that_asked_it() -> None:
    advised = [row for row in ROWS if "advisor_message" in json.dumps(row["body"])]
    told = [usage.left_out for row in advised if (usage := facts_of(row["body"]).usage) is not None]
    assert sorted(told) == [
        ("advisor_message of claude-fable-5: input 2564, output 99",),
        ("advisor_message of claude-opus-4-8: input 2518, output 22",),
        ("advisor_message of claude-opus-4-8: input 2529, output 38",),
    ]
