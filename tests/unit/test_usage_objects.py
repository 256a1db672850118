"""Usage objects inside bodies: what a call cost hangs on parts that only they tell."""

import json
from typing import Any

import pytest

from ingest.calls import derive_calls
from ingest.provider_bodies import BodyFacts, facts_of
from ingest.usage import combine
from models.core.vocabulary import UsageSource
from tests.unit.test_call_laws import span


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


def iteration(kind: str, fresh: int, output: int, *, read: int = 0, write: int = 0, **more: str) -> dict[str, Any]:
    return {
        "type": kind,
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write,
        "cache_creation": {"ephemeral_5m_input_tokens": write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        **more,
    }


def answered(fresh: int, output: int, *iterations: dict[str, Any]) -> dict[str, Any]:
    top = iteration("", fresh, output)
    del top["type"]
    return {"id": "msg_0123456789abcdef", "model": "claude-sonnet-5", "usage": {**top, "iterations": [*iterations]}}


ADVISED = answered(
    412,
    531,
    iteration("message", 412, 89),
    iteration("advisor_message", 823, 1612, model="claude-fable-5"),
    iteration("message", 1348, 442, read=412),
)
"""The top level counts the input of the first message only, as Anthropic once documented."""


@pytest.mark.parametrize(
    ("body", "tokens", "left_out"),
    [
        pytest.param(
            answered(180, 8, iteration("compaction", 100, 82, write=55096), iteration("message", 180, 8)),
            {"input": 280, "cache_write_5m": 55096, "output": 90},
            (),
            id="compaction",
        ),
        pytest.param(
            answered(0, 0, iteration("compaction", 180_000, 3_500)),
            {"input": 180_000, "output": 3_500},
            (),
            id="paused-after-compaction",
        ),
        pytest.param(
            ADVISED,
            {"input": 1760, "cache_read": 412, "output": 531},
            ("advisor_message of claude-fable-5: input 823, output 1612",),
            id="an-advisor-has-another-price",
        ),
        pytest.param(
            answered(
                412,
                264,
                iteration("message", 408, 0, model="claude-fable-5"),
                iteration("fallback_message", 412, 264, model="claude-sonnet-5"),
            ),
            {"input": 412, "output": 264},
            ("message of claude-fable-5: input 408",),
            id="a-declined-attempt",
        ),
        pytest.param(
            answered(412, 264, iteration("message", 408, 30), iteration("fallback_message", 412, 264)),
            {"input": 412, "output": 264},
            ("message of another model: input 408, output 30",),
            id="a-declined-attempt-without-a-name",
        ),
        pytest.param(
            answered(300, 30, iteration("message", 100, 10)),
            {"input": 300, "output": 30},
            (),
            id="never-less-than-the-top-level",
        ),
    ],
)
def test_a_request_is_the_sum_of_its_iterations_on_the_model_that_answered(
    body: dict[str, Any], tokens: dict[str, int], left_out: tuple[str, ...]
) -> None:
    facts = facts_of(body)
    assert tokens_of(facts) == tokens
    assert facts.usage is not None
    assert facts.usage.left_out == left_out
    assert facts.model == "claude-sonnet-5"
    # The shortest shape, as documented: no cached tokens told at all.
    plain = {"input_tokens": 180, "output_tokens": 8}
    bare = {**plain, "iterations": [{"type": "compaction", "input_tokens": 100, "output_tokens": 82}, plain]}
    assert tokens_of(facts_of({"usage": bare})) == {"input": 280, "output": 90}


def test_the_copy_of_a_usage_object_does_not_hide_its_compaction() -> None:
    raw = answered(180, 8, iteration("compaction", 100, 82, write=55096), iteration("message", 180, 8))
    copy = {"input_tokens": 180, "output_tokens": 8, "total_tokens": 188}
    copy["input_token_details"] = {"cache_read": 0, "cache_creation": 0}
    for body in (
        {"usage_metadata": copy, "response_metadata": raw},
        {"response_metadata": raw, "usage_metadata": copy},
    ):
        assert tokens_of(facts_of(body)) == {"input": 280, "cache_write_5m": 55096, "output": 90}


def test_the_model_of_an_advisor_is_not_the_model_of_the_answer() -> None:
    # Importers and some packages keep the usage object alone.
    assert facts_of(ADVISED["usage"]).model is None


def test_what_another_model_did_inside_a_request_stays_visible_beside_it() -> None:
    told = {"openinference.span.kind": "LLM", "llm.model_name": "claude-sonnet-5", "output.value": json.dumps(ADVISED)}
    (call,) = derive_calls([span(1, "Messages", "openinference.instrumentation.anthropic", told)]).calls
    assert (call.tokens.input, call.tokens.cache_read, call.tokens.output) == (1760, 412, 531)
    assert (call.model, call.usage_source) == ("claude-sonnet-5", UsageSource.PARTIAL)
    aside = call.provenance["left_out"]
    assert aside["value"] == "advisor_message of claude-fable-5: input 823, output 1612"
    assert aside["attribute"] == "output.value.usage.iterations[]"
    assert call.provenance["input"]["attribute"] == "output.value.usage.iterations[].input_tokens"
    assert call.provenance["output"]["attribute"] == "output.value.usage.output_tokens"


FAST = {**iteration("", 3, 50), "service_tier": "standard", "speed": "fast", "inference_geo": "us"}
SLOW = {**FAST, "speed": "standard", "inference_geo": "not_available"}


@pytest.mark.parametrize("body", [{"usage": FAST}, FAST, {"output": [{"message": {"usage": FAST}}]}])
def test_fast_mode_is_the_tier_wherever_the_usage_object_stands(body: dict[str, Any]) -> None:
    facts = facts_of(body)
    assert (facts.service_tier, facts.region) == ("fast", "us")


def test_without_fast_mode_the_tier_is_the_one_of_the_response() -> None:
    assert (facts_of({"usage": SLOW}).service_tier, facts_of({"usage": SLOW}).region) == ("standard", None)
    # A request that asks for fast mode has not been served yet.
    assert facts_of({"request": {"speed": "fast"}, "usage": SLOW}).service_tier == "standard"


def test_fast_mode_goes_before_the_standard_tier_of_any_other_description() -> None:
    body = {"id": "msg_0123456789abcdef", "model": "claude-opus-4-6", "usage": FAST}
    outer = {"openinference.span.kind": "LLM", "llm.model_name": "claude-opus-4-6", "output.value": json.dumps(body)}
    flat = {"gen_ai.response.service_tier": "standard"}
    sdk = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-opus-4-6",
        "gen_ai.response.id": "msg_0123456789abcdef",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 50,
        "anthropic.response.service_tier": "standard",
    }
    alone = [span(1, "Messages", "openinference.instrumentation.anthropic", outer | flat)]
    both = [
        span(1, "Messages", "openinference.instrumentation.anthropic", outer),
        span(2, "chat claude-opus-4-6", "com.anthropic.sdk.python", sdk, parent=1),
    ]
    for spans in (alone, both):
        (call,) = derive_calls(spans).calls
        assert call.service_tier == "fast"
