"""Loading OTLP files through the collector: the same road as the network's, with a progress bar."""

import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.collector import Collector, Receipt
from ingest.files import otlp_files, read_bodies
from models.core.errors import JevonsError
from models.core.telemetry import Rejection
from models.core.vocabulary import Signal

WAITING_BODIES = 8
"""Bodies in flight: enough for commits to be shared, few enough to bound memory."""


@dataclass(slots=True)
class Loaded:
    """What a load did. `faults` are files that could not be read; their neighbours were."""

    files: int = 0
    bodies: int = 0
    records: int = 0
    rejections: list[Rejection] = field(default_factory=list[Rejection])
    faults: list[str] = field(default_factory=list[str])

    def as_json(self) -> dict[str, Any]:
        """The load as shown to scripts."""
        return {
            "files": self.files,
            "bodies": self.bodies,
            "records": self.records,
            "rejections": [rejection.as_json() for rejection in self.rejections],
            "faults": self.faults,
        }


def load_files(
    collector: Collector,
    project_id: int,
    paths: Sequence[Path],
    signal: Signal | None = None,
    *,
    show_progress: bool = False,
) -> Loaded:
    """Store every record of these files; starts and stops the collector.

    Raises   UnreadableFile for a path that does not exist. A file that cannot be read becomes a fault.
    """
    files = otlp_files(paths)
    loaded = Loaded(files=len(files))
    collector.start()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), disable=not show_progress, transient=True) as progress:
        task = progress.add_task("loading", total=len(files))
        try:
            for path in files:
                _load(collector, project_id, path, signal, loaded)
                progress.advance(task)
        finally:
            collector.stop()
    return loaded


def _load(collector: Collector, project_id: int, path: Path, signal: Signal | None, loaded: Loaded) -> None:
    waiting: deque[tuple[str, Future[Receipt]]] = deque()
    try:
        for found in read_bodies(path, signal):
            try:
                done = collector.submit(found.body, found.encoding, found.signal, project_id)
            except JevonsError as fault:
                loaded.faults.append(f"{found.origin}: {fault}")
                continue
            waiting.append((found.origin, done))
            if len(waiting) > WAITING_BODIES:
                _settle(*waiting.popleft(), loaded)
    except JevonsError as fault:
        loaded.faults.append(str(fault))
    while waiting:
        _settle(*waiting.popleft(), loaded)


def _settle(origin: str, done: "Future[Receipt]", loaded: Loaded) -> None:
    try:
        receipt = done.result()
    except JevonsError as fault:
        loaded.faults.append(f"{origin}: {fault}")
        return
    loaded.bodies += 1
    loaded.records += receipt.records
    loaded.rejections += [
        Rejection(
            position=f"{origin}: {rejection.position}",
            reason=rejection.reason,
            trace_id=rejection.trace_id,
            span_id=rejection.span_id,
        )
        for rejection in receipt.rejections
    ]
