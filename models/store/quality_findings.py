"""Findings as they are answered: examples out of ids, and the words of their kind."""

from collections.abc import Iterable

from models.core.quality import Example, Finding, FindingKind
from models.store.quality_advice import advice_for

EXAMPLES = 5
"""Examples of a finding, at most."""


def first_ids(source: str, condition: str) -> str:
    """SQL of an array with the first few ids of `source` that meet a condition, in the order of their bytes."""
    return (
        f"ARRAY(SELECT encode(f.trace_id, 'hex') || encode(f.span_id, 'hex') FROM {source} f WHERE {condition} "
        f"ORDER BY f.trace_id, f.span_id LIMIT {EXAMPLES})"
    )


def examples_of(ids: Iterable[str] | None) -> list[Example]:
    """Examples out of what `first_ids` gives: 32 digits of a trace and 16 of a span."""
    return [Example(each[:32], each[32:]) for each in ids or ()]


def finding_of(
    kind: FindingKind, what: str, count: int, examples: Iterable[Example], *, is_problem: bool = True
) -> Finding:
    """A finding with the words that fit its kind and instrumentation."""
    said, advice = advice_for(kind, what)
    return Finding(
        kind=kind,
        what=what,
        count=count,
        examples=list(examples),
        said=said,
        advice=advice,
        is_problem=is_problem,
    )
