"""A trace that the detectors are spared holds no pattern: whatever they would find, the counts alone let them look."""

from hypothesis import event, given, settings
from hypothesis import strategies as st

from ingest.steps import LEAST_SPANS, steps_of_trace, worth_watching
from models.core.telemetry import Call, Span, TokenCounts
from models.core.vocabulary import CallStatus, UsageSource
from models.costs.loops import findings_of
from models.costs.suspicion import TraceCounts, may_hold_a_pattern

TRACE = b"t" * 16
SECOND = 1_000_000_000

# Few values each, so that repeats, cycles and storms are common and not one in a million.
tools = st.tuples(
    st.just("tool"),
    st.sampled_from(("get_weather", "bash", "await_build")),
    st.sampled_from((None, "a", "b")),
    st.sampled_from((None, "r", "s")),
    st.booleans(),
)
chats = st.tuples(st.just("chat"), st.sampled_from((100, 100, 200, 300)), st.booleans(), st.sampled_from(("x", "x/y")))
agents = st.tuples(st.just("agent"), st.sampled_from(("x", "y", "a/b/c")), st.integers(0, 3))
moves = st.lists(st.one_of(tools, tools, chats, agents), min_size=1, max_size=6)
scripts = st.tuples(moves, st.integers(1, 6), st.integers(0, 5)).map(lambda made: (made[0] * made[1])[: 36 - made[2]])


def trace_of(script: list[tuple[object, ...]]) -> tuple[list[Span], list[Call]]:
    spans: list[Span] = []
    calls: list[Call] = []
    runs: list[bytes] = []
    for number, move in enumerate(script, start=1):
        span_id = number.to_bytes(8, "big")
        start, parent, status = number * SECOND, runs[-1] if runs else None, "unset"
        attributes: dict[str, object] = {"gen_ai.agent.name": "x"}
        match move:
            case ("tool", name, arguments, result, failed):
                attributes |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
                attributes |= {"jevons.arguments_hash": arguments} if arguments else {}
                attributes |= {"jevons.result_hash": result} if result else {}
                status = "error" if failed else "ok"
            case ("agent", name, up):
                attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
                del runs[max(len(runs) - int(str(up)), 0) :]
                parent = runs[-1] if runs else None
                runs.append(span_id)
            case (_, tokens, failed, path):
                attributes |= {"gen_ai.operation.name": "chat"}
                calls.append(call_of(span_id, start, int(str(tokens)) + number % 2, bool(failed), str(path)))
        ids = {"trace_id": TRACE, "span_id": span_id, "parent_span_id": parent}
        end = start + SECOND * (60 if move[0] == "agent" else 1) - 1
        spans.append(Span(**ids, name="s", start_ns=start, end_ns=end, status=status, attributes=attributes))  # type: ignore[arg-type]
    return spans, calls


def call_of(span_id: bytes, start: int, tokens: int, failed: bool, path: str) -> Call:
    return Call(
        trace_id=TRACE,
        span_id=span_id,
        start_ns=start,
        end_ns=start + SECOND - 1,
        status=CallStatus.ERROR if failed else CallStatus.OK,
        provider="openai",
        model="gpt-5",
        request_model=None,
        operation="chat",
        instrumentation="test",
        tokens=TokenCounts(input=tokens, cache_read=0, output=10),
        usage_source=UsageSource.REPORTED,
        convention="inclusive",
        agent="x",
        agent_path=path,
    )


@settings(max_examples=400, deadline=None)
@given(scripts)
def test_what_the_detectors_would_find_is_looked_at(script: list[tuple[object, ...]]) -> None:
    spans, calls = trace_of(script)
    findings = findings_of(steps_of_trace(spans, calls))
    event(f"found: {sorted({finding.kind.value for finding in findings})}")
    if findings and len(spans) >= LEAST_SPANS:
        assert worth_watching(spans, calls) == [TRACE]


def test_an_ordinary_run_needs_no_detector() -> None:
    turn = [("chat", 100, False, "x"), ("tool", "bash", "a", None, False), ("tool", "get_weather", "b", None, False)]
    spans, calls = trace_of([("agent", "x", 0), *turn, ("chat", 200, False, "x")])
    assert worth_watching(spans, calls) == []


def test_four_equal_runs_of_a_tool_are_no_pattern_and_five_may_be_one() -> None:
    assert not may_hold_a_pattern(TraceCounts(tools={("bash", "a"): 4}))
    assert may_hold_a_pattern(TraceCounts(tools={("bash", "a"): 5}))
    assert not may_hold_a_pattern(TraceCounts(tools={("read", "a"): 3, ("write", "a"): 2}))
    assert may_hold_a_pattern(TraceCounts(tools={("read", "a"): 3, ("write", "a"): 3}))
