"""Spans that importers read come back the same from the collector's decoder."""

import gzip
from pathlib import Path

import orjson

import app.demo
from ingest.otlp import decode
from ingest.otlp_encode import SPANS_PER_BODY, trace_bodies
from ingest.transcripts.pi import spans_of_rows
from models.core.vocabulary import Signal

SESSIONS = Path(app.demo.__file__).parent / "sample" / "pi_sessions.jsonl.gz"


def test_the_recorded_sessions_survive_the_road_through_otlp() -> None:
    rows = [orjson.loads(line) for line in gzip.decompress(SESSIONS.read_bytes()).splitlines()]
    spans = list(spans_of_rows(rows))
    bodies = list(trace_bodies(spans))
    assert len(bodies) == -(-len(spans) // SPANS_PER_BODY)
    decoded = [decode(body, "protobuf", Signal.TRACES) for body in bodies]
    assert not [rejection for each in decoded for rejection in each.rejections]
    back = [span for each in decoded for span in each.spans]
    assert [(s.trace_id, s.span_id, s.parent_span_id, s.start_ns, s.end_ns, s.status) for s in back] == [
        (s.trace_id, s.span_id, s.parent_span_id, s.start_ns, s.end_ns, s.status) for s in spans
    ]
    assert [dict(span.attributes) for span in back] == [dict(span.attributes) for span in spans]


def test_each_prompt_is_a_trace_and_each_billed_request_a_chat_span() -> None:
    rows = [orjson.loads(line) for line in gzip.decompress(SESSIONS.read_bytes()).splitlines()]
    spans = list(spans_of_rows(rows))
    chats = [span for span in spans if span.attributes["gen_ai.operation.name"] == "chat"]
    assert len(chats) == 937
    # 910 billed requests, and one that the provider refused: it used nothing, and says so.
    assert sum("gen_ai.usage.input_tokens" in span.attributes for span in chats) == 911
    assert len({span.trace_id for span in spans}) == sum(span.parent_span_id is None for span in spans)
    assert len({(span.trace_id, span.span_id) for span in spans}) == len(spans)
