"""A tool's result leaves a keyed hash: the same answer the same one, another answer another, and a loop shows."""

import pytest

from ingest.redaction import Redactor
from ingest.steps import steps_of_trace
from models.core.telemetry import Span
from models.costs.loops import WatchState, observe
from models.costs.steps import FindingKind
from tests.unit.test_call_laws import span

REDACTOR = Redactor(b"key of the test")


def hashed(key: str, value: str) -> dict[str, str]:
    name, kept, extra = REDACTOR(key, value)
    found = dict(extra or {})
    return found if name is None else {**found, name: kept}


def test_the_result_of_a_tool_is_gone_and_its_hash_is_kept() -> None:
    told = hashed("gen_ai.tool.call.result", "7 degrees in Oslo")
    assert told.keys() == {"jevons.result_hash"}
    assert "Oslo" not in str(told)
    assert told != hashed("gen_ai.tool.call.result", "8 degrees in Oslo")


@pytest.mark.parametrize("other", ["call_9f2-B", "toolu_01AbC", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"])
def test_the_id_of_a_run_does_not_make_an_equal_answer_a_new_one(other: str) -> None:
    wrapped = '{"type": "tool", "data": {"content": "7 degrees", "id_of_call": "%s"}}'
    assert hashed("output.value", wrapped % "call_1") == hashed("output.value", wrapped % other)


def test_an_answer_of_a_model_is_not_hashed() -> None:
    assert "jevons.output_hash" not in hashed("output.value", '{"usage": {"total_tokens": 12}, "text": "hello"}')


def test_another_key_gives_another_hash() -> None:
    _, _, other = Redactor(b"another key")("gen_ai.tool.call.result", "7")
    assert dict(other or {}) != hashed("gen_ai.tool.call.result", "7")


def tool_run(number: int, result: str) -> Span:
    told = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "read_page",
        **hashed("gen_ai.tool.call.arguments", '{"url": "https://example.org"}'),
        **hashed("gen_ai.tool.call.result", result),
    }
    return span(number, "execute_tool read_page", "acme", told, start_ms=100 * number, end_ms=100 * number + 10)


@pytest.mark.parametrize(("results", "found"), [(["same"] * 8, True), ([f"page {n}" for n in range(8)], False)])
def test_a_repeated_step_whose_results_change_is_no_loop(results: list[str], found: bool) -> None:
    steps = steps_of_trace([tool_run(number + 1, result) for number, result in enumerate(results)], [])
    state, kinds = WatchState(), set[FindingKind]()
    for step in steps:
        state, findings = observe(state, step)
        kinds.update(finding.kind for finding in findings)
    assert (FindingKind.REPEATED_STEP in kinds) == found
