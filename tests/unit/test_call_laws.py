"""Laws of derivation: the outcome is a function of the set of records, and nothing is lost or counted twice."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.calls import derive_calls
from ingest.linking import link_groups, link_ids
from ingest.merging import tokens_beyond
from models.core.telemetry import Call, Derivation, Span, TokenCounts
from models.core.vocabulary import BUCKETS, INPUT_BUCKETS, OUTPUT_BUCKETS, Bucket, Signal, UsageSource

SDK = "com.anthropic.sdk.python"
BASE_NS = 1_790_000_000_000_000_000
FRAMEWORKS = ("openinference.instrumentation.anthropic", "pydantic-ai", "strands.telemetry.tracer", "acme.tracing")


def span(
    number: int,
    name: str,
    scope: str,
    attributes: dict[str, Any],
    *,
    trace: int = 1,
    parent: int | None = None,
    start_ms: int = 0,
    end_ms: int = 10,
    signal: Signal = Signal.TRACES,
    status: str = "unset",
) -> Span:
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else None,
        name=name,
        start_ns=BASE_NS + start_ms * 1_000_000,
        end_ns=BASE_NS + end_ms * 1_000_000,
        signal=signal,
        kind=3,
        status=status,
        scope_name=scope,
        scope_version="3.1.0" if scope.startswith("openinference") else "",
        resource={"service.name": "law"},
        attributes=attributes,
    )


def usage(request: int, *, output: bool = True) -> dict[str, Any]:
    read, write, fresh = 900 + 17 * request, 40 + 3 * request, 101 + 7 * request
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": fresh + read + write,
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.usage.cache_creation.input_tokens": write,
    }
    if output:
        told["gen_ai.usage.output_tokens"] = 11 + request * request
    return told


@st.composite
def link_group(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Records of one agent run: requests described once to three times, with roll-ups, in one or more traces."""
    scope = draw(st.sampled_from(FRAMEWORKS))
    requests = draw(st.integers(1, 6))
    has_rollup = draw(st.booleans())
    spans: list[Span] = []
    number = 1
    root = number
    total = sum(usage(request)["gen_ai.usage.input_tokens"] for request in range(requests))
    attributes: dict[str, Any] = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
    if has_rollup:
        attributes |= {"gen_ai.usage.input_tokens": total, "gen_ai.usage.output_tokens": 5}
    spans.append(span(root, "invoke_agent planner", scope, attributes, end_ms=1000 * requests))
    for request in range(requests):
        start, told = 1000 * request, usage(request)
        has_id = draw(st.booleans())
        identity = {"gen_ai.response.id": f"msg_{request:030d}"}
        number += 1
        outer = number
        spans.append(
            span(
                outer,
                "chat",
                scope,
                {**told, **(identity if has_id else {})},
                parent=root,
                start_ms=start,
                end_ms=start + 900,
            )
        )
        placement = draw(st.sampled_from(["none", "child", "sibling", "unlinked"]))
        if placement != "none":
            number += 1
            spans.append(
                span(
                    number,
                    "anthropic.messages.create",
                    SDK,
                    {**told, **identity},
                    trace=1 if placement != "unlinked" else 100 + request,
                    parent={"child": outer, "sibling": root, "unlinked": None}[placement],
                    start_ms=start + 10,
                    end_ms=start + 890,
                )
            )
        if draw(st.booleans()):
            number += 1
            spans.append(
                span(
                    number,
                    "gen_ai.client.inference.operation.details",
                    scope,
                    told,
                    parent=outer,
                    start_ms=start + 900,
                    end_ms=start + 900,
                    signal=Signal.LOGS,
                )
            )
    return spans, requests


def sums(derivation: Derivation) -> dict[str, int]:
    found: dict[str, int] = {}
    for call in derivation.calls:
        for bucket, count in call.tokens.as_dict().items():
            found[bucket] = found.get(bucket, 0) + (count or 0)
    return found


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(link_group(), st.randoms(use_true_random=False))
def test_order_splits_and_repeats_do_not_matter_and_every_request_counts_once(
    group: tuple[list[Span], int], chance: Any
) -> None:
    spans, requests = group
    derived = derive_calls(spans)
    shuffled = list(spans)
    chance.shuffle(shuffled)
    repeated = shuffled + [chance.choice(spans) for _ in range(3)]
    assert derive_calls(repeated) == derived
    # Split into requests that arrive in any order, some of them twice: the same.
    cuts = sorted(chance.randint(0, len(shuffled)) for _ in range(3))
    requests_sent = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    requests_sent.append(chance.choice(requests_sent))
    chance.shuffle(requests_sent)
    assert derive_calls([member for request in requests_sent for member in request]) == derived
    assert len(derived.calls) == requests
    expected = [usage(request) for request in range(requests)]
    assert sums(derived)["cache_read"] == sum(told["gen_ai.usage.cache_read.input_tokens"] for told in expected)
    assert sums(derived)["output"] == sum(told["gen_ai.usage.output_tokens"] for told in expected)
    assert {call.agent for call in derived.calls} == {"planner"}


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(link_group(), min_size=1, max_size=4), st.integers(0, 3))
def test_groups_apart_give_what_they_give_together(groups: list[tuple[list[Span], int]], extra: int) -> None:
    spans: list[Span] = []
    for position, (members, _) in enumerate(groups):
        # Each group in a service of its own, so that nothing ties it to the next.
        spans += [
            Span(
                trace_id=bytes([position]) + member.trace_id[1:],
                span_id=member.span_id,
                parent_span_id=member.parent_span_id,
                name=member.name,
                start_ns=member.start_ns,
                end_ns=member.end_ns,
                signal=member.signal,
                kind=member.kind,
                scope_name=member.scope_name,
                scope_version=member.scope_version,
                resource={"service.name": f"law-{position}"},
                attributes={
                    key: f"{value}-{position}" if key == "gen_ai.response.id" else value
                    for key, value in member.attributes.items()
                },
            )
            for member in members
        ]
    together = derive_calls(spans)
    apart = [
        derive_calls([member for member in spans if member.trace_id in set(traces)])
        for traces in link_groups((member.trace_id, link_ids(member)) for member in spans)
    ]
    assert sorted(together.calls, key=lambda call: (call.trace_id, call.span_id)) == sorted(
        (call for part in apart for call in part.calls), key=lambda call: (call.trace_id, call.span_id)
    )
    assert len(together.suppressed) == sum(len(part.suppressed) for part in apart)


def test_real_identical_requests_milliseconds_apart_are_two() -> None:
    told = usage(1)
    spans = [
        span(1, "chat", "pydantic-ai", {**told, "gen_ai.response.id": "msg_" + "a" * 24}, trace=1),
        span(2, "chat", "pydantic-ai", {**told, "gen_ai.response.id": "msg_" + "b" * 24}, trace=2, start_ms=13),
        span(3, "chat", "pydantic-ai", told, trace=3),
        span(4, "chat", "pydantic-ai", told, trace=4, start_ms=1),
    ]
    assert len(derive_calls(spans).calls) == 4


def test_a_match_without_ids_is_recorded() -> None:
    told = usage(2)
    ours = span(1, "chat", "strands.telemetry.tracer", told)
    theirs = span(2, "anthropic.messages.create", SDK, {**told, "gen_ai.response.id": "msg_" + "c" * 24}, trace=2)
    (call,) = derive_calls([ours, theirs]).calls
    assert call.provenance["match"]["how"] == ["equal counts, model and time; no shared id"]


def test_a_model_operation_that_exceeds_its_children_keeps_the_residue() -> None:
    outer = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 100}
    inner = {**outer, "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 5}
    calls = derive_calls(
        [
            span(1, "chat", "acme.outer", {**outer, "gen_ai.usage.output_tokens": 20}, end_ms=100),
            span(2, "chat", "acme.inner", inner, parent=1, start_ms=1, end_ms=9),
        ]
    ).calls
    assert sorted(call.tokens.input or 0 for call in calls) == [30, 70]
    assert sorted(call.tokens.output or 0 for call in calls) == [5, 15]


OUTER = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 100_000}
INNER = {**OUTER, "gen_ai.usage.input_tokens": 60_000, "gen_ai.usage.output_tokens": 600}
SIDES = (INPUT_BUCKETS, OUTPUT_BUCKETS)


def residue(outer: dict[str, Any], inner: dict[str, Any]) -> Call:
    """The call that remains of an operation of 100,000 + 1,000 tokens around a request of 60,000 + 600."""
    told = {**OUTER, "gen_ai.usage.output_tokens": 1_000, **outer}
    calls = derive_calls(
        [
            span(1, "chat", "acme.outer", told, end_ms=100),
            span(2, "chat", "acme.inner", {**INNER, **inner}, parent=1, start_ms=1, end_ms=9),
        ]
    ).calls
    assert sum(count_of(call.tokens, INPUT_BUCKETS) for call in calls) == 100_000
    assert sum(count_of(call.tokens, OUTPUT_BUCKETS) for call in calls) == 1_000
    (rest,) = (call for call in calls if "residue" in call.provenance)
    return rest


def count_of(tokens: TokenCounts, side: tuple[Bucket, ...]) -> int:
    return sum(tokens.get(bucket) or 0 for bucket in side)


READ, WRITTEN = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"
FIVE, HOUR = (f"anthropic.usage.cache_creation.ephemeral_{name}_input_tokens" for name in ("5m", "1h"))
REASONED = "gen_ai.usage.reasoning.output_tokens"


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        pytest.param(
            {},
            {READ: 50_000, REASONED: 300},
            {"input": 40_000, "output": 400},
            id="what-only-the-inner-tells-lies-in-the-outer-input-and-output",
        ),
        pytest.param(
            {WRITTEN: 1_000},
            {WRITTEN: 700, FIVE: 600, HOUR: 100},
            {"input": 39_700, "cache_write_unknown": 300, "output": 400},
            id="writes-whose-lifetime-only-the-inner-tells",
        ),
        pytest.param(
            {WRITTEN: 1_000, FIVE: 400, HOUR: 600},
            {WRITTEN: 700},
            {"input": 39_700, "cache_write_unknown": 300, "output": 400},
            id="writes-whose-lifetime-only-the-outer-tells",
        ),
        pytest.param(
            {READ: 70_000, WRITTEN: 1_000, FIVE: 400, HOUR: 600, REASONED: 500},
            {READ: 50_000, WRITTEN: 700, FIVE: 300, HOUR: 400, REASONED: 300},
            {"input": 19_700, "cache_read": 20_000, "cache_write_5m": 100, "cache_write_1h": 200}
            | {"output": 200, "reasoning": 200},
            id="what-both-tell-alike-by-bucket",
        ),
        pytest.param(
            {READ: 90_000},
            {},
            {"input": 0, "cache_read": 40_000, "output": 400},
            id="cached-tokens-that-only-the-outer-tells",
        ),
    ],
)
def test_a_residue_is_what_remains_of_each_side(
    outer: dict[str, Any], inner: dict[str, Any], expected: dict[str, int]
) -> None:
    assert residue(outer, inner).tokens == TokenCounts(**{bucket.value: 0 for bucket in BUCKETS} | expected)


def test_a_residue_leaves_the_searches_to_the_requests_that_made_them() -> None:
    searches = "gen_ai.usage.details.web_search_requests"
    assert residue({searches: 5}, {searches: 3}).details == {"web_search_requests": 2}
    assert residue({searches: 3}, {searches: 3}).details == {}


told = st.integers(0, 10**6)
wholes = st.builds(TokenCounts, **{bucket.value: told for bucket in BUCKETS})
parts = st.lists(st.builds(TokenCounts, **{bucket.value: st.none() | told for bucket in BUCKETS}), max_size=4)


@given(wholes, parts, st.sampled_from(INPUT_BUCKETS), st.sampled_from(OUTPUT_BUCKETS))
def test_a_residue_and_the_parts_are_the_whole_on_each_side(
    own: TokenCounts, inside: list[TokenCounts], fresh: Bucket, written: Bucket
) -> None:
    # The whole knows what its parts used in one bucket of each side, whichever.
    counts = {bucket.value: own.get(bucket) or 0 for bucket in BUCKETS}
    for side, bucket in zip(SIDES, (fresh, written), strict=True):
        counts[bucket.value] += sum(count_of(part, side) for part in inside)
    whole = TokenCounts(**counts)
    rest = tokens_beyond(whole, inside)
    for side in SIDES:
        assert count_of(rest, side) + sum(count_of(part, side) for part in inside) == count_of(whole, side)
    assert min(count for count in rest.counts if count is not None) >= 0


@given(wholes, parts)
def test_a_residue_keeps_the_buckets_that_whole_and_parts_tell_alike(
    own: TokenCounts, inside: list[TokenCounts]
) -> None:
    whole = {bucket.value: (own.get(bucket) or 0) + sum(part.get(bucket) or 0 for part in inside) for bucket in BUCKETS}
    assert tokens_beyond(TokenCounts(**whole), inside) == own


@given(st.lists(st.tuples(told, told, told, told, told, st.integers(0, 7)), min_size=1, max_size=4), told, told)
def test_an_operation_is_its_requests_and_the_residue(
    requests: list[tuple[int, ...]], more_input: int, more_output: int
) -> None:
    spans: list[Span] = []
    sums = {INPUT_BUCKETS: 1 + more_input, OUTPUT_BUCKETS: more_output}
    for number, (input_, read, write, output, reasoning, names) in enumerate(requests, start=2):
        counts = {READ: read, WRITTEN: write, REASONED: reasoning}
        # Each request tells some of its parts apart; the operation around them tells none.
        apart = {name: counts[name] for place, name in enumerate(counts) if names & 1 << place}
        whole = {"gen_ai.usage.input_tokens": input_ + read + write, "gen_ai.usage.output_tokens": output + reasoning}
        sums[INPUT_BUCKETS] += whole["gen_ai.usage.input_tokens"]
        sums[OUTPUT_BUCKETS] += whole["gen_ai.usage.output_tokens"]
        inner = {**INNER, **whole, **apart}
        spans.append(span(number, "chat", "acme.inner", inner, parent=1, start_ms=10 * number, end_ms=10 * number + 9))
    whole = {"gen_ai.usage.input_tokens": sums[INPUT_BUCKETS], "gen_ai.usage.output_tokens": sums[OUTPUT_BUCKETS]}
    calls = derive_calls([span(1, "chat", "acme.outer", {**OUTER, **whole}, end_ms=1_000), *spans]).calls
    assert len(calls) == len(requests) + 1
    for side, expected in sums.items():
        assert sum(count_of(call.tokens, side) for call in calls) == expected


def test_a_sum_over_requests_that_nobody_described_counts() -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "solo"}
    told = {**agent, "gen_ai.usage.input_tokens": 2000, "gen_ai.usage.output_tokens": 30}
    (call,) = derive_calls([span(1, "invoke_agent solo", "agent_framework", told)]).calls
    assert (call.tokens.input, call.tokens.output, call.agent) == (2000, 30, "solo")


def test_a_failed_attempt_is_a_call_without_tokens_beside_the_one_that_answered() -> None:
    model = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}
    counts = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}
    scope = "opentelemetry.instrumentation.openai_v2"
    calls = derive_calls(
        [
            span(1, "ChatCompletion", "acme.wrapper", {**model, **counts}, end_ms=100),
            span(2, "chat gpt-5", scope, {**model, "error.type": "RateLimitError"}, parent=1, status="error", end_ms=5),
            span(3, "chat gpt-5", scope, {**model, **counts}, parent=1, start_ms=6, end_ms=90),
        ]
    ).calls
    failed, answered = sorted(calls, key=lambda call: call.tokens.known_total)
    assert (failed.status.value, failed.usage_source, failed.tokens.known_total) == ("error", UsageSource.ABSENT, 0)
    assert failed.tokens.input == 0
    assert (answered.status.value, answered.tokens.input, answered.tokens.output) == ("ok", 10, 2)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(
            {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 900},
            (100, 900, "exclusive"),
            id="numbers-that-cannot-be-inclusive-decide",
        ),
        pytest.param(
            {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.cache_read.input_tokens": 900},
            (100, 900, "unknown, read as inclusive"),
            id="otherwise-the-convention-is-marked-unknown",
        ),
    ],
)
def test_an_undocumented_scope_flags_itself(told: dict[str, Any], expected: tuple[int, int, str]) -> None:
    model = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-sonnet-4-5"}
    (call,) = derive_calls([span(1, "chat", "acme.tracing", {**model, **told, "gen_ai.usage.output_tokens": 1})]).calls
    assert (call.tokens.input, call.tokens.cache_read, call.convention) == expected
    assert "acme.tracing" in call.convention_reason or call.convention == "exclusive"
