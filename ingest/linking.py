"""Which traces belong together: ids under which the same request may be described elsewhere."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ingest.dialects.base import Reading, Role
from ingest.dialects.identity import FINGERPRINTED, ids_alone
from ingest.dialects.reader import read
from models.core.telemetry import Span

WORLDWIDE_LENGTH = 16
"""Ids at least this long are unique everywhere; shorter ones (`chatcmpl-123` of a test server) only in a resource."""
COUNTS = "counts:"
"""How link ids begin that are made of counts."""
MINUTE_NS = 60_000_000_000


def link_ids(span: Span) -> tuple[str, ...]:
    """Ids that tie this record's trace to others: provider response ids, request ids, gateway ids.

    Shapes   1 record → 0 or more ids, in a fixed order. Ids are found in attributes, in events and in the JSON text
             of attributes, before and after redaction.
    """
    alone = ids_alone(span)
    if alone is not None:
        return _named(alone, span.resource) if alone else ()
    reading = read(span)
    return ids_of(reading) if reading is not None else ()


def ids_of(reading: Reading) -> tuple[str, ...]:
    """The link ids of a reading, its own response id first."""
    where = resource_key(reading.span.resource)
    found = list(_named(reading.response_ids, reading.span.resource))
    if is_fingerprinted(reading):
        usage = next(iter(reading.usages), None)
        if usage is not None and usage.input is not None and usage.output is not None:
            found.append(f"{COUNTS}{where}:{usage.input}:{usage.output}")
    elif reading.role is Role.CALL and (not reading.response_ids or reading.span.parent_span_id is None):
        found.extend(_by_counts(reading, where))
    if reading.asked:
        opened = reading.span.end_ns if reading.opened_ns is None else reading.opened_ns
        found.extend(f"{COUNTS}{where}:asked:{reading.asked}:{minute}" for minute in _minutes(opened))
    return tuple(dict.fromkeys(found))


def _named(ids: Iterable[str], resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids as they tie traces: short ones hold within their resource only."""
    named = [value if len(value) >= WORLDWIDE_LENGTH else f"{value}@{resource_key(resource)}" for value in ids]
    return tuple(dict.fromkeys(named))


def _by_counts(reading: Reading, where: str) -> Iterator[str]:
    """Where an id is missing, equal counts in the same half minute tie a trace to its unlinked second description.

    Two overlapping minutes are named, so that ends up to half a minute apart always share one. Only records
    without an id, and roots (an unlinked description is one), take part: other traces need no such tie.
    """
    floor, rounded = _minutes(reading.span.end_ns)
    for usage in reading.usages:
        output = usage.whole_output
        for name, value in (("whole", usage.whole_input), ("uncached", usage.uncached)):
            if value and output is not None:
                yield f"{COUNTS}{where}:{name}:{value}:{output}:{floor}"
                yield f"{COUNTS}{where}:{name}:{value}:{output}:{rounded}"


def _minutes(time_ns: int) -> tuple[str, str]:
    return f"floor:{time_ns // MINUTE_NS}", f"round:{(time_ns + MINUTE_NS // 2) // MINUTE_NS}"


def is_worldwide(link_id: str) -> bool:
    """Whether equal ids alone prove the same request; others need times that fit as well."""
    return "@" not in link_id and not link_id.startswith(COUNTS)


def is_fingerprinted(reading: Reading) -> bool:
    """Whether this dialect's records name their request by its counts alone."""
    return reading.dialect in FINGERPRINTED


def resource_key(resource: Mapping[str, Any]) -> str:
    """What makes two resources the same process as far as telemetry tells."""
    get = resource.get
    name, host, instance = get("service.name"), get("host.name"), get("service.instance.id")
    return f"{'' if name is None else name}|{'' if host is None else host}|{'' if instance is None else instance}"


def link_groups(traces: Iterable[tuple[bytes, Iterable[str]]]) -> list[list[bytes]]:
    """Partition traces into groups tied by a shared link id.

    Shapes   (trace, its link ids) pairs, a trace may repeat → disjoint groups, sorted, each sorted.
    """
    parents: dict[bytes, bytes] = {}

    def root(trace: bytes) -> bytes:
        while parents[trace] != trace:
            parents[trace] = parents[parents[trace]]
            trace = parents[trace]
        return trace

    owners: dict[str, bytes] = {}
    for trace, ids in traces:
        parents.setdefault(trace, trace)
        for link_id in ids:
            owner = owners.setdefault(link_id, trace)
            one, other = root(trace), root(owner)
            if one != other:
                parents[max(one, other)] = min(one, other)
    groups: dict[bytes, list[bytes]] = {}
    for trace in parents:
        groups.setdefault(root(trace), []).append(trace)
    return sorted(sorted(group) for group in groups.values())
