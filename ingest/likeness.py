"""Whether two descriptions may be of one request: by their ids, their counts and their models."""

from collections.abc import Iterable, Sequence

from ingest.dialects.base import Reading
from ingest.linking import resource_key
from ingest.usage import TRUST_FAULTY, Usage
from models.core.telemetry import Span


def is_tool(span: Span) -> bool:
    """Whether a span says that it is the run of a tool."""
    operation = span.attributes.get("gen_ai.operation.name")
    return operation == "execute_tool" or span.attributes.get("openinference.span.kind") == "TOOL"


def has_own_id(readings: Sequence[Reading]) -> bool:
    return any(reading.response_ids for reading in readings)


def shelves_of(reading: Reading) -> Iterable[tuple[object, ...]]:
    """Keys under which two descriptions of equal counts meet."""
    usage = best(reading)
    if usage is None or not (usage.whole_input or usage.uncached):
        return
    where = resource_key(reading.span.resource)
    for name, value in (("whole", usage.whole_input), ("uncached", usage.uncached)):
        if value is not None:
            yield (where, name, value)


def best(reading: Reading) -> Usage | None:
    """The counts of a reading that tell the most; cached tokens alone are no count of a request."""
    return max(reading.usages, key=lambda usage: (usage.input is not None, usage.trust, usage.detail), default=None)


def same_id(one: Reading, other: Reading) -> bool:
    """Whether two readings share an id."""
    return bool(set(one.response_ids) & set(other.response_ids))


def same_usage(one: Reading, other: Reading) -> bool:
    """Whether two readings can be of one request by their counts: equal where both tell."""
    return any(_equal(a, b) for a in one.usages for b in other.usages)


def same_input(one: Reading, other: Reading) -> bool:
    """Whether two readings count the same input, where both tell the same part of it."""
    return any(_equal_input(a, b) for a in one.usages for b in other.usages)


def _equal_input(one: Usage, other: Usage) -> bool:
    sides = ((one.whole_input, other.whole_input), (one.uncached, other.uncached))
    return any(a is not None and a == b for a, b in sides)


def _equal(one: Usage, other: Usage) -> bool:
    if not _equal_input(one, other):
        return False
    a, b = one.whole_output, other.whole_output
    if a is None or b is None or a == b or TRUST_FAULTY in (one.trust, other.trust):
        return True
    # One of them may leave reasoning out of its output.
    return one.output == other.output or (one.reasoning or 0) + b == a or (other.reasoning or 0) + a == b


def same_model(one: Reading, other: Reading) -> bool:
    """Whether two readings may be of one model: a dated name and its alias are the same."""
    ours = {_bare(name) for name in (one.model, one.request_model) if name}
    theirs = {_bare(name) for name in (other.model, other.request_model) if name}
    return not ours or not theirs or any(a.startswith(b) or b.startswith(a) for a in ours for b in theirs)


def _bare(model: str) -> str:
    name = model.rsplit("/", 1)[-1].lower()
    for prefix in ("us.", "eu.", "apac.", "global.", "anthropic.", "models."):
        name = name.removeprefix(prefix)
    return name
