"""The spans of some traces as trees, whatever order they came in; broken parents and cycles do no harm."""

from collections.abc import Iterable, Iterator

from models.core.telemetry import Span
from models.core.vocabulary import Signal

Key = tuple[bytes, bytes]
MAX_DEPTH = 256
"""Ancestors looked at: a runaway recursion of thousands of levels must not cost the square of its depth."""


class SpanTree:
    """Parents by (trace, span); log records hang below the span they were written in."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans: dict[Key, Span] = {
            (span.trace_id, span.span_id): span for span in spans if span.signal is Signal.TRACES
        }

    def parent(self, span: Span) -> Span | None:
        """The span above, None for a root and where the parent never arrived."""
        if span.parent_span_id is None:
            return None
        found = self._spans.get((span.trace_id, span.parent_span_id))
        return None if found is span else found

    def chain(self, span: Span) -> Iterator[Span]:
        """The record itself, then its ancestors up to the root, at most MAX_DEPTH of them."""
        seen: set[bytes] = set()
        current: Span | None = span
        while current is not None and current.span_id not in seen and len(seen) <= MAX_DEPTH:
            seen.add(current.span_id)
            yield current
            current = self.parent(current)
