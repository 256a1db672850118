"""The ids of a record without its counts: what most records need to be linked, at a tenth of a reading's cost."""

from ingest.dialects.base import Dialect, Role
from ingest.dialects.reader import ID_KEYS, counts_nothing, response_ids, role_in, with_events, words_of
from ingest.dialects.registry import dialect_of
from ingest.dialects.shape import shape_of
from models.core.telemetry import Span

FINGERPRINTED = ("codex", "gemini-cli")
"""Dialects whose logs, metrics and spans share neither ids nor traces: their counts are the link."""
_TELLING: dict[str, frozenset[str]] = {}
"""Dialect name → attributes without which its records hold neither an id nor a count."""


def ids_alone(span: Span) -> tuple[str, ...] | None:
    """Response and request ids of a record that is linked by them alone; None where its counts may link it too.

    Shapes   1 record → its ids as a reading has them, () for a record that links nothing. No dialect's `adjust`
             may change ids or role: this does not call it.
    """
    dialect = dialect_of(span)
    if dialect.name in FINGERPRINTED:
        return None
    attributes = with_events(span)
    # A description of its own vocabulary may add counts from anywhere; the others need one of these attributes.
    if dialect.adjust is None and dialect.facts is None and _telling(dialect).isdisjoint(attributes):
        return ()
    role = role_in(dialect, span, attributes)
    if role is Role.NONE or (role is Role.ROLLUP and counts_nothing(dialect, shape_of(attributes))):
        return ()
    if role is Role.CALL and (span.parent_span_id is None or not attributes.keys().isdisjoint(dialect.bodies)):
        return None
    found = response_ids(attributes, dialect.facts(attributes) if dialect.facts else {}, ())
    return None if role is Role.CALL and not found else found


def _telling(dialect: Dialect) -> frozenset[str]:
    telling = _TELLING.get(dialect.name)
    if telling is None:
        telling = _TELLING[dialect.name] = frozenset((*ID_KEYS, *dialect.bodies, *words_of(dialect.vocabulary)))
    return telling
