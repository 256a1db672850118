"""What every encoding shares: checks of ids and times, and records of each signal as spans."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from ingest.otlp_values import MAX_INT, Unreadable
from models.core.telemetry import Span
from models.core.time import NS_PER_SECOND, rfc3339_of_ns
from models.core.vocabulary import Signal

MAX_BACKWARDS_NS = NS_PER_SECOND
"""A clock that is set while a span runs may end it a little before its start; more than this is a fault."""
STATUSES = {0: "unset", 1: "ok", 2: "error"}
TEMPORALITIES = {1: "delta", 2: "cumulative"}
# `claude_code.user_prompt`; a single plain word may be a prompt.
_EVENT_NAME = re.compile(r"[A-Za-z0-9]+(?:[._/-][A-Za-z0-9]+)+")
MAX_EVENT_NAME = 80
NO_SPAN_ID = bytes(8)
NO_TRACE_ID = bytes(16)


@dataclass(slots=True, frozen=True)
class Window:
    """The half-open period, in nanoseconds since 1970, in which a record must end."""

    start_ns: int = 1
    end_ns: int = MAX_INT


ANY_TIME = Window()


@dataclass(slots=True, frozen=True)
class Source:
    """What the records of one scope share."""

    resource: Mapping[str, Any]
    scope_name: str
    scope_version: str


def check_ids(trace_id: bytes, span_id: bytes) -> None:
    """Raise Unreadable unless both ids have OTLP's lengths and are not all zero."""
    if len(trace_id) != 16:
        raise Unreadable(f"trace_id has {len(trace_id)} bytes instead of 16")
    if trace_id == NO_TRACE_ID:
        raise Unreadable("trace_id is all zero")
    if len(span_id) != 8:
        raise Unreadable(f"span_id has {len(span_id)} bytes instead of 8")
    if span_id == NO_SPAN_ID:
        raise Unreadable("span_id is all zero")


def parent_of(span_id: bytes) -> bytes | None:
    """The parent id, None where there is none; some SDKs write zeros for a root."""
    if not span_id or span_id == NO_SPAN_ID:
        return None
    if len(span_id) != 8:
        raise Unreadable(f"parent_span_id has {len(span_id)} bytes instead of 8")
    return span_id


def check_times(start_ns: int, end_ns: int, window: Window) -> tuple[int, int]:
    """Start and end as kept: a missing start is the end, and a start just after the end is set back to it.

    Raises   Unreadable when there is no end, the end precedes the start by more than a second or lies outside
             the accepted window.
    """
    if end_ns == 0:
        raise Unreadable("end time is missing (end_time_unix_nano is 0)")
    if not window.start_ns <= end_ns < window.end_ns:
        if end_ns > MAX_INT:
            raise Unreadable(f"end time {end_ns} ns is above 2^63-1")
        if end_ns < window.start_ns:
            raise Unreadable(
                f"end time {rfc3339_of_ns(end_ns)} is older than the accepted window, which starts at "
                f"{rfc3339_of_ns(window.start_ns)}; import old data with `jevons ingest`"
            )
        raise Unreadable(
            f"end time {rfc3339_of_ns(end_ns)} is in the future of the accepted window, which ends at "
            f"{rfc3339_of_ns(window.end_ns)}; check the sender's clock"
        )
    if start_ns == 0:
        return end_ns, end_ns
    if start_ns > end_ns:
        if start_ns - end_ns > MAX_BACKWARDS_NS:
            raise Unreadable(f"the span ends {(start_ns - end_ns) / NS_PER_SECOND:.3f} s before it starts")
        return end_ns, end_ns
    return start_ns, end_ns


def kept_links(links: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Links with readable ids. A broken link carries no count, so it does not cost its span."""
    return tuple(link for link in links if len(link[0]) == 16 and len(link[1]) == 8)


def log_span(
    source: Source,
    *,
    name: str,
    body: Any,
    time_ns: int,
    trace_id: bytes,
    span_id: bytes,
    attributes: dict[str, Any],
    window: Window,
) -> Span:
    """A log record as a span of no duration.

    It keeps its trace id, and the span it was written in becomes its parent. Its own span id, and the trace id
    where it has none, are derived from its content, so that a redelivered record is recognised. Its name is the
    event name, else a body that looks like one; any other text of the body is left out.
    """
    start_ns, end_ns = check_times(time_ns, time_ns, window)
    parent = parent_of(span_id)
    if len(trace_id) not in (0, 16):
        raise Unreadable(f"trace_id has {len(trace_id)} bytes instead of 16")
    # The attribute first: the Rust tracing bridge puts the line of code where the event's name belongs.
    event_name = _text(attributes.get("event.name")) or name
    if isinstance(body, str) and _is_word(body):
        event_name = event_name or body
    elif body is not None and not isinstance(body, str):
        attributes = {**attributes, "log.body": body}
    content = content_id(source, event_name, end_ns, attributes, trace_id + span_id)
    own_trace = trace_id if trace_id and trace_id != NO_TRACE_ID else content[:16]
    return Span(
        trace_id=own_trace,
        span_id=content[16:],
        parent_span_id=parent,
        name=event_name or "log",
        start_ns=start_ns,
        end_ns=end_ns,
        signal=Signal.LOGS,
        scope_name=source.scope_name,
        scope_version=source.scope_version,
        resource=source.resource,
        attributes=attributes,
    )


def metric_span(
    source: Source,
    *,
    name: str,
    kind: str,
    unit: str,
    temporality: int,
    is_monotonic: bool | None,
    start_ns: int,
    time_ns: int,
    figures: Mapping[str, Any],
    attributes: dict[str, Any],
    window: Window,
) -> Span:
    """A metric point as a span over the period it covers.

    The trace id is the stream's (resource, scope, metric, attributes), so that all points of a stream lie
    together; the span id is the point's. `figures` holds `value`, or `count`, `sum`, `min`, `max`.
    """
    start_ns, end_ns = check_times(start_ns, time_ns, window)
    stream = content_id(source, name, 0, attributes, b"metric")
    kept = {
        **attributes,
        "metric.type": kind,
        "metric.unit": unit,
        "metric.temporality": TEMPORALITIES.get(temporality),
        "metric.monotonic": is_monotonic,
        "metric.start_ns": start_ns,
        **{f"metric.{figure}": number for figure, number in figures.items()},
    }
    kept = {key: value for key, value in kept.items() if value is not None and value != ""}
    point = content_id(source, name, end_ns, kept, stream)
    return Span(
        trace_id=stream[:16],
        span_id=point[16:],
        parent_span_id=None,
        name=name,
        start_ns=start_ns,
        end_ns=end_ns,
        signal=Signal.METRICS,
        scope_name=source.scope_name,
        scope_version=source.scope_version,
        resource=source.resource,
        attributes=kept,
    )


def content_id(source: Source, name: str, time_ns: int, attributes: Mapping[str, Any], salt: bytes) -> bytes:
    """24 bytes that depend on the content alone: the same record gives the same ids wherever it is read."""
    document = orjson.dumps(
        [source.scope_name, source.scope_version, source.resource, name, time_ns, attributes],
        option=orjson.OPT_SORT_KEYS,
    )
    return blake2b(document, digest_size=24, salt=blake2b(salt, digest_size=16).digest()).digest()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_word(body: str) -> bool:
    """Whether a log body is an event's name rather than prose."""
    return len(body) <= MAX_EVENT_NAME and _EVENT_NAME.fullmatch(body) is not None
