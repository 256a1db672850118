"""OTLP's wire format through a slim descriptor: text stays bytes and attributes stay raw until wanted.

The stock messages refuse a whole body for one string of bad UTF-8, and reading an attribute through them costs
more than all else. Here every string is `bytes`, every attribute an unread `KeyValue`, and unknown fields are
skipped. Field numbers: opentelemetry-proto 1.x (trace.proto, logs.proto, metrics.proto, common.proto; Apache-2.0).
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "jevons.wire"
_SCALARS = {
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "bool": _Field.TYPE_BOOL,
    "double": _Field.TYPE_DOUBLE,
    "fixed64": _Field.TYPE_FIXED64,
    "sfixed64": _Field.TYPE_SFIXED64,
}
# message → its fields as "name=number:type", with a * where the field is repeated.
_MESSAGES = {
    "KeyValue": "key=1:bytes value=2:AnyValue",
    "AnyValue": "string_value=1:bytes bool_value=2:bool int_value=3:int64 double_value=4:double "
    "array_value=5:ArrayValue kvlist_value=6:KeyValueList bytes_value=7:bytes",
    "ArrayValue": "values=1:AnyValue*",
    "KeyValueList": "values=1:KeyValue*",
    "Resource": "attributes=1:bytes*",
    "Scope": "name=1:bytes version=2:bytes",
    "Status": "message=2:bytes code=3:int32",
    "Event": "time=1:fixed64 name=2:bytes attributes=3:bytes*",
    "Link": "trace_id=1:bytes span_id=2:bytes",
    "Span": "trace_id=1:bytes span_id=2:bytes parent_span_id=4:bytes name=5:bytes kind=6:int32 start=7:fixed64 "
    "end=8:fixed64 attributes=9:bytes* events=11:Event* links=13:Link* status=15:Status",
    "ScopeSpans": "scope=1:Scope spans=2:Span*",
    "ResourceSpans": "resource=1:Resource scope_spans=2:ScopeSpans*",
    "TracesData": "resource_spans=1:ResourceSpans*",
    "LogRecord": "time=1:fixed64 body=5:AnyValue attributes=6:bytes* trace_id=9:bytes "
    "span_id=10:bytes observed=11:fixed64 event_name=12:bytes",
    "ScopeLogs": "scope=1:Scope log_records=2:LogRecord*",
    "ResourceLogs": "resource=1:Resource scope_logs=2:ScopeLogs*",
    "LogsData": "resource_logs=1:ResourceLogs*",
    "NumberPoint": "start=2:fixed64 time=3:fixed64 as_double=4:double as_int=6:sfixed64 attributes=7:bytes*",
    "HistogramPoint": "start=2:fixed64 time=3:fixed64 count=4:fixed64 sum=5:double attributes=9:bytes* "
    "min=11:double max=12:double",
    "ExponentialPoint": "attributes=1:bytes* start=2:fixed64 time=3:fixed64 count=4:fixed64 sum=5:double "
    "min=12:double max=13:double",
    "SummaryPoint": "start=2:fixed64 time=3:fixed64 count=4:fixed64 sum=5:double attributes=7:bytes*",
    "Gauge": "data_points=1:NumberPoint*",
    "Sum": "data_points=1:NumberPoint* temporality=2:int32 is_monotonic=3:bool",
    "Histogram": "data_points=1:HistogramPoint* temporality=2:int32",
    "ExponentialHistogram": "data_points=1:ExponentialPoint* temporality=2:int32",
    "Summary": "data_points=1:SummaryPoint*",
    "Metric": "name=1:bytes unit=3:bytes gauge=5:Gauge sum=7:Sum histogram=9:Histogram "
    "exponential_histogram=10:ExponentialHistogram summary=11:Summary",
    "ScopeMetrics": "scope=1:Scope metrics=2:Metric*",
    "ResourceMetrics": "resource=1:Resource scope_metrics=2:ScopeMetrics*",
    "MetricsData": "resource_metrics=1:ResourceMetrics*",
}


def _build() -> dict[str, Any]:
    # proto2, because it tells an absent number from a zero.
    file = descriptor_pb2.FileDescriptorProto(name="jevons_wire.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for declared in fields.split():
            field_name, _, rest = declared.partition("=")
            number, _, kind = rest.partition(":")
            field = message.field.add(name=field_name, number=int(number))
            field.label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


CLASSES: dict[str, Any] = _build()
"""Message name → its class (upb)."""
TracesData = CLASSES["TracesData"]
LogsData = CLASSES["LogsData"]
MetricsData = CLASSES["MetricsData"]
KeyValue = CLASSES["KeyValue"]
