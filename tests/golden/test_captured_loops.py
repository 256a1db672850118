"""Captured 30-call loops are found by their fifth repeat; no other capture and no recorded coding session is one."""

import gzip
import json
from itertools import groupby
from pathlib import Path

import pytest

from ingest.calls import derive_calls
from ingest.otlp import decode
from ingest.otlp_values import AttributeReader
from ingest.redaction import Redactor
from ingest.steps import steps_of_trace
from ingest.transcripts.pi import spans_of_rows
from models.core.telemetry import Span
from models.core.vocabulary import Signal
from models.costs.loops import WatchState, findings_of, observe
from models.costs.steps import FindingKind, Step

CASES = Path(__file__).parent / "corpus" / "cases"
LOOPS = sorted(path.name for path in CASES.iterdir() if "runaway-loop" in path.name)
SESSIONS = Path(__file__).parents[2] / "app" / "sample" / "pi_sessions.jsonl.gz"


def traces_of(spans: list[Span]) -> list[list[Step]]:
    """Steps of each trace, through the derivation of calls."""
    calls = derive_calls(spans).calls
    ordered = sorted(spans, key=lambda span: span.trace_id)
    return [
        steps_of_trace(list(members), [call for call in calls if call.trace_id == trace_id])
        for trace_id, members in groupby(ordered, key=lambda span: span.trace_id)
    ]


def captured(case: str) -> list[list[Step]]:
    reader = AttributeReader(Redactor(b"key of the test"))
    spans = list[Span]()
    for path in sorted((CASES / case).glob("traces*.bin")):
        spans += decode(path.read_bytes(), "protobuf", Signal.TRACES, reader=reader).spans
    return traces_of(spans)


def test_there_are_three_captured_loops() -> None:
    assert len(LOOPS) == 3


@pytest.mark.parametrize("case", LOOPS)
def test_a_captured_loop_is_found_by_its_fifth_repeat(case: str) -> None:
    steps = max(captured(case), key=len)
    state, repeats = WatchState(), 0
    for step in steps:
        repeats += step.is_tool
        state, found = observe(state, step)
        if found:
            break
    assert repeats == 5
    assert [(one.kind, tuple(one.what)) for one in found] == [(FindingKind.REPEATED_STEP, ("get_weather",))]


@pytest.mark.parametrize("case", sorted({path.name for path in CASES.iterdir()} - set(LOOPS)))
def test_no_other_capture_is_a_loop(case: str) -> None:
    assert [finding.title for steps in captured(case) for finding in findings_of(steps)] == []


def test_no_recorded_coding_session_is_a_loop() -> None:
    with gzip.open(SESSIONS, "rt") as file:
        spans = list(spans_of_rows([json.loads(line) for line in file]))
    traces = traces_of(spans)
    assert len(traces) > 5
    assert [finding.title for steps in traces for finding in findings_of(steps)] == []
