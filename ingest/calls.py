"""Calls out of spans: one per real request to a provider, whatever describes it, in whatever order it arrives."""

from collections.abc import Iterable, Sequence
from typing import Any

from ingest.attribution import Attributor, Resources
from ingest.dialects.base import Reading, Role
from ingest.dialects.reader import read
from ingest.likeness import same_usage
from ingest.linking import ids_of, link_groups
from ingest.merging import call_of, residue_of
from ingest.requests import LinkIds, Request, Requests, order_of
from ingest.tree import Key, SpanTree
from models.core.telemetry import Call, Derivation, Span, Suppression
from models.core.vocabulary import Signal


def derive_calls(spans: Iterable[Span]) -> Derivation:
    """Derive the calls of one link group, or of many unrelated traces at once.

    Shapes   n records of any signal → calls, ordered by end, and what was left out with why and of which.
    Adds     nothing depends on the order of the records, on how they were split, or on repeats of them.
    """
    unique = _unique(spans)
    readings = [reading for span in unique if (reading := read(span)) is not None]
    wanted = {reading.span.trace_id for reading in readings}
    by_trace: dict[bytes, list[Span]] = {}
    for span in unique:
        if span.trace_id in wanted:
            by_trace.setdefault(span.trace_id, []).append(span)
    told: dict[bytes, list[Reading]] = {}
    for reading in readings:
        told.setdefault(reading.span.trace_id, []).append(reading)
    ids = {
        id(reading): ids_of(reading) if reading.role is Role.CALL or reading.has_usage else () for reading in readings
    }
    groups = link_groups((reading.span.trace_id, ids[id(reading)]) for reading in readings)
    calls: list[Call] = []
    suppressed: list[Suppression] = []
    resources = Resources()
    for group in groups:
        members = [reading for trace in group for reading in told[trace]]
        attributor = Attributor(SpanTree(span for trace in group for span in by_trace[trace]), resources)
        _derive_group(members, ids, attributor, calls, suppressed)
    calls.sort(key=lambda call: (call.end_ns, call.start_ns, call.trace_id, call.span_id))
    suppressed.sort(key=lambda entry: (entry.trace_id, entry.span_id, entry.why))
    return Derivation(calls=tuple(calls), suppressed=tuple(suppressed))


def _unique(spans: Iterable[Span]) -> list[Span]:
    """Each record once. Two versions of one span (a started and an ended one) leave the later, fuller one."""
    found: dict[tuple[bytes, bytes, Signal], Span] = {}
    for span in spans:
        key = (span.trace_id, span.span_id, span.signal)
        other = found.get(key)
        if other is None or (other is not span and other != span and _fullness(span) > _fullness(other)):
            found[key] = span
    return [found[key] for key in sorted(found)]


def _fullness(span: Span) -> tuple[Any, ...]:
    return (span.end_ns, len(span.attributes), len(span.events), repr(sorted(span.attributes.items())), repr(span))


def _derive_group(
    members: Sequence[Reading],
    ids: LinkIds,
    attributor: Attributor,
    calls: list[Call],
    suppressed: list[Suppression],
) -> None:
    described = [reading for reading in members if reading.role is Role.CALL]
    sums = sorted((r for r in members if r.role is Role.ROLLUP and r.has_usage), key=order_of)
    resolver = Requests(described, ids, attributor.tree)
    requests = resolver.resolve()
    owner_of: dict[Key, Call] = {}
    for request in requests:
        call = _call_of(request, resolver, attributor)
        calls.append(call)
        for reading in request.readings:
            owner_of[(reading.span.trace_id, reading.span.span_id)] = call
            if reading.span.span_id != call.span_id:
                suppressed.append(_left_out(reading, "duplicate", call.span_id.hex()))
    for (trace_id, span_id), first in resolver.wrappers.items():
        suppressed.append(Suppression(trace_id=trace_id, span_id=span_id, why="rollup", of=first))
    if sums:
        _rollups(sums, ids, requests, owner_of, attributor, calls, suppressed)


def _call_of(request: Request, resolver: Requests, attributor: Attributor) -> Call:
    for reading in request.readings:
        below = resolver.children_of(reading)
        if below:
            return residue_of(request, below, attributor)
    return call_of(request, attributor)


def _left_out(reading: Reading, why: str, of: str | None) -> Suppression:
    return Suppression(trace_id=reading.span.trace_id, span_id=reading.span.span_id, why=why, of=of)


def _rollups(
    sums: Sequence[Reading],
    ids: LinkIds,
    requests: Sequence[Request],
    owner_of: dict[Key, Call],
    attributor: Attributor,
    calls: list[Call],
    suppressed: list[Suppression],
) -> None:
    """Leave out sums over visible calls; a sum over calls that nobody described is all there is, so it counts."""
    tree = attributor.tree
    covered: dict[Key, str] = {}
    by_id: dict[str, str] = {}
    counted: dict[bytes, list[tuple[Reading, str]]] = {}
    for request in requests:
        metered = any(reading.has_usage for reading in request.readings)
        for reading in request.readings:
            key = (reading.span.trace_id, reading.span.span_id)
            first = owner_of[key].span_id.hex()
            if metered:
                _cover(reading.span, first, tree, covered)
                counted.setdefault(reading.span.trace_id, []).append((reading, first))
                for link_id in ids[id(reading)]:
                    by_id.setdefault(link_id, first)
    # The innermost sums first: an outer one then finds its part already counted.
    for reading in sorted(sums, key=lambda r: (-_depth(r.span, tree), order_of(r))):
        span = reading.span
        key = (span.trace_id, span.span_id)
        first = covered.get(key) or next((by_id[i] for i in ids[id(reading)] if i in by_id), None)
        if first is None:
            first = next((f for other, f in counted.get(span.trace_id, ()) if same_usage(reading, other)), None)
        if first is not None:
            suppressed.append(_left_out(reading, "rollup", first))
            continue
        call = call_of(Request([reading], ["a sum over requests that nothing describes one by one"]), attributor)
        calls.append(call)
        _cover(span, span.span_id.hex(), tree, covered)
        counted.setdefault(span.trace_id, []).append((reading, span.span_id.hex()))


def _cover(span: Span, first: str, tree: SpanTree, covered: dict[Key, str]) -> None:
    """Mark every ancestor as containing a counted request; stops where another one has already been."""
    for link in tree.chain(span):
        key = (link.trace_id, link.span_id)
        if key in covered and link is not span:
            return
        covered.setdefault(key, first)


def _depth(span: Span, tree: SpanTree) -> int:
    return sum(1 for _ in tree.chain(span))
