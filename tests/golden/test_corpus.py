"""Every capture of the conformance corpus gives the calls, tokens, agents and sessions that its payload tells."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ingest.calls import derive_calls
from ingest.otlp import decode
from ingest.otlp_values import AttributeReader
from ingest.redaction import Redactor
from models.core.telemetry import Call, Derivation, Span
from models.core.vocabulary import CallStatus, Signal, UsageSource

CORPUS = Path(__file__).parent / "corpus"
CASES: dict[str, dict[str, Any]] = {
    case["case_id"]: case for case in json.loads((CORPUS / "manifest.json").read_text())["cases"]
}
BUCKETS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_unknown", "output", "reasoning")

TOLD_AFTER_ALL: dict[str, tuple[dict[str, int], str]] = {
    "anthropic-sdk-native__anthropic-streamhelper__cache-read-write": (
        {"cache_write_5m": 8213, "cache_write_unknown": 0},
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens and _1h_ (0) are on the spans",
    ),
    "anthropic-sdk-native__anthropic__server-tools-priority-tier": (
        {"cache_write_5m": 4096, "cache_write_unknown": 0},
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens and _1h_ (0) are on the span",
    ),
    "openinference-anthropic__anthropic-streamhelper__cache-read-write": (
        {"cache_write_5m": 8213, "cache_write_unknown": 0},
        "the SDK's span below has both lifetimes",
    ),
    "openinference-anthropic__anthropic__server-tools-priority-tier": (
        {"cache_write_5m": 4096, "cache_write_unknown": 0},
        "the SDK's span below has both lifetimes",
    ),
    "openinference-anthropic-0.1.18__anthropic__cache-read-write": (
        {"cache_write_5m": 8213, "cache_write_1h": 1029, "cache_write_unknown": 0},
        "output.value holds the raw usage with cache_creation",
    ),
    "openinference-litellm__anthropic__cache-read-write": (
        {"cache_write_5m": 4096, "cache_write_1h": 512, "cache_write_unknown": 4634},
        "output.value of the first call holds cache_creation_token_details; the second is plain text",
    ),
    "openinference-google__gemini__tool-use-prompt-tokens": (
        {"input": 1237},
        "output.value holds usage_metadata, which tells the tool prompt (777) from the prompt",
    ),
    "openinference-smolagents__openai__multi-agent": (
        {"input": 5736, "cache_read": 367110, "output": 1686, "reasoning": 836},
        "output.value holds the repr of the provider's CompletionUsage",
    ),
    "openinference-smolagents__openai__tool-turn": (
        {"input": 2588, "cache_read": 181285, "output": 829, "reasoning": 406},
        "output.value holds the repr of the provider's CompletionUsage",
    ),
    "vercel-ai-v5__anthropic-stream__cache-read-write": (
        {"cache_write_5m": 8213, "cache_write_1h": 1029},
        "ai.response.providerMetadata holds Anthropic's raw usage",
    ),
    "openllmetry-google__gemini__tool-use-prompt-tokens": (
        {"output": 412, "reasoning": 978},
        "thoughts (201) and tool prompt (777) are only in the total together; nothing in the payload parts them",
    ),
}
"""Cases whose payload tells other than `expected` says: the buckets that differ, and where they stand."""


@cache
def spans_of(case_id: str, *, redacted: bool = False) -> tuple[Span, ...]:
    reader = AttributeReader(Redactor(b"k" * 32)) if redacted else AttributeReader()
    found: list[Span] = []
    for part in CASES[case_id]["files"]:
        path = CORPUS / "cases" / case_id / part["file"]
        encoding = "json" if path.suffix == ".json" else "protobuf"
        decoded = decode(path.read_bytes(), encoding, Signal(part["signal"]), reader=reader)
        assert decoded.rejections == []
        found += decoded.spans
    return tuple(found)


@cache
def derived(case_id: str, *, redacted: bool = False) -> Derivation:
    return derive_calls(spans_of(case_id, redacted=redacted))


def counted(calls: Any) -> list[Call]:
    return [call for call in calls if call.usage_source is not UsageSource.ABSENT]


def totals_of(calls: Any) -> dict[str, int | None]:
    sums: dict[str, int | None] = {}
    for bucket in BUCKETS:
        known = [count for call in calls if (count := getattr(call.tokens, bucket)) is not None]
        sums[bucket] = sum(known) if known else None
    return sums


def expected_totals(case_id: str) -> dict[str, int | None]:
    told, _ = TOLD_AFTER_ALL.get(case_id, ({}, ""))
    return {**CASES[case_id]["expected"]["totals"], **told}


@pytest.mark.parametrize("redacted", [False, True], ids=["as-sent", "redacted"])
@pytest.mark.parametrize("case_id", [name for name, case in CASES.items() if case["expected"]["usage"] == "reported"])
def test_tokens_and_calls_are_what_the_payload_tells(case_id: str, redacted: bool) -> None:
    found = derived(case_id, redacted=redacted)
    expected = expected_totals(case_id)
    sums = totals_of(found.calls)
    nowhere = {bucket for bucket, total in expected.items() if total is None}
    assert {bucket: total or 0 for bucket, total in sums.items() if bucket not in nowhere} == {
        bucket: total for bucket, total in expected.items() if bucket not in nowhere
    }
    assert {bucket: sums[bucket] for bucket in nowhere} == dict.fromkeys(nowhere)
    number = CASES[case_id]["expected"]["calls"]
    assert number is None or len(counted(found.calls)) == number


@pytest.mark.parametrize("case_id", [name for name, case in CASES.items() if case["expected"]["usage"] == "absent"])
def test_absent_usage_is_not_invented(case_id: str) -> None:
    calls = derived(case_id).calls
    assert {call.usage_source for call in calls} <= {UsageSource.ABSENT}
    assert sum(call.tokens.known_total for call in calls) == 0
    visible = [call for call in calls if call.status is CallStatus.OK]
    assert len(visible) in (0, CASES[case_id]["truth"]["successful"])
    for call in calls:
        assert call.tokens.is_absent == (call.status is CallStatus.OK)


@pytest.mark.parametrize("case_id", [name for name, case in CASES.items() if case["attribution_keys"].get("agent")])
def test_each_call_belongs_to_the_agent_that_made_it(case_id: str) -> None:
    made_by = {
        request["output"]: request["agent"] for request in CASES[case_id]["truth"]["requests"] if request["output"]
    }
    for call in derived(case_id).calls:
        output = (call.tokens.output or 0) + (call.tokens.reasoning or 0)
        if output in made_by:
            assert call.agent == made_by[output]
            assert call.agent_path is not None
            assert call.agent_path.rsplit("/", 1)[-1] == call.agent


@pytest.mark.parametrize(
    "case_id",
    [name for name, case in CASES.items() if case["attribution_keys"].keys() & {"session", "thread"}],
)
def test_each_call_belongs_to_its_session(case_id: str) -> None:
    told = " ".join(CASES[case_id]["truth"]["session_ids"])
    calls = derived(case_id).calls
    assert calls
    if case_id.startswith("claude-code"):
        told = "11111111-2222-4333-8444-555555555555"
    for call in calls:
        assert call.session is not None
        assert call.session in told


@pytest.mark.parametrize("case_id", [name for name, case in CASES.items() if case["attribution_keys"].get("user")])
def test_each_call_belongs_to_its_user(case_id: str) -> None:
    assert {call.user for call in derived(case_id).calls} == {"u-7"}


@pytest.mark.parametrize("case_id", sorted(CASES))
def test_every_count_says_where_it_was_read(case_id: str) -> None:
    for call in counted(derived(case_id).calls):
        for bucket in ("input", "output"):
            if getattr(call.tokens, bucket):
                assert call.provenance[bucket]["attribute"]
        assert call.convention_reason
        assert call.provider


@pytest.mark.parametrize("case_id", sorted(CASES))
def test_order_and_redelivery_do_not_matter(case_id: str) -> None:
    spans = spans_of(case_id)
    again = derive_calls([*reversed(spans), *spans[: len(spans) // 2]])
    assert again == derived(case_id)


def test_a_served_model_and_tier_set_the_price_not_the_requested_ones() -> None:
    (call,) = derived("openinference-anthropic__anthropic__server-tools-priority-tier").calls
    assert call.model == "claude-sonnet-4-5-20250929"
    assert call.request_model == "claude-sonnet-4-5"
    assert call.service_tier == "priority"
    assert call.details["web_search_requests"] == 3


def test_a_hand_off_switches_the_agent_and_an_agent_used_as_a_tool_nests() -> None:
    calls = derived("openinference-openai-agents__openai-responses__handoff-and-agent-tool").calls
    assert {call.agent_path for call in calls} == {"coordinator", "coordinator/writer", "researcher"}


def test_claude_code_is_read_once_out_of_log_metric_and_span() -> None:
    calls = derived("claude-code__anthropic__headless-tool-turn").calls
    assert [str(call.reported_cost) for call in calls] == ["0.058371599999999996", "0.05927565"]
    assert {call.cost_center for call in calls} == {"eng-123"}
    assert {call.team for call in calls} == {"platform"}


def test_a_gateways_word_for_a_model_does_not_hide_the_model_that_served() -> None:
    calls = derived("openinference-litellm+openai__openai__double-instrumented").calls
    assert [call.request_model for call in calls] == ["openai/gpt-5"] * 2
    assert [call.model for call in calls] == ["gpt-5-2025-08-07"] * 2
