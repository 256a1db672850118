"""OTLP files as spans, for commands that need no database: unreadable files and records become rejections."""

from collections.abc import Sequence
from pathlib import Path

from ingest.files import UnreadableFile, otlp_files, read_bodies
from ingest.otlp import Decoded, decode
from models.core.errors import BadInput
from models.core.telemetry import Rejection
from models.core.vocabulary import Signal


def spans_of_files(paths: Sequence[Path], signal: Signal | None = None) -> Decoded:
    """Every record of the files, in file order, with what could not be read.

    Shapes   n paths (files, or directories searched for OTLP) → spans and rejections; the position of a rejection
             begins with its file.
    Raises   UnreadableFile for a path that does not exist, and for a named file that is no OTLP at all; inside a
             directory such a file is a rejection.
    """
    found = Decoded()
    named = {path for path in paths if path.is_file()}
    for path in otlp_files(paths):
        try:
            for part in read_bodies(path, signal):
                decoded = decode(part.body, part.encoding, part.signal)
                found.spans += decoded.spans
                found.rejections += [
                    Rejection(
                        position=f"{part.origin} {rejection.position}",
                        reason=rejection.reason,
                        trace_id=rejection.trace_id,
                        span_id=rejection.span_id,
                    )
                    for rejection in decoded.rejections
                ]
        except BadInput as fault:
            if path in named and isinstance(fault, UnreadableFile):
                raise
            found.rejections.append(Rejection(position=str(path), reason=str(fault)))
    return found
