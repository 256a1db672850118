"""OTLP/protobuf bodies as spans: one walk per signal over the slim descriptor."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from ingest import wire
from ingest.otlp_records import (
    STATUSES,
    Source,
    Window,
    check_ids,
    check_times,
    kept_links,
    log_span,
    metric_span,
    parent_of,
)
from ingest.otlp_values import AttributeReader, Unreadable, any_value, check_number, finite, text_of
from ingest.wire_faults import where_it_breaks
from models.core.errors import BadInput
from models.core.telemetry import Rejection, Span


class UnparsableProtobuf(BadInput):
    """A body that is no OTLP protobuf message, or only the beginning of one."""

    code = "unparsable_protobuf"

    def __init__(self, body: bytes, message: Any) -> None:
        super().__init__(
            f"the body of {len(body)} bytes is not an OTLP protobuf message: {where_it_breaks(body, message)}. "
            "Send the whole serialised Export…ServiceRequest, with the Content-Encoding it really has."
        )


def parsed(body: bytes, message: Any) -> Any:
    """The body as a message of the slim descriptor.

    Raises   UnparsableProtobuf.
    """
    try:
        return message.FromString(body)
    except DecodeError:
        raise UnparsableProtobuf(body, message) from None


def read_traces(body: bytes, reader: AttributeReader, window: Window, spans: list[Span], rejected: list[Rejection]):
    """Append the spans of a TracesData body to `spans`, and what cannot be taken to `rejected`."""
    for r, resource_spans in enumerate(parsed(body, wire.TracesData).resource_spans):
        resource, resource_fault = _resource(resource_spans.resource, reader)
        for s, scope_spans in enumerate(resource_spans.scope_spans):
            source, fault = _source(resource, resource_fault, scope_spans.scope)
            for i, span in enumerate(scope_spans.spans):
                try:
                    if fault is not None:
                        raise fault
                    spans.append(_span(span, source, reader, window))
                except Unreadable as why:
                    position = f"resource_spans[{r}].scope_spans[{s}].spans[{i}]"
                    rejected.append(_rejection(position, why, span.trace_id, span.span_id))


def _span(span: Any, source: Source, reader: AttributeReader, window: Window) -> Span:
    trace_id, span_id, parent = span.trace_id, span.span_id, span.parent_span_id
    check_ids(trace_id, span_id)
    start_ns, end_ns = check_times(span.start, span.end, window)
    events, links = span.events, span.links
    status, status_message = "unset", None
    # Reading an absent message would make one.
    if span.HasField("status"):
        told = span.status
        status = STATUSES.get(told.code, "unset")
        if message := told.message:
            status_message = reader.fault(text_of(message, "the status message"))
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_of(parent) if parent else None,
        name=reader.name_of(span.name, "the span's name"),
        start_ns=start_ns,
        end_ns=end_ns,
        kind=span.kind,
        status=status,
        status_message=status_message,
        scope_name=source.scope_name,
        scope_version=source.scope_version,
        resource=source.resource,
        attributes=reader.read(span.attributes),
        events=tuple([_event(event, reader) for event in events]) if events else (),
        links=kept_links([(link.trace_id, link.span_id) for link in links]) if links else (),
    )


def _event(event: Any, reader: AttributeReader) -> dict[str, Any]:
    return {
        "name": reader.name_of(event.name, "an event's name"),
        "time_ns": event.time,
        "attributes": reader.read(event.attributes),
    }


def read_logs(body: bytes, reader: AttributeReader, window: Window, spans: list[Span], rejected: list[Rejection]):
    """Append the log records of a LogsData body to `spans`, and what cannot be taken to `rejected`."""
    for r, resource_logs in enumerate(parsed(body, wire.LogsData).resource_logs):
        resource, resource_fault = _resource(resource_logs.resource, reader)
        for s, scope_logs in enumerate(resource_logs.scope_logs):
            source, fault = _source(resource, resource_fault, scope_logs.scope)
            for i, record in enumerate(scope_logs.log_records):
                try:
                    if fault is not None:
                        raise fault
                    spans.append(_log(record, source, reader, window))
                except Unreadable as why:
                    position = f"resource_logs[{r}].scope_logs[{s}].log_records[{i}]"
                    rejected.append(_rejection(position, why, record.trace_id, record.span_id))


def _log(record: Any, source: Source, reader: AttributeReader, window: Window) -> Span:
    return log_span(
        source,
        name=text_of(record.event_name, "the event name"),
        body=reader.body(any_value(record.body, "body")) if record.HasField("body") else None,
        time_ns=record.time or record.observed,
        trace_id=record.trace_id,
        span_id=record.span_id,
        attributes=reader.read(record.attributes),
        window=window,
    )


_METRIC_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def read_metrics(body: bytes, reader: AttributeReader, window: Window, spans: list[Span], rejected: list[Rejection]):
    """Append the points of a MetricsData body to `spans`, and what cannot be taken to `rejected`."""
    for r, resource_metrics in enumerate(parsed(body, wire.MetricsData).resource_metrics):
        resource, resource_fault = _resource(resource_metrics.resource, reader)
        for s, scope_metrics in enumerate(resource_metrics.scope_metrics):
            source, fault = _source(resource, resource_fault, scope_metrics.scope)
            for m, metric in enumerate(scope_metrics.metrics):
                for i, kind, data, point in _points(metric):
                    try:
                        if fault is not None:
                            raise fault
                        spans.append(_point(metric, kind, data, point, source, reader, window))
                    except Unreadable as why:
                        position = f"resource_metrics[{r}].scope_metrics[{s}].metrics[{m}].{kind}.data_points[{i}]"
                        rejected.append(_rejection(position, why, b"", b""))


def _points(metric: Any) -> Iterator[tuple[int, str, Any, Any]]:
    for kind in _METRIC_KINDS:
        if metric.HasField(kind):
            data = getattr(metric, kind)
            for i, point in enumerate(data.data_points):
                yield i, kind, data, point


def _point(
    metric: Any, kind: str, data: Any, point: Any, source: Source, reader: AttributeReader, window: Window
) -> Span:
    name = text_of(metric.name, "the metric's name")
    figures: dict[str, Any] = {}
    if kind in ("gauge", "sum"):
        if point.HasField("as_int"):
            figures["value"] = point.as_int
        elif point.HasField("as_double"):
            figures["value"] = point.as_double
    else:
        for figure in ("count", "sum", "min", "max"):
            if figure in point.DESCRIPTOR.fields_by_name and point.HasField(figure):
                figures[figure] = getattr(point, figure)
    for figure, number in figures.items():
        check_number(f"{name}.{figure}", number)
        figures[figure] = finite(number) if isinstance(number, float) else number
    return metric_span(
        source,
        name=name,
        kind=kind,
        unit=text_of(metric.unit, "the metric's unit"),
        temporality=getattr(data, "temporality", 0),
        is_monotonic=data.is_monotonic if kind == "sum" else None,
        start_ns=point.start,
        time_ns=point.time,
        figures=figures,
        attributes=reader.read(point.attributes),
        window=window,
    )


def _resource(resource: Any, reader: AttributeReader) -> tuple[dict[str, Any], Unreadable | None]:
    try:
        return reader.read(resource.attributes), None
    except Unreadable as fault:
        return {}, Unreadable(f"its resource cannot be read: {fault}")


def _source(resource: dict[str, Any], fault: Unreadable | None, scope: Any) -> tuple[Source, Unreadable | None]:
    try:
        name, version = text_of(scope.name, "the scope's name"), text_of(scope.version, "the scope's version")
    except Unreadable as scope_fault:
        return Source(resource, "", ""), scope_fault
    return Source(resource, name, version), fault


def _rejection(position: str, why: Unreadable, trace_id: bytes, span_id: bytes) -> Rejection:
    return Rejection(
        position=position,
        reason=str(why),
        trace_id=trace_id if len(trace_id) == 16 else None,
        span_id=span_id if len(span_id) == 8 else None,
    )
