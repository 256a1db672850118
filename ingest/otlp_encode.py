"""Spans back into OTLP bodies: what importers read goes down the same road as what agents send."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1 import trace_pb2

from models.core.telemetry import Span

STATUS = {"unset": 0, "ok": 1, "error": 2}
SPANS_PER_BODY = 512


def trace_bodies(spans: Iterable[Span]) -> Iterator[bytes]:
    """OTLP trace requests in protobuf, of at most SPANS_PER_BODY spans each, in the order given."""
    rest = iter(spans)
    while batch := list(islice(rest, SPANS_PER_BODY)):
        request = ExportTraceServiceRequest()
        for _, group in groupby(batch, key=lambda span: (id(span.resource), span.instrumentation)):
            members = list(group)
            resource_spans = request.resource_spans.add()
            resource_spans.resource.attributes.extend(_key_values(members[0].resource))
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = members[0].scope_name
            scope_spans.scope.version = members[0].scope_version
            scope_spans.spans.extend(map(_span, members))
        yield request.SerializeToString()


def _span(span: Span) -> trace_pb2.Span:
    return trace_pb2.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id or b"",
        name=span.name,
        kind=trace_pb2.Span.SpanKind.ValueType(span.kind),
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_key_values(span.attributes),
        status=trace_pb2.Status(
            code=trace_pb2.Status.StatusCode.ValueType(STATUS[span.status]), message=span.status_message or ""
        ),
        events=[
            trace_pb2.Span.Event(
                name=event["name"], time_unix_nano=event["time_ns"], attributes=_key_values(event["attributes"])
            )
            for event in span.events
        ],
        links=[trace_pb2.Span.Link(trace_id=trace_id, span_id=span_id) for trace_id, span_id in span.links],
    )


def _key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: Any) -> AnyValue:
    # bool first: it is an int to Python.
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=_key_values(value)))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    return AnyValue(string_value=str(value))
