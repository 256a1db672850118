"""OTLP/JSON bodies as spans: ids in hex, 64-bit integers as strings or numbers, enums as numbers or names."""

import base64
import binascii
import json
import math
from collections.abc import Iterator
from typing import Any

import orjson

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
from ingest.otlp_values import MAX_DEPTH, MAX_INT, AttributeReader, Unreadable, check_number, check_text, finite
from models.core.errors import BadInput
from models.core.telemetry import Rejection, Span

_KINDS = {"UNSPECIFIED": 0, "INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_STATUS_CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}
_TEMPORALITIES = {"UNSPECIFIED": 0, "DELTA": 1, "CUMULATIVE": 2}
_METRIC_KINDS = {
    "gauge": "gauge",
    "sum": "sum",
    "histogram": "histogram",
    "exponentialHistogram": "exponential_histogram",
    "summary": "summary",
}


class UnparsableJson(BadInput):
    """A body that is no JSON, or whose shape is not OTLP's."""

    code = "unparsable_json"


def parsed(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    Raises   UnparsableJson with line and column, or the shape that was found.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        document = _lenient(body, fault)
    if not isinstance(document, dict):
        raise UnparsableJson(
            f"the body is a JSON {_kind(document)}; OTLP/JSON is an object such as {{resourceSpans: …}}"
        )
    return document


def _lenient(body: bytes, fault: orjson.JSONDecodeError) -> Any:
    """Read what orjson refuses as a whole (bad UTF-8, lone surrogates, NaN), so that only its record is rejected."""
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        raise UnparsableJson(
            f"the body of {len(body)} bytes is not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}. "
            "Send one whole OTLP/JSON document, with the Content-Encoding it really has."
        ) from None


def read_traces(body: bytes, reader: AttributeReader, window: Window, spans: list[Span], rejected: list[Rejection]):
    """Append the spans of a traces document to `spans`, and what cannot be taken to `rejected`."""
    for position, source, fault, span in _records(parsed(body), reader, "resourceSpans", "scopeSpans", "spans"):
        try:
            if fault is not None:
                raise fault
            spans.append(_span(_object(span, "the span"), source, reader, window))
        except Unreadable as why:
            rejected.append(_rejection(position, why, span))


def _span(span: dict[str, Any], source: Source, reader: AttributeReader, window: Window) -> Span:
    trace_id, span_id = _id(span, "traceId"), _id(span, "spanId")
    check_ids(trace_id, span_id)
    start_ns, end_ns = check_times(_int(span, "startTimeUnixNano"), _int(span, "endTimeUnixNano"), window)
    status = _object(span.get("status") or {}, "status")
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_of(_id(span, "parentSpanId")),
        name=reader.name(_text(span, "name")),
        start_ns=start_ns,
        end_ns=end_ns,
        kind=_enum(span, "kind", "SPAN_KIND_", _KINDS),
        status=STATUSES.get(_enum(status, "code", "STATUS_CODE_", _STATUS_CODES), "unset"),
        status_message=reader.fault(_text(status, "message")),
        scope_name=source.scope_name,
        scope_version=source.scope_version,
        resource=source.resource,
        attributes=attributes_of(span, reader),
        events=tuple(
            {
                "name": reader.name(_text(event, "name")),
                "time_ns": _int(event, "timeUnixNano"),
                "attributes": attributes_of(event, reader),
            }
            for event in _objects(span, "events")
        ),
        links=kept_links([(_id(link, "traceId"), _id(link, "spanId")) for link in _objects(span, "links")]),
    )


def read_logs(body: bytes, reader: AttributeReader, window: Window, spans: list[Span], rejected: list[Rejection]):
    """Append the log records of a logs document to `spans`, and what cannot be taken to `rejected`."""
    for position, source, fault, record in _records(parsed(body), reader, "resourceLogs", "scopeLogs", "logRecords"):
        try:
            if fault is not None:
                raise fault
            spans.append(_log(_object(record, "the log record"), source, reader, window))
        except Unreadable as why:
            rejected.append(_rejection(position, why, record))


def _log(record: dict[str, Any], source: Source, reader: AttributeReader, window: Window) -> Span:
    body = record.get("body")
    return log_span(
        source,
        name=_text(record, "eventName"),
        body=reader.body(_value(body, "body")) if body else None,
        time_ns=_int(record, "timeUnixNano") or _int(record, "observedTimeUnixNano"),
        trace_id=_id(record, "traceId"),
        span_id=_id(record, "spanId"),
        attributes=attributes_of(record, reader),
        window=window,
    )


def read_metrics(body: bytes, reader: AttributeReader, window: Window, spans: list[Span], rejected: list[Rejection]):
    """Append the points of a metrics document to `spans`, and what cannot be taken to `rejected`."""
    for position, source, fault, metric in _records(parsed(body), reader, "resourceMetrics", "scopeMetrics", "metrics"):
        try:
            _object(metric, "the metric")
            points = list(_points(metric))
        except Unreadable as why:
            rejected.append(Rejection(position=position, reason=str(why)))
            continue
        for i, kind, data, point in points:
            try:
                if fault is not None:
                    raise fault
                spans.append(_point(metric, kind, data, point, source, reader, window))
            except Unreadable as why:
                where = f"{position}.{kind}.data_points[{i}]"
                rejected.append(Rejection(position=where, reason=str(why)))


def _points(metric: dict[str, Any]) -> Iterator[tuple[int, str, dict[str, Any], dict[str, Any]]]:
    for key, kind in _METRIC_KINDS.items():
        if key in metric:
            data = _object(metric[key], key)
            for i, point in enumerate(_objects(data, "dataPoints")):
                yield i, kind, data, point


def _point(
    metric: dict[str, Any],
    kind: str,
    data: dict[str, Any],
    point: dict[str, Any],
    source: Source,
    reader: AttributeReader,
    window: Window,
) -> Span:
    name = _text(metric, "name")
    figures: dict[str, Any] = {}
    if kind in ("gauge", "sum"):
        if "asInt" in point:
            figures["value"] = _int(point, "asInt")
        elif "asDouble" in point:
            figures["value"] = _double(point["asDouble"], "asDouble")
    else:
        if "count" in point:
            figures["count"] = _int(point, "count")
        for figure in ("sum", "min", "max"):
            if figure in point:
                figures[figure] = _double(point[figure], figure)
    for figure, number in figures.items():
        check_number(f"{name}.{figure}", number)
        figures[figure] = finite(number) if isinstance(number, float) else number
    return metric_span(
        source,
        name=name,
        kind=kind,
        unit=_text(metric, "unit"),
        temporality=_enum(data, "aggregationTemporality", "AGGREGATION_TEMPORALITY_", _TEMPORALITIES),
        is_monotonic=bool(data.get("isMonotonic")) if kind == "sum" else None,
        start_ns=_int(point, "startTimeUnixNano"),
        time_ns=_int(point, "timeUnixNano"),
        figures=figures,
        attributes=attributes_of(point, reader),
        window=window,
    )


def _records(
    document: dict[str, Any], reader: AttributeReader, groups: str, scopes: str, records: str
) -> Iterator[tuple[str, Source, Unreadable | None, Any]]:
    """Yield (position, source, why nothing under it can be read, record) in document order."""
    names = [_snake(groups), _snake(scopes), _snake(records)]
    for r, group in enumerate(_shape(document, groups, "the body")):
        where = f"{names[0]}[{r}]"
        resource, resource_fault = _resource(group, where, reader)
        for s, scoped in enumerate(_shape(group, scopes, where)):
            inside = f"{where}.{names[1]}[{s}]"
            rows = _shape(scoped, records, inside)
            source, fault = _source(resource, resource_fault, scoped)
            for i, record in enumerate(rows):
                yield f"{inside}.{names[2]}[{i}]", source, fault, record


def _shape(holder: Any, key: str, where: str) -> list[Any]:
    if not isinstance(holder, dict):
        raise UnparsableJson(f"{where} is a JSON {_kind(holder)} instead of an object")
    rows = holder.get(key)
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise UnparsableJson(f"{key} in {where} is a JSON {_kind(rows)} instead of an array")
    return rows


def _resource(group: Any, where: str, reader: AttributeReader) -> tuple[dict[str, Any], Unreadable | None]:
    if not isinstance(group, dict):
        raise UnparsableJson(f"{where} is a JSON {_kind(group)} instead of an object")
    try:
        return attributes_of(_object(group.get("resource") or {}, "resource"), reader), None
    except Unreadable as fault:
        return {}, Unreadable(f"its resource cannot be read: {fault}")


def _source(resource: dict[str, Any], fault: Unreadable | None, scoped: Any) -> tuple[Source, Unreadable | None]:
    try:
        scope = _object(scoped.get("scope") or {}, "scope")
        return Source(resource, _text(scope, "name"), _text(scope, "version")), fault
    except Unreadable as scope_fault:
        return Source(resource, "", ""), scope_fault


def attributes_of(holder: dict[str, Any], reader: AttributeReader) -> dict[str, Any]:
    """The attributes of a span, event, point, record or resource; the last of two equal keys counts."""
    named = [(_text(pair, "key"), pair.get("value")) for pair in _objects(holder, "attributes")]
    return reader.read_pairs([(key, _value(value, key)) for key, value in named])


def _value(value: Any, key: str, depth: int = 0) -> Any:
    """An AnyValue object as a Python value, equal to what `otlp_values.any_value` gives."""
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise Unreadable(f"attribute {key} is a JSON {_kind(value)} instead of an object such as {{stringValue: …}}")
    if depth > MAX_DEPTH:
        raise Unreadable(f"attribute {key} is nested deeper than {MAX_DEPTH} levels")
    if "stringValue" in value:
        if not isinstance(value["stringValue"], str):
            raise Unreadable(f"attribute {key} has a stringValue that is a JSON {_kind(value['stringValue'])}")
        return check_text(value["stringValue"], f"attribute {key}")
    if "intValue" in value:
        number = _int(value, "intValue", f"attribute {key}")
        check_number(key, number)
        return number
    if "boolValue" in value:
        return bool(value["boolValue"])
    if "doubleValue" in value:
        double = _double(value["doubleValue"], f"attribute {key}")
        check_number(key, double)
        return finite(double)
    if "arrayValue" in value:
        items = _object(value["arrayValue"] or {}, f"attribute {key}").get("values") or []
        return [_value(item, key, depth + 1) for item in items]
    if "kvlistValue" in value:
        pairs = _objects(_object(value["kvlistValue"] or {}, f"attribute {key}"), "values")
        named = [(_text(pair, "key"), pair.get("value")) for pair in pairs]
        return {name: _value(item, f"{key}.{name}", depth + 1) for name, item in named}
    if "bytesValue" in value:
        return _base64(value["bytesValue"], key)
    return None


def _base64(value: Any, key: str) -> str:
    try:
        return base64.b64encode(base64.b64decode(value, validate=True)).decode()
    except (binascii.Error, TypeError, ValueError):
        raise Unreadable(f"attribute {key} has a bytesValue that is not base64") from None


def _id(holder: dict[str, Any], field: str) -> bytes:
    value = holder.get(field) or ""
    if not isinstance(value, str):
        raise Unreadable(f"{field} is a JSON {_kind(value)} instead of hexadecimal text")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise Unreadable(f"{field} {value[:40]!r} is not hexadecimal") from None


def _int(holder: dict[str, Any], field: str, what: str = "") -> int:
    value = holder.get(field, 0)
    name = what or field
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        if value is None:
            return 0
        raise Unreadable(f"{name} is a JSON {_kind(value)} instead of an integer")
    try:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        number = int(value)
    except (ValueError, OverflowError):
        raise Unreadable(f"{name} is {str(value)[:40]!r}, which is no integer") from None
    if not -MAX_INT - 1 <= number <= MAX_INT:
        raise Unreadable(f"{name} is {str(value)[:40]}, outside the 64-bit range")
    return number


def _double(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Unreadable(f"{what} is a JSON {_kind(value)} instead of a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.inf if isinstance(value, int) else _no_number(value, what)


def _no_number(value: Any, what: str) -> float:
    raise Unreadable(f"{what} is {str(value)[:40]!r}, which is no number")


def _text(holder: dict[str, Any], field: str) -> str:
    value = holder.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f"{field} is a JSON {_kind(value)} instead of text")
    return check_text(value, field)


def _enum(holder: dict[str, Any], field: str, prefix: str, names: dict[str, int]) -> int:
    value = holder.get(field)
    if isinstance(value, str) and value.startswith(prefix):
        return names.get(value.removeprefix(prefix), 0)
    return _int(holder, field)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is a JSON {_kind(value)} instead of an object")
    return value


def _objects(holder: dict[str, Any], field: str) -> list[dict[str, Any]]:
    rows = holder.get(field) or []
    if not isinstance(rows, list):
        raise Unreadable(f"{field} is a JSON {_kind(rows)} instead of an array")
    for row in rows:
        _object(row, f"an entry of {field}")
    return rows


def _kind(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _rejection(position: str, why: Unreadable, record: Any) -> Rejection:
    ids: list[bytes | None] = []
    for field, length in (("traceId", 16), ("spanId", 8)):
        try:
            value = _id(record, field) if isinstance(record, dict) else b""
        except Unreadable:
            value = b""
        ids.append(value if len(value) == length else None)
    return Rejection(position=position, reason=str(why), trace_id=ids[0], span_id=ids[1])
