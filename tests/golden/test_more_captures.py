"""Real captures of packages and versions that no rule was written for: sub-agents, roll-ups, unlinked SDK spans."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.calls import derive_calls
from ingest.otlp import decode
from ingest.otlp_values import AttributeReader
from ingest.redaction import Redactor
from models.core.telemetry import Derivation, Span
from models.core.vocabulary import Signal, UsageSource

CAPTURES = Path(__file__).parent / "more_captures"
CASES: dict[str, dict[str, Any]] = {case["case"]: case for case in json.loads((CAPTURES / "truth.json").read_text())}
HOUR_NS = 3_600_000_000_000
INPUT = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_unknown")
SERVED_INPUT = ("uncached_input", "cache_read", "cache_write_5m", "cache_write_1h")
INCOMPLETE = {name for name, case in CASES.items() if "lacks" in case}
"""Cases whose payload cannot tell all that the provider served; truth.json says what it lacks."""


def derived(case: str, *, redacted: bool = False) -> Derivation:
    reader = AttributeReader(Redactor(b"k" * 32)) if redacted else AttributeReader()
    return derive_calls(spans_of(case, reader))


def spans_of(case: str, reader: AttributeReader) -> list[Span]:
    found: list[Span] = []
    for signal in (Signal.TRACES, Signal.LOGS):
        path = CAPTURES / f"{case}.{signal.value}.bin"
        if path.exists():
            found += decode(path.read_bytes(), "protobuf", signal, reader=reader).spans
    return found


def total(found: Derivation, bucket: str) -> int | None:
    known = [count for call in found.calls if (count := getattr(call.tokens, bucket)) is not None]
    return sum(known) if known else None


@pytest.mark.parametrize("redacted", [False, True], ids=["as-sent", "redacted"])
@pytest.mark.parametrize("case", sorted(CASES))
def test_each_bucket_is_what_the_payload_tells(case: str, redacted: bool) -> None:
    found = derived(case, redacted=redacted)
    told = CASES[case]["told"]
    assert {bucket: total(found, bucket) for bucket in told} == told
    assert len(found.calls) == CASES[case]["truth"]["calls"]
    assert sorted({call.agent_path or "" for call in found.calls}) == CASES[case]["agents"]


@pytest.mark.parametrize("case", sorted(CASES.keys() - INCOMPLETE))
def test_all_that_the_provider_processed_is_counted_once(case: str) -> None:
    found, truth = derived(case), CASES[case]["truth"]
    assert sum(total(found, bucket) or 0 for bucket in INPUT) == sum(truth[bucket] for bucket in SERVED_INPUT)
    assert (total(found, "output") or 0) + (total(found, "reasoning") or 0) == truth["output"]
    assert {call.usage_source for call in found.calls} == {UsageSource.REPORTED}


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if "sessions" in case])
def test_each_call_belongs_to_the_session_that_the_payload_names(case: str) -> None:
    assert sorted({call.session or "" for call in derived(case).calls}) == CASES[case]["sessions"]


def test_captures_of_many_packages_in_one_load_give_what_each_gives_alone() -> None:
    # Captures were taken side by side with the same counts, so each is moved to an hour of its own.
    reader = AttributeReader()
    apart = [
        [replace(span, start_ns=span.start_ns + at * HOUR_NS, end_ns=span.end_ns + at * HOUR_NS) for span in spans]
        for at, spans in enumerate(spans_of(case, reader) for case in sorted(CASES))
    ]
    alone = [call for spans in apart for call in derive_calls(spans).calls]
    mixed = [span for spans in reversed(apart) for span in reversed(spans)]
    assert Counter(map(repr, derive_calls([*mixed, *mixed[::3]]).calls)) == Counter(map(repr, alone))


def test_a_logfire_stream_is_one_call_though_its_end_stands_in_another_trace() -> None:
    found = derived("logfire__openai-stream")
    assert [gone.why for gone in found.suppressed] == ["duplicate"] * 2
    assert len({gone.trace_id for gone in found.suppressed} | {call.trace_id for call in found.calls}) == 4


@pytest.mark.parametrize("case", ["openlit-1.34__openai-stream__with-usage", "openinference-dspy__openai"])
def test_a_call_without_counts_is_shown_without_counts(case: str) -> None:
    assert [call.usage_source for call in derived(case).calls] == [UsageSource.ABSENT]


def test_the_sdks_own_spans_below_a_framework_that_tells_no_ids_add_the_lifetimes_and_no_call() -> None:
    found = derived("strands+sdk__anthropic__two-turns")
    assert [gone.why for gone in found.suppressed].count("duplicate") == len(found.calls)
    for call in found.calls:
        assert call.instrumentation == "strands.telemetry.tracer"
        assert call.tokens.cache_write_5m is not None
        assert call.tokens.cache_write_unknown == 0
