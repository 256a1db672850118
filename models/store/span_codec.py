"""Spans as the blocks that are kept, and back: interned resource and scope, one compressed body for many spans."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from operator import attrgetter
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
_NS_PER_DAY = 86_400_000_000_000
_FIRST_DAY = date(1970, 1, 1)
MAX_SPANS_PER_BLOCK = 64
SPAN_ID_BYTES = 8
# Attribute names and common values of public instrumentations, so that a body of a few hundred bytes shrinks too.
# Rows refer to it: it may be joined by another one, never changed.
_DICTIONARY = zstandard.ZstdCompressionDict((Path(__file__).parent / "span_body.dict").read_bytes())
# zstandard's compressors may not be shared between threads.
_codecs = threading.local()
_span_id = attrgetter("span_id")


@dataclass(slots=True, frozen=True)
class SpanBlock:
    """Spans of one trace, day, signal, resource and scope that came together, in the order of their ids."""

    trace_id: bytes
    day: date
    signal: int
    resource_id: int
    scope_id: int
    last_end_ns: int
    span_ids: bytes
    """Eight bytes each, ascending, none twice."""
    body: bytes
    """JSON in a zstandard frame: per span its parent, start, end, kind, status, name and attributes, then, where
    it has any, status message, events and links."""
    links: frozenset[int] = frozenset()
    """Hashes of the link ids of its spans."""

    @property
    def count(self) -> int:
        """How many spans it holds."""
        return len(self.span_ids) // SPAN_ID_BYTES

    @property
    def trace_day(self) -> tuple[bytes, date]:
        """Where its spans are looked for."""
        return self.trace_id, self.day


@dataclass(slots=True)
class PreparedSpans:
    """Spans of one project as blocks ready for COPY, with the resources and scopes they refer to."""

    project_id: int
    blocks: list[SpanBlock] = field(default_factory=list[SpanBlock])
    """In the order of trace and day. Blocks of one trace and day may share span ids: the first counts."""
    resources: dict[int, bytes] = field(default_factory=dict[int, bytes])
    scopes: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])
    days: set[date] = field(default_factory=set[date])
    count: int = 0
    """Spans in all blocks."""
    size_bytes: int = 0
    """Memory the blocks hold, roughly: what a queue counts."""


BLOCK_OVERHEAD_BYTES = 700
"""Python objects of one block beside its bytes, measured with tracemalloc."""
LINK_BYTES = 100


def prepare_spans(project_id: int, spans: Sequence[Span], links: Sequence[Sequence[str]] = ()) -> PreparedSpans:
    """Turn spans into blocks.

    Shapes   n spans × n lists of link ids (or none at all) → at most n blocks, in the order of trace and day.
    """
    prepared = PreparedSpans(project_id, count=len(spans))
    resource_ids: dict[int, int] = {}
    scope_ids: dict[tuple[str, str], int] = {}
    groups: dict[tuple[Any, ...], list[Span]] = {}
    tied: dict[tuple[Any, ...], set[int]] = {}
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
        key = (span.trace_id, day_of(span.end_ns), span.signal, resource_id, scope_id)
        group = groups.get(key)
        if group is None:
            groups[key] = [span]
        else:
            group.append(span)
        if links and (named := links[index]):
            tied.setdefault(key, set()).update([hash64(link.encode()) for link in named])
    for key, group in groups.items():
        group_links = frozenset(tied.get(key, ()))
        for layer in _layers(group):
            for start in range(0, len(layer), MAX_SPANS_PER_BLOCK):
                block = _block(key, layer[start : start + MAX_SPANS_PER_BLOCK], group_links)
                prepared.blocks.append(block)
                prepared.size_bytes += BLOCK_OVERHEAD_BYTES + len(block.span_ids) + len(block.body)
                prepared.size_bytes += LINK_BYTES * len(group_links)
                group_links = frozenset()
    # Two commits that insert the same keys in different orders would deadlock.
    prepared.blocks.sort(key=attrgetter("trace_day"))
    prepared.days = {block.day for block in prepared.blocks}
    return prepared


def _layers(group: list[Span]) -> list[list[Span]]:
    """Spans in the order of their ids; what repeats an id goes to a layer of its own, in the order given."""
    group.sort(key=_span_id)
    if len({span.span_id for span in group}) == len(group):
        return [group]
    layers: list[list[Span]] = []
    place = 0
    for number, span in enumerate(group):
        place = place + 1 if number and group[number - 1].span_id == span.span_id else 0
        if place == len(layers):
            layers.append([])
        layers[place].append(span)
    return layers


def _block(key: tuple[Any, ...], spans: Sequence[Span], links: frozenset[int]) -> SpanBlock:
    trace_id, day, signal, resource_id, scope_id = key
    return SpanBlock(
        trace_id,
        day,
        _SIGNAL_NUMBERS[signal],
        resource_id,
        scope_id,
        max([span.end_ns for span in spans]),
        b"".join([span.span_id for span in spans]),
        # Sorted keys, so that two encodings of one span are the same bytes.
        _compressor().compress(orjson.dumps([_element(span) for span in spans], option=orjson.OPT_SORT_KEYS)),
        links,
    )


def _element(span: Span) -> list[Any]:
    parent = span.parent_span_id
    element: list[Any] = [
        None if parent is None else parent.hex(),
        span.start_ns,
        span.end_ns,
        span.kind & 0x7FFF,
        _STATUS_NUMBERS.get(span.status, 0),
        span.name,
        span.attributes,
    ]
    if span.status_message or span.events or span.links:
        element += [
            span.status_message,
            [[event["name"], event["time_ns"], event["attributes"]] for event in span.events],
            [[trace_id.hex(), span_id.hex()] for trace_id, span_id in span.links],
        ]
    return element


def spans_of_block(row: Any, resource: Mapping[str, Any], scope: tuple[str, str]) -> Iterator[Span]:
    """The spans of a row of `span_blocks` (attributes by column name), with its resource and scope."""
    trace_id, signal, (scope_name, scope_version) = row.trace_id, SIGNALS[row.signal], scope
    for span_id, element in zip(ids_of_block(row.span_ids), orjson.loads(unpacked(row.body)), strict=True):
        parent, start_ns, end_ns, kind, status, name, attributes, *rest = element
        message, events, links = rest or (None, (), ())
        yield Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=None if parent is None else bytes.fromhex(parent),
            name=name,
            start_ns=start_ns,
            end_ns=end_ns,
            signal=signal,
            kind=kind,
            status=STATUSES[status],
            status_message=message,
            scope_name=scope_name,
            scope_version=scope_version,
            resource=resource,
            attributes=attributes,
            events=tuple([{"name": name, "time_ns": at, "attributes": facts} for name, at, facts in events])
            if events
            else (),
            links=tuple([(bytes.fromhex(trace), bytes.fromhex(span)) for trace, span in links]) if links else (),
        )


def ids_of_block(span_ids: bytes) -> list[bytes]:
    """The span ids of a block, one by one."""
    return [span_ids[at : at + SPAN_ID_BYTES] for at in range(0, len(span_ids), SPAN_ID_BYTES)]


def contents_of_block(block: Any) -> dict[bytes, bytes]:
    """Span id → all that the span says, as bytes that are equal where the spans are.

    `block` is a SpanBlock or a row with the same names.
    """
    head = b"%d %d %d " % (block.signal, block.resource_id, block.scope_id)
    elements = orjson.loads(unpacked(block.body))
    return {
        span_id: head + orjson.dumps(element, option=orjson.OPT_SORT_KEYS)
        for span_id, element in zip(ids_of_block(block.span_ids), elements, strict=True)
    }


def part_of_block(block: SpanBlock, wanted: set[bytes]) -> SpanBlock:
    """The block with these of its spans only; at least one."""
    elements = orjson.loads(unpacked(block.body))
    kept = [pair for pair in zip(ids_of_block(block.span_ids), elements, strict=True) if pair[0] in wanted]
    return SpanBlock(
        block.trace_id,
        block.day,
        block.signal,
        block.resource_id,
        block.scope_id,
        max([element[2] for _, element in kept]),
        b"".join([span_id for span_id, _ in kept]),
        _compressor().compress(orjson.dumps([element for _, element in kept], option=orjson.OPT_SORT_KEYS)),
        block.links,
    )


def hash64(content: bytes) -> int:
    """A signed 64-bit hash that stays the same over processes and releases."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


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
    """The JSON document inside a block's body."""
    return _decompressor().decompress(body)


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
