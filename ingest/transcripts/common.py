"""What the importers share: reading lines, ids made of content, and requests as spans without prose."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from models.core.errors import BadInput
from models.core.telemetry import Rejection, Span
from models.core.time import ns_of_utc

SCOPE = "jevons.import."
"""Scopes of imported records begin so; the importer's name follows."""


@dataclass(slots=True)
class Imported:
    """What files of one tool said: requests as spans, and what could not be read."""

    spans: list[Span] = field(default_factory=list[Span])
    rejections: list[Rejection] = field(default_factory=list[Rejection])
    files: int = 0
    repeated: int = 0
    """Requests met again: copied history of resumed sessions, snapshots of one answer."""


def content_id(size: int, *parts: object) -> bytes:
    """An id of so many bytes made of content, so that importing again gives the same ids."""
    digest = blake2b(digest_size=size)
    for part in parts:
        digest.update(repr(part).encode())
        digest.update(b"\x00")
    return digest.digest()


def ns_of_text(text: Any) -> int | None:
    """An RFC 3339 time as nanoseconds; None for anything else, and for times without a zone."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return ns_of_utc(moment) if moment.tzinfo is not None else None


def request_span(
    tool: str,
    *,
    session: str,
    identity: Sequence[object],
    start_ns: int,
    end_ns: int,
    attributes: Mapping[str, Any],
    is_error: bool = False,
) -> Span:
    """One request as a span of the session's trace. Ids depend on the session and the identity alone."""
    kept = {"gen_ai.operation.name": "chat", "session.id": session, **attributes}
    return Span(
        trace_id=content_id(16, tool, session),
        span_id=content_id(8, tool, session, *identity),
        parent_span_id=None,
        name="chat",
        start_ns=min(start_ns, end_ns),
        end_ns=end_ns,
        kind=3,
        status="error" if is_error else "ok",
        scope_name=SCOPE + tool,
        resource={"service.name": tool},
        attributes={key: value for key, value in kept.items() if value is not None},
    )


def files_below(paths: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    """The files meant by paths, in order.

    Raises   BadInput when a path does not exist or nothing below it has a fitting name.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_file():
            found.add(path)
            continue
        if not path.is_dir():
            raise BadInput(f"{path}: no such file or directory")
        inside = [file for file in path.rglob("*") if file.is_file() and file.name.endswith(tuple(suffixes))]
        if not inside:
            raise BadInput(f"{path}: nothing below it ends in {', '.join(suffixes)}")
        found.update(inside)
    return sorted(found)


def json_lines(path: Path, rejections: list[Rejection]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one per line; a broken line is a rejection, its neighbours go on.

    A last line without its end is a session that is still being written: it is left for the next import.
    """
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                parsed = orjson.loads(line)
            except orjson.JSONDecodeError as fault:
                if line.endswith(b"\n"):
                    rejections.append(Rejection(position=f"{path}:{number}", reason=f"no JSON: {fault}"))
                continue
            if isinstance(parsed, dict):
                yield number, parsed
