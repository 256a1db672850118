"""OTLP decoding: encode and decode agree, both encodings agree, and each kind of bad input costs one record."""

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from ingest.otlp import Decoded, decode
from ingest.otlp_records import Window
from models.core.errors import BadInput
from models.core.vocabulary import Signal

NOON = 1_795_176_000_000_000_000
DAY = 86_400_000_000_000
WINDOW = Window(NOON - DAY, NOON + DAY)
TRACE = bytes(range(16))


def put(value: AnyValue, content: object) -> None:
    """Write a Python value as an AnyValue."""
    if isinstance(content, bool):
        value.bool_value = content
    elif isinstance(content, int):
        value.int_value = content
    elif isinstance(content, float):
        value.double_value = content
    elif isinstance(content, str):
        value.string_value = content
    elif isinstance(content, list):
        value.array_value.SetInParent()
        for item in content:
            put(value.array_value.values.add(), item)
    elif isinstance(content, dict):
        value.kvlist_value.SetInParent()
        for key, item in content.items():
            put(value.kvlist_value.values.add(key=key).value, item)


def body_of(*changes: Callable[[ProtoSpan], object]) -> TracesData:
    """Three good spans; the middle one changed."""
    body = TracesData()
    scope_spans = body.resource_spans.add().scope_spans.add()
    for number in (1, 2, 3):
        span = scope_spans.spans.add(name="chat", start_time_unix_nano=NOON, end_time_unix_nano=NOON + number)
        span.trace_id, span.span_id = TRACE, bytes([number] * 8)
    for change in changes:
        change(scope_spans.spans[1])
    return body


def attribute(key: str, content: object) -> Callable[[ProtoSpan], object]:
    return lambda span: put(span.attributes.add(key=key).value, content)


def setting(**fields: object) -> Callable[[ProtoSpan], object]:
    return lambda span: [setattr(span, name, value) for name, value in fields.items()]


BAD_SPANS = [
    pytest.param(setting(trace_id=b"short"), "trace_id has 5 bytes instead of 16", id="short-trace-id"),
    pytest.param(setting(trace_id=bytes(16)), "trace_id is all zero", id="zero-trace-id"),
    pytest.param(setting(span_id=b""), "span_id has 0 bytes instead of 8", id="no-span-id"),
    pytest.param(setting(span_id=bytes(8)), "span_id is all zero", id="zero-span-id"),
    pytest.param(setting(parent_span_id=b"abc"), "parent_span_id has 3 bytes", id="short-parent"),
    pytest.param(setting(end_time_unix_nano=0), "end time is missing", id="no-end"),
    pytest.param(setting(end_time_unix_nano=NOON - 2 * 10**9), "ends 2.000 s before it starts", id="backwards"),
    pytest.param(setting(start_time_unix_nano=1, end_time_unix_nano=2), "older than the accepted window", id="old"),
    pytest.param(setting(end_time_unix_nano=NOON + 2 * DAY), "in the future", id="future"),
    pytest.param(setting(end_time_unix_nano=2**64 - 1), "above 2^63-1", id="end-of-time"),
    pytest.param(setting(name="a\0b"), "the span's name contains a NUL", id="nul-in-name"),
    pytest.param(attribute("k", "a\0b"), "attribute k contains a NUL", id="nul-in-attribute"),
    pytest.param(attribute("k", {"a\0": 1}), "a key of k contains a NUL", id="nul-in-key"),
    pytest.param(attribute("gen_ai.usage.input_tokens", -1), "cannot be negative", id="negative-count"),
    pytest.param(attribute("gen_ai.usage.input_tokens", float("nan")), "is nan, which is no count", id="nan-count"),
    pytest.param(attribute("llm.token_count.prompt", float("inf")), "is inf, which is no count", id="infinite-count"),
    pytest.param(attribute("llm.token_count.prompt", 1e30), "above the largest count", id="huge-count"),
]


def checked(decoded: Decoded, why: str) -> None:
    assert [span.span_id for span in decoded.spans] == [bytes([1] * 8), bytes([3] * 8)]
    (rejection,) = decoded.rejections
    assert rejection.position == "resource_spans[0].scope_spans[0].spans[1]"
    assert why in rejection.reason


@pytest.mark.parametrize(("change", "why"), BAD_SPANS)
def test_a_bad_span_is_rejected_with_its_reason_and_its_neighbours_are_kept(
    change: Callable[[ProtoSpan], object], why: str
) -> None:
    checked(decode(body_of(change).SerializeToString(), "protobuf", Signal.TRACES, window=WINDOW), why)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        pytest.param(b"chat", "the span's name is not valid UTF-8 (byte 3: 0xff)", id="name"),
        pytest.param(b"good", "attribute key is not valid UTF-8 (byte 3: 0xff)", id="value"),
    ],
)
def test_bad_utf8_costs_one_span_though_stock_protobuf_refuses_the_body(field: bytes, why: str) -> None:
    body = body_of(attribute("key", "good"), setting(name="chat!")).SerializeToString()
    if field == b"chat":
        broken = body.replace(b"chat!", b"cha\xff!")
    else:
        broken = body.replace(b"good", b"goo\xff")
    checked(decode(broken, "protobuf", Signal.TRACES, window=WINDOW), why)


def json_body(**changes: object) -> str:
    spans = [
        {
            "traceId": TRACE.hex(),
            "spanId": f"{number:02x}" * 8,
            "name": "chat",
            "startTimeUnixNano": str(NOON),
            "endTimeUnixNano": str(NOON + number),
        }
        for number in (1, 2, 3)
    ]
    spans[1] |= changes  # type: ignore[operator]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}, ensure_ascii=False)


def one(key: str, **value: object) -> list[dict[str, object]]:
    return [{"key": key, "value": value}]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"traceId": "xyz"}, "'xyz' is not hexadecimal", id="no-hex"),
        pytest.param({"traceId": 7}, "traceId is a JSON number", id="number-as-id"),
        pytest.param({"name": ["a"]}, "name is a JSON array", id="array-as-name"),
        pytest.param({"endTimeUnixNano": "soon"}, "'soon', which is no integer", id="word-as-time"),
        pytest.param({"endTimeUnixNano": 2**70}, "outside the 64-bit range", id="huge-time"),
        pytest.param({"attributes": one("a", stringValue=5)}, "stringValue that is a JSON number", id="number-as-text"),
        pytest.param({"attributes": one("a", intValue=str(2**63))}, "outside the 64-bit range", id="huge-int"),
        pytest.param({"attributes": one("a.tokens", intValue="-4")}, "cannot be negative", id="negative"),
        pytest.param({"attributes": one("a.tokens", doubleValue="NaN")}, "nan, which is no count", id="nan"),
        pytest.param({"attributes": one("a", bytesValue="***")}, "not base64", id="no-base64"),
        pytest.param({"attributes": {"a": 1}}, "attributes is a JSON object", id="object-as-list"),
        pytest.param({"attributes": one("a", stringValue="x\0")}, "NUL", id="nul"),
    ],
)
def test_a_bad_span_in_json_is_rejected_with_its_reason(changes: dict[str, object], why: str) -> None:
    checked(decode(json_body(**changes).encode(), "json", Signal.TRACES, window=WINDOW), why)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        pytest.param(b"MARK", b"\xff", "U+DCFF", id="bad-utf8"),
        pytest.param(b"MARK", b"\\ud800", "lone surrogate U+D800", id="lone-surrogate"),
    ],
)
def test_json_text_that_no_decoder_takes_costs_one_span(before: bytes, after: bytes, why: str) -> None:
    body = json_body(attributes=one("a", stringValue="MARK")).encode().replace(before, after)
    checked(decode(body, "json", Signal.TRACES, window=WINDOW), why)


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_a_body_that_is_cut_off_says_where(encoding: str) -> None:
    body = body_of().SerializeToString() if encoding == "protobuf" else json_body().encode()
    for size in range(1, len(body)):
        with pytest.raises(BadInput, match=rf"body of {size} bytes.*( at byte |line 1, column)"):
            decode(body[:size], encoding, Signal.TRACES)  # type: ignore[arg-type]


def test_the_place_of_a_fault_is_named_down_to_the_span() -> None:
    body = body_of().SerializeToString()
    at = body.rindex(b"chat") - 1
    with pytest.raises(BadInput, match=r"resource_spans\[0\]\.scope_spans\[0\]\.spans\[2\].* claims 90 bytes"):
        decode(body[:at] + b"\x5a" + body[at + 1 :], "protobuf", Signal.TRACES)


values = st.recursive(
    st.booleans()
    | st.integers(0, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=0)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.", min_size=1), inner, max_size=3),
    max_leaves=6,
)


def any_json(content: object) -> dict[str, object]:
    """A Python value as OTLP/JSON has it."""
    if isinstance(content, bool):
        return {"boolValue": content}
    if isinstance(content, int):
        return {"intValue": str(content)}
    if isinstance(content, float):
        return {"doubleValue": content}
    if isinstance(content, str):
        return {"stringValue": content}
    if isinstance(content, list):
        return {"arrayValue": {"values": [any_json(item) for item in content]}}
    assert isinstance(content, dict)
    return {"kvlistValue": {"values": [{"key": key, "value": any_json(item)} for key, item in content.items()]}}


@given(st.dictionaries(st.text("abc._", min_size=1, max_size=8), values, max_size=5))
def test_what_is_encoded_is_what_is_decoded_in_both_encodings(attributes: dict[str, object]) -> None:
    changes = [attribute(key, value) for key, value in attributes.items()]
    decoded = decode(body_of(*changes).SerializeToString(), "protobuf", Signal.TRACES)
    pairs = [{"key": key, "value": any_json(value)} for key, value in attributes.items()]
    from_json = decode(json_body(attributes=pairs).encode(), "json", Signal.TRACES)
    assert decoded.spans[1].attributes == attributes
    assert from_json == decoded


def test_a_clock_set_back_a_little_keeps_the_end() -> None:
    (_, span, _) = decode(
        body_of(setting(end_time_unix_nano=NOON - 5)).SerializeToString(), "protobuf", Signal.TRACES
    ).spans
    assert (span.start_ns, span.end_ns) == (NOON - 5, NOON - 5)


def test_bytes_are_base64_in_both_encodings() -> None:
    body = body_of(lambda span: setattr(span.attributes.add(key="b").value, "bytes_value", b"\x00\xff"))
    packed = base64.b64encode(b"\x00\xff").decode()
    from_json = decode(json_body(attributes=one("b", bytesValue=packed)).encode(), "json", Signal.TRACES)
    assert decode(body.SerializeToString(), "protobuf", Signal.TRACES) == from_json
    assert from_json.spans[1].attributes == {"b": packed}


def test_a_log_record_keeps_its_trace_and_gets_an_id_from_its_content() -> None:
    body = LogsData()
    records = body.resource_logs.add().scope_logs.add().log_records
    for number in (1, 1, 2):
        record = records.add(time_unix_nano=NOON, trace_id=TRACE, span_id=bytes([9] * 8))
        record.body.string_value = "claude_code.api_request"
        record.attributes.add(key="input_tokens").value.int_value = number
    first, again, other = decode(body.SerializeToString(), "protobuf", Signal.LOGS).spans
    assert first == again
    assert (first.trace_id, first.parent_span_id, first.name) == (TRACE, bytes([9] * 8), "claude_code.api_request")
    assert first.span_id not in (other.span_id, bytes([9] * 8))


def test_points_of_one_metric_stream_lie_in_one_trace() -> None:
    body = MetricsData()
    metric = body.resource_metrics.add().scope_metrics.add().metrics.add(name="tokens", unit="1")
    metric.sum.aggregation_temporality = 2
    metric.sum.is_monotonic = True
    for number, kind in ((1, "input"), (2, "input"), (3, "output")):
        point = metric.sum.data_points.add(start_time_unix_nano=NOON, time_unix_nano=NOON + number, as_int=number)
        point.attributes.add(key="type").value.string_value = kind
    first, second, other = decode(body.SerializeToString(), "protobuf", Signal.METRICS).spans
    assert first.trace_id == second.trace_id != other.trace_id
    assert first.span_id != second.span_id
    assert first.attributes == {
        "type": "input",
        "metric.type": "sum",
        "metric.unit": "1",
        "metric.temporality": "cumulative",
        "metric.monotonic": True,
        "metric.start_ns": NOON,
        "metric.value": 1,
    }
