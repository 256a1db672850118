"""The benchmark's own parts: requests that were never sent before, lags, and a table that admits what is missing."""

from itertools import islice

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from app.bench.client import Sent
from app.bench.payloads import fresh_requests, same_again, templates, trace_prefix
from app.bench.report import ROWS, table
from app.bench.sustained import Steady
from app.bench.watch import Seen


def spans_of(request: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """(trace, span, parent) of each span of a request."""
    body = TracesData.FromString(request.partition(b"\r\n\r\n")[2])
    return [
        (span.trace_id, span.span_id, span.parent_span_id)
        for resource in body.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def ids_in(request: bytes) -> set[str]:
    """Response, session and tool call ids of a request."""
    body = TracesData.FromString(request.partition(b"\r\n\r\n")[2])
    wanted = ("gen_ai.response.id", "session.id", "gen_ai.tool.call.id")
    return {
        attribute.value.string_value
        for resource in body.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
        for attribute in span.attributes
        if attribute.key in wanted
    }


def test_a_template_says_how_many_spans_and_calls_it_holds() -> None:
    for batch in (1, 64):
        (made,) = templates(1, batch)
        ((_, _, request),) = islice(fresh_requests([made]), 1)
        assert len(spans_of(request)) == made.spans == batch
        assert 1 <= made.calls == request.count(b"gen_ai.response.id") <= batch


def test_no_request_repeats_an_id_of_another() -> None:
    made = templates(2, 64)
    requests = list(islice(fresh_requests(made), 40))
    keys = [key[:2] for _, _, request in requests for key in spans_of(request)]
    assert len(set(keys)) == len(keys) == 40 * 64
    ids = [ids_in(request) for _, _, request in requests]
    assert len(set().union(*ids)) == sum(len(found) for found in ids)


def test_parents_are_found_in_their_own_trace_and_traces_by_their_request() -> None:
    for number, _, request in islice(fresh_requests(templates(2, 64)), 4):
        spans = spans_of(request)
        known = {(trace, span) for trace, span, _ in spans}
        assert all((trace, parent) in known for trace, _, parent in spans if parent)
        assert {trace[:8] for trace, _, _ in spans} == {trace_prefix(number)}


def test_a_request_sent_again_is_the_same_request() -> None:
    made = templates(2, 8)
    sent = list(islice(fresh_requests(made), 5))
    again = list(same_again(made, [(number, which) for number, which, _ in sent]))
    assert again == sent


def test_a_request_is_priced_at_the_first_look_that_finds_nothing_older_waiting() -> None:
    seen = [Seen(10.0, 5, 2.0, 8.0), Seen(11.0, 5, 2.0, 9.0), Seen(12.0, 0, 0.0, 12.0)]
    sent = Sent(acknowledged=[(0, 0, 8.5), (1, 0, 9.5), (2, 0, 12.5)])
    assert Steady(100.0, sent, seen, 0.0).lags() == [2.5, 2.5, float("inf")]


def test_a_growing_backlog_and_a_rate_that_was_not_reached_are_not_flat() -> None:
    sent = Sent(seconds=10.0, spans=1_000)
    assert Steady(100.0, sent, [], 4.0).is_flat
    assert not Steady(100.0, sent, [], 6.0).is_flat
    assert not Steady(110.0, sent, [], 0.0).is_flat


def test_what_was_not_measured_says_so() -> None:
    shown = table({"batch 512: spans/s": 15_000.0, "rating: buckets/s": 3_000_000.0}, "a machine")
    assert "| burst, batch 512: durable spans/s | 15,000 | ≥ 30,000 | 50% |" in shown
    assert shown.count("not measured") == len(ROWS) - 2


def test_an_exact_cost_is_right_and_any_other_is_not() -> None:
    assert "| cost error on the corpus, % | 0 | = 0 | yes |" in table({"corpus: error %": 0.0}, "")
    assert "| cost error on the corpus, % | 0.1 | = 0 | no |" in table({"corpus: error %": 0.1}, "")
