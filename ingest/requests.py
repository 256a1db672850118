"""From descriptions to requests: which records of a link group tell of the same request to a provider.

The order of proof: a shared id; one description inside another; a log written inside a span; and, where no id
exists, equal counts of the same model at the same time from two scopes of one resource, one to one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest.dialects.base import Reading
from ingest.likeness import best, has_own_id, is_tool, same_id, same_input, same_model, same_usage, shelves_of
from ingest.linking import COUNTS, is_fingerprinted, is_worldwide, resource_key
from ingest.tree import Key, SpanTree
from models.core.vocabulary import Signal

NEAR_NS = 10_000_000_000
"""A log is written this near to the end of the span that it describes."""
SLACK_NS = 1_000_000_000


LinkIds = Mapping[int, Sequence[str]]
"""Link ids by `id()` of the reading that holds them: three steps ask for them."""


@dataclass(slots=True)
class Request:
    """One request with all its descriptions."""

    readings: list[Reading]
    matches: list[str] = field(default_factory=list[str])
    """How descriptions without a shared id were tied, for the record."""


def order_of(reading: Reading) -> tuple[int, int, bytes, bytes]:
    """A fixed order of readings that depends on their content alone."""
    span = reading.span
    return (span.start_ns, span.end_ns, span.trace_id, span.span_id)


class Requests:
    """Union of descriptions, in steps that only ever join; the outcome depends on the set alone."""

    def __init__(self, calls: Sequence[Reading], ids: LinkIds, tree: SpanTree) -> None:
        self._calls = sorted(calls, key=order_of)
        self._ids = ids
        self._tree = tree
        self._parent = list(range(len(self._calls)))
        self._matches: dict[int, set[str]] = {}
        self._readings: dict[int, list[Reading]] = {}
        """Root of a request → all its readings."""
        self._at: dict[Key, int] = {
            (reading.span.trace_id, reading.span.span_id): index for index, reading in enumerate(self._calls)
        }
        self.wrappers: dict[Key, str] = {}
        """Model operations that only sum up several requests below them → hex id of the first of those."""
        self.residues: dict[int, list[int]] = {}
        """Index of a model operation that exceeds the requests below it → their indices."""

    def resolve(self) -> list[Request]:
        """All requests, in the order of their first description."""
        self._by_ids()
        self._by_nesting()
        self._by_log_parent()
        self._by_stream_end()
        self._by_counts()
        groups: dict[int, list[int]] = {}
        for index in range(len(self._calls)):
            groups.setdefault(self._root(index), []).append(index)
        requests: list[Request] = []
        for root, members in groups.items():
            readings = self._readings[root] = [self._calls[index] for index in members]
            if any((r.span.trace_id, r.span.span_id) in self.wrappers for r in readings):
                continue
            said = {text for index in members for text in self._matches.get(index, ())}
            requests.append(Request(readings, sorted(said)))
        return requests

    def children_of(self, reading: Reading) -> list[list[Reading]]:
        """The requests inside a model operation that used more than they did, as the readings of each; else none."""
        index = self._at[(reading.span.trace_id, reading.span.span_id)]
        # Two descriptions of one request inside it were joined since: it is taken off once.
        roots = dict.fromkeys(self._root(child) for child in self.residues.get(index, ()))
        # A description that a later step tied to the operation itself is no request inside it.
        return [self._readings[root] for root in roots if root != self._root(index)]

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def _join(self, one: int, other: int, why: str | None = None) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        if first != second:
            self._parent[second] = first
        if why is not None:
            self._matches.setdefault(one, set()).add(why)

    def _by_ids(self) -> None:
        holders: dict[str, list[int]] = {}
        for index, reading in enumerate(self._calls):
            for link_id in self._ids[id(reading)]:
                holders.setdefault(link_id, []).append(index)
        for link_id in sorted(holders):
            members = holders[link_id]
            if len(members) == 1 or (link_id.startswith(COUNTS) and not self._is_fingerprint(members)):
                # Equal counts only bring traces together; `_by_counts` decides with model and time.
                continue
            if is_worldwide(link_id):
                for member in members[1:]:
                    self._join(members[0], member)
            else:
                self._pair(members)

    def _is_fingerprint(self, members: Sequence[int]) -> bool:
        return all(is_fingerprinted(self._calls[member]) for member in members)

    def _pair(self, members: list[int]) -> None:
        """Ids that are no proof by themselves: tie records of different kinds, one to one, the nearest in time."""
        kinds: dict[tuple[str, str, str], list[int]] = {}
        for member in members:
            span = self._calls[member].span
            kinds.setdefault((span.signal.value, span.scope_name, span.name), []).append(member)
        anchor = max(sorted(kinds), key=lambda kind: len(kinds[kind]))
        for kind in sorted(kinds):
            if kind != anchor:
                self._one_to_one(kinds[anchor], kinds[kind])

    def _one_to_one(self, anchors: list[int], others: list[int]) -> None:
        pairs = sorted(
            (self._gap(anchor, other), anchor, other)
            for anchor in anchors
            for other in others
            if self._gap(anchor, other) <= NEAR_NS
        )
        taken: set[int] = set()
        for _, anchor, other in pairs:
            if anchor not in taken and other not in taken and not self._clash(anchor, other):
                taken.update((anchor, other))
                self._join(anchor, other)

    def _gap(self, one: int, other: int) -> int:
        """Nanoseconds between two records; 0 where they overlap."""
        first, second = self._calls[one].span, self._calls[other].span
        return max(first.start_ns - second.end_ns, second.start_ns - first.end_ns, 0)

    def _clash(self, one: int, other: int) -> bool:
        """Whether two records that share a weak id contradict each other in their input.

        Their outputs may differ: OpenLLMetry counts the first chunk of a stream a second time.
        """
        first, second = self._calls[one], self._calls[other]
        return first.has_usage and second.has_usage and not same_input(first, second)

    def _above(self, index: int) -> int | None:
        """The nearest model operation that contains this one."""
        for depth, span in enumerate(self._tree.chain(self._calls[index].span)):
            found = self._at.get((span.trace_id, span.span_id))
            if depth and found is not None:
                return found
        return None

    def _by_nesting(self) -> None:
        below: dict[int, list[int]] = {}
        for index, reading in enumerate(self._calls):
            if reading.span.signal is Signal.TRACES:
                above = self._above(index)
                if above is not None:
                    below.setdefault(above, []).append(index)
        # The innermost first: what a child was joined to decides what its parent contains.
        for above in sorted(below, key=lambda index: (-self._depth(index), index)):
            self._nest(above, below[above])

    def _depth(self, index: int) -> int:
        return sum(1 for _ in self._tree.chain(self._calls[index].span))

    def _nest(self, above: int, children: list[int]) -> None:
        outer = self._calls[above]
        children = self._without_tools(above, children)
        groups: dict[int, int] = {}
        for child in children:
            groups.setdefault(self._root(child), child)
        groups.pop(self._root(above), None)
        alive = [child for child in groups.values() if not self._calls[child].is_refused]
        if not alive:
            if len(groups) >= 1 and (outer.is_refused or outer.is_error) and not outer.has_usage:
                # Every attempt failed: the wrapper tells of the last of them.
                self._join(above, max(groups.values()))
            return
        if len(alive) == 1:
            inner = self._calls[alive[0]]
            if not outer.has_usage or not inner.has_usage or same_usage(outer, inner):
                self._join(above, alive[0])
                return
        joined = [child for child in alive if same_id(outer, self._calls[child])]
        if joined:
            self._join(above, joined[0])
            return
        if outer.has_usage and self._exceeds(outer, alive):
            self.residues[above] = alive
            return
        span = outer.span
        self.wrappers[(span.trace_id, span.span_id)] = self._calls[alive[0]].span.span_id.hex()

    def _without_tools(self, above: int, children: list[int]) -> list[int]:
        """The requests inside a model operation, without those of tools that it called.

        ADK up to 1.x closes a request only after its tools have run, so that a sub-agent's requests stand inside.
        An operation that repeats the sum of all is none of them.
        """
        outer = self._calls[above]
        used = best(outer)
        if used is None or used.whole_input is None:
            return children
        inside = [child for child in children if self._is_of_tool(above, child)]
        parts = [part.whole_input for child in inside if (part := best(self._calls[child])) is not None]
        if not parts or None in parts or used.whole_input == sum(part for part in parts if part is not None):
            return children
        if any(same_id(outer, self._calls[child]) for child in inside):
            return children
        return [child for child in children if child not in inside]

    def _is_of_tool(self, above: int, child: int) -> bool:
        """Whether a tool's span lies between a model operation and a request below it."""
        for link in self._tree.chain(self._calls[child].span):
            if link is self._calls[above].span:
                return False
            if link is not self._calls[child].span and is_tool(link):
                return True
        return False

    def _exceeds(self, outer: Reading, children: Sequence[int]) -> bool:
        """Whether a model operation used more than the requests below it, on both sides."""
        whole = best(outer)
        parts = [best(self._calls[child]) for child in children]
        known = [part for part in parts if part is not None]
        if whole is None or len(known) < len(parts):
            return False
        inputs = [part.whole_input if part.whole_input is not None else part.input for part in known]
        total = whole.whole_input if whole.whole_input is not None else whole.input
        outputs = [part.whole_output for part in known]
        if total is None or whole.whole_output is None:
            return False
        return total > sum(i or 0 for i in inputs) and whole.whole_output >= sum(o or 0 for o in outputs)

    def _by_log_parent(self) -> None:
        for index, reading in enumerate(self._calls):
            span = reading.span
            if span.signal is not Signal.LOGS or span.parent_span_id is None:
                continue
            above = self._at.get((span.trace_id, span.parent_span_id))
            if above is not None and not self._clash(above, index):
                self._join(above, index)

    def _by_stream_end(self) -> None:
        """A record of a stream's end, and the request span that ended when the same question's stream was opened."""
        asked: dict[tuple[str, str, str], list[int]] = {}
        for index, reading in enumerate(self._calls):
            if reading.asked:
                shelf = (resource_key(reading.span.resource), reading.span.scope_name, reading.asked)
                asked.setdefault(shelf, []).append(index)
        for members in asked.values():
            ends = [(index, opened) for index in members if (opened := self._calls[index].opened_ns) is not None]
            requests = [index for index in members if self._calls[index].opened_ns is None]
            pairs = sorted(
                (gap, end, request)
                for end, opened in ends
                for request in requests
                if (gap := abs(opened - self._calls[request].span.end_ns)) <= SLACK_NS
            )
            taken: set[int] = set()
            for _, end, request in pairs:
                if end not in taken and request not in taken:
                    taken.update((end, request))
                    self._join(end, request)

    def _by_counts(self) -> None:
        """The match without ids, recorded as such."""
        if all(reading.response_ids for reading in self._calls):
            # Two requests with ids of their own are two, whatever they counted.
            return
        groups: dict[int, list[int]] = {}
        for index in range(len(self._calls)):
            groups.setdefault(self._root(index), []).append(index)
        shelves: dict[tuple[object, ...], list[int]] = {}
        for root, members in groups.items():
            for shelf in {shelf for index in members for shelf in shelves_of(self._calls[index])}:
                shelves.setdefault(shelf, []).append(root)
        pairs: set[tuple[int, int, int]] = set()
        for roots in shelves.values():
            if 1 < len(roots) <= 64:
                for position, one in enumerate(roots):
                    for other in roots[position + 1 :]:
                        score = self._overlap(groups[one], groups[other])
                        if score is not None:
                            pairs.add((-score, min(one, other), max(one, other)))
        taken: set[int] = set()
        for _, one, other in sorted(pairs):
            if one not in taken and other not in taken:
                taken.update((one, other))
                self._join(one, other, "equal counts, model and time; no shared id")

    def _overlap(self, one: Sequence[int], other: Sequence[int]) -> int | None:
        """Nanoseconds of overlap of two groups that may be one request; None where they may not."""
        ours = [self._calls[index] for index in one]
        theirs = [self._calls[index] for index in other]
        scopes = {(r.span.signal, r.span.scope_name) for r in ours} & {
            (r.span.signal, r.span.scope_name) for r in theirs
        }
        if scopes or (has_own_id(ours) and has_own_id(theirs)):
            return None
        if resource_key(ours[0].span.resource) != resource_key(theirs[0].span.resource):
            return None
        if not any(same_model(a, b) and same_usage(a, b) for a in ours for b in theirs):
            return None
        start = max(min(r.span.start_ns for r in ours), min(r.span.start_ns for r in theirs))
        end = min(max(r.span.end_ns for r in ours), max(r.span.end_ns for r in theirs))
        has_log = any(r.span.signal is Signal.LOGS for r in (*ours, *theirs))
        return end - start if end + (SLACK_NS if has_log else 0) >= start else None
