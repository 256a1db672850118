"""Usage objects inside bodies: what a call cost hangs on parts that only they tell."""

from typing import Any

import pytest

from ingest.provider_bodies import BodyFacts, facts_of
from ingest.usage import combine


def tokens_of(facts: BodyFacts) -> dict[str, int]:
    """The buckets in which something is."""
    assert facts.usage is not None
    return {bucket: count for bucket, count in combine([facts.usage]).tokens.as_dict().items() if count}


@pytest.mark.parametrize(
    ("prefix", "tier"), [("", None), ("flex_", "flex"), ("priority_", "priority")], ids=["standard", "flex", "priority"]
)
def test_langchain_names_cached_tokens_and_reasoning_after_the_tier(prefix: str, tier: str | None) -> None:
    named: tuple[dict[str, Any], dict[str, Any]] = ({tier: 200}, {tier: 60}) if tier else ({}, {})
    usage = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "total_tokens": 1100,
        "input_token_details": {f"{prefix}cache_read": 800, **named[0]},
        "output_token_details": {f"{prefix}reasoning": 40, **named[1]},
    }
    facts = facts_of({"id": "run-1", "usage_metadata": usage})
    assert tokens_of(facts) == {"input": 200, "cache_read": 800, "output": 60, "reasoning": 40}
    assert facts.service_tier == tier
