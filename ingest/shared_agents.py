"""Agents that answered inside one billed request (native multi-agent models), as the caller names them."""

from collections.abc import Iterator, Mapping
from typing import Any

from ingest.json_text import parse, text_of
from ingest.provider_bodies import count

ATTRIBUTE = "jevons.agents"
"""Our own name: no instrumentation and no convention has one (looked for in November 2026)."""
MOST_AGENTS = 64


def agents_of(attributes: Mapping[str, Any]) -> tuple[tuple[str, int | None], ...]:
    """The agents of a request with their output tokens, in the order in which they are named, each once.

    Shapes   a list of names, a list of `{"name", "output_tokens"}`, or such a list as JSON text → n agents; none
             where the attribute is missing or says something else.
    """
    value = attributes.get(ATTRIBUTE)
    if value is None:
        return ()
    parsed = parse(value) if isinstance(value, str) else value
    if not isinstance(parsed, list):
        return ()
    found: dict[str, int | None] = {}
    for name, output in _named(parsed[:MOST_AGENTS]):
        known = found.get(name)
        found[name] = output if known is None else known + (output or 0)
    return tuple(found.items())


def _named(items: list[Any]) -> Iterator[tuple[str, int | None]]:
    for item in items:
        if isinstance(item, Mapping):
            name, output = text_of(item.get("name")), count(item.get("output_tokens"))
        else:
            name, output = text_of(item), None
        if name:
            yield name, output
