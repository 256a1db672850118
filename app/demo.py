"""The sample: real captures, recorded sessions and recorded runs, loaded into a project of their own."""

import gzip
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from pathlib import Path

import orjson

from app import demo_capacity, demo_runs, wiring
from app.collector import Collector
from app.file_loading import Loaded, load_files
from ingest.otlp_encode import trace_bodies
from ingest.transcripts.pi import spans_of_rows
from models.core.errors import Unfinished
from models.core.vocabulary import Signal
from models.store.projects import ensure_project, project_named

PROJECT = "demo"
SAMPLE = Path(__file__).parent / "sample"
PATIENCE_SECONDS = 120.0
OLDEST = timedelta(days=3650)
"""The recorded sessions and runs are older than what the network collector takes."""


def load(*, show_progress: bool = False) -> Loaded:
    """Load the sample into the running instance. Loading it twice loads it once."""
    parts = wiring.current()
    with parts.transaction() as connection:
        project = ensure_project(connection, PROJECT, is_demo=True)
        demo_capacity.declare(connection, project.id)
    collector = Collector(parts.engine, max_age=OLDEST, hint=lambda: parts.hint("derive"))
    loaded = load_files(collector, project.id, [SAMPLE / "captures"], show_progress=show_progress)
    _load_spans(collector, project.id, loaded)
    return loaded


def load_and_wait() -> str:
    """Load the sample and wait until its figures are there; returns the name of its project.

    Raises   Unfinished where the workers have not priced it within PATIENCE_SECONDS.
    """
    load()
    parts = wiring.current()
    with parts.transaction() as connection:
        project = project_named(connection, PROJECT)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (status := parts.reader.status([project.id])).spans_pending or not status.calls:
        if time.monotonic() > deadline:
            break
        time.sleep(0.25)
    else:
        return PROJECT
    raise Unfinished(
        f"the sample is stored, {status.spans_pending:,} of its spans wait to be priced. "
        "Open the project demo in a while; `jevons status` tells whether a worker runs."
    )


def _load_spans(collector: Collector, project_id: int, loaded: Loaded) -> None:
    collector.start()
    try:
        waiting = [
            collector.submit(body, "protobuf", Signal.TRACES, project_id)
            for body in trace_bodies(chain(spans_of_rows(_rows()), demo_runs.spans_of_runs(demo_runs.recorded_rows())))
        ]
        for receipt in [done.result() for done in waiting]:
            loaded.bodies += 1
            loaded.records += receipt.records
            loaded.rejections += receipt.rejections
    finally:
        collector.stop()


def _rows() -> Iterator[dict[str, object]]:
    with gzip.open(SAMPLE / "pi_sessions.jsonl.gz", "rb") as lines:
        yield from map(orjson.loads, lines)
