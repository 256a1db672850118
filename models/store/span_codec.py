"""A span as the row that is kept, and back: interned resource and scope, and a compressed body."""

import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
import zstandard

from models.core.telemetry import Span
from models.core.vocabulary import Signal

SIGNALS = (Signal.TRACES, Signal.LOGS, Signal.METRICS)
STATUSES = ("unset", "ok", "error")
_SIGNAL_NUMBERS = {signal: number for number, signal in enumerate(SIGNALS)}
_STATUS_NUMBERS = {status: number for number, status in enumerate(STATUSES)}
INT8_OID = 20
_NS_PER_DAY = 86_400_000_000_000
_FIRST_DAY = date(1970, 1, 1)
# Attribute names and common values of public instrumentations, so that a body of a few hundred bytes shrinks too.
# Rows refer to it: it may be joined by another one, never changed.
_DICTIONARY = zstandard.ZstdCompressionDict((Path(__file__).parent / "span_body.dict").read_bytes())
# zstandard's compressors may not be shared between threads.
_codecs = threading.local()


@dataclass(slots=True)
class PreparedSpans:
    """Spans of one project as rows ready for COPY, with the resources and scopes they refer to."""

    project_id: int
    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    resources: dict[int, bytes] = field(default_factory=dict[int, bytes])
    scopes: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    days: set[date] = field(default_factory=set[date])
    size_bytes: int = 0
    """Memory the rows hold, roughly: what a queue counts."""


ROW_OVERHEAD_BYTES = 600
"""Python objects of one row, measured with tracemalloc."""


def prepare_spans(project_id: int, spans: Sequence[Span], links: Sequence[Sequence[str]] = ()) -> PreparedSpans:
    """Turn spans into rows.

    Shapes   n spans × n lists of link ids (or none at all) → n rows, in the order of their keys.
    """
    prepared = PreparedSpans(project_id)
    resource_ids: dict[int, int] = {}
    scope_ids: dict[tuple[str, str], int] = {}
    compress = _compressor().compress
    size = 0
    for index, span in enumerate(spans):
        resource_id = resource_ids.get(id(span.resource))
        if resource_id is None:
            document = orjson.dumps(span.resource, option=orjson.OPT_SORT_KEYS)
            resource_id = resource_ids[id(span.resource)] = hash64(document)
            prepared.resources[resource_id] = document
        scope = (span.scope_name, span.scope_version)
        scope_id = scope_ids.get(scope)
        if scope_id is None:
            scope_id = scope_ids[scope] = hash64(orjson.dumps(scope))
            prepared.scopes[scope_id] = scope
        document = _document(span)
        body = compress(document)
        size += len(body) + ROW_OVERHEAD_BYTES
        prepared.rows.append(
            (
                span.start_ns,
                span.end_ns,
                resource_id,
                scope_id,
                _digest(span, resource_id, scope_id, document),
                project_id,
                day_of(span.end_ns),
                _SIGNAL_NUMBERS[span.signal],
                span.kind & 0x7FFF,
                _STATUS_NUMBERS.get(span.status, 0),
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                body,
                packed_links(links[index]) if links and links[index] else None,
            )
        )
    # Two commits that insert the same keys in different orders would deadlock.
    prepared.rows.sort(key=row_key)
    prepared.days = {row[6] for row in prepared.rows}
    prepared.size_bytes = size
    return prepared


def span_of_row(row: Any, resource: Mapping[str, Any], scope: tuple[str, str]) -> Span:
    """The span of a row of `spans` (attributes by column name), with its resource and scope."""
    document = orjson.loads(unpacked(row.body))
    return Span(
        trace_id=row.trace_id,
        span_id=row.span_id,
        parent_span_id=row.parent_span_id,
        name=document["n"],
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        signal=SIGNALS[row.signal],
        kind=row.kind,
        status=STATUSES[row.status],
        status_message=document.get("m"),
        scope_name=scope[0],
        scope_version=scope[1],
        resource=resource,
        attributes=document.get("a", {}),
        events=tuple(
            {"name": name, "time_ns": time_ns, "attributes": attributes}
            for name, time_ns, attributes in document.get("e", ())
        ),
        links=tuple((bytes.fromhex(trace_id), bytes.fromhex(span_id)) for trace_id, span_id in document.get("l", ())),
    )


def hash64(content: bytes) -> int:
    """A signed 64-bit hash that stays the same over processes and releases."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


def packed_links(links: Sequence[str]) -> bytes:
    """Hashes of link ids as the binary form of a bigint[] without nulls.

    Source   array_send of PostgreSQL: dimensions, flags, element type, length, lower bound, then size and value.
    """
    count = len(links)
    values = [part for link in links for part in (8, hash64(link.encode()))]
    return struct.pack(f"!iiIii{'iq' * count}", 1, 0, INT8_OID, count, 1, *values)


def day_of(end_ns: int) -> date:
    """The UTC day of a moment in nanoseconds since 1970."""
    number = end_ns // _NS_PER_DAY
    known = _days.get(number)
    if known is None:
        if len(_days) > 10_000:
            _days.clear()
        known = _days[number] = _FIRST_DAY + timedelta(days=number)
    return known


_days: dict[int, date] = {}


def today() -> date:
    """The present UTC day."""
    return datetime.now(UTC).date()


def unpacked(body: bytes) -> bytes:
    """The JSON document inside a row's body."""
    return _decompressor().decompress(body)


def _document(span: Span) -> bytes:
    document: dict[str, Any] = {"n": span.name}
    if span.attributes:
        document["a"] = span.attributes
    if span.status_message:
        document["m"] = span.status_message
    if span.events:
        document["e"] = [[event["name"], event["time_ns"], event["attributes"]] for event in span.events]
    if span.links:
        document["l"] = [[trace_id.hex(), span_id.hex()] for trace_id, span_id in span.links]
    # Sorted, so that two encodings of one span give one digest.
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _digest(span: Span, resource_id: int, scope_id: int, document: bytes) -> int:
    head = b"%d %d %d %d %d %b %b" % (
        span.start_ns,
        span.end_ns,
        span.kind,
        resource_id,
        scope_id,
        span.status.encode(),
        span.parent_span_id or b"",
    )
    return hash64(head + document)


def row_key(row: tuple[Any, ...]) -> tuple[bytes, bytes]:
    """Trace and span id of a row: the order in which rows are inserted."""
    return row[10], row[11]


def _compressor() -> zstandard.ZstdCompressor:
    made = getattr(_codecs, "compressor", None)
    if made is None:
        made = _codecs.compressor = zstandard.ZstdCompressor(level=3, dict_data=_DICTIONARY, write_checksum=False)
    return made


def _decompressor() -> zstandard.ZstdDecompressor:
    made = getattr(_codecs, "decompressor", None)
    if made is None:
        made = _codecs.decompressor = zstandard.ZstdDecompressor(dict_data=_DICTIONARY)
    return made
