"""Storing imported requests: the same tables and links as the network's, in batches that can be repeated."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import Engine

from ingest.linking import link_ids
from models.core.telemetry import Span
from models.store.span_codec import prepare_spans
from models.store.telemetry import StoreOutcome, ensure_partitions, store_spans

BATCH = 5_000
"""Spans per transaction: a broken import keeps what it committed, and going on repeats nothing."""


def store_imported(
    engine: Engine, project_id: int, spans: Sequence[Span], *, show_progress: bool = False
) -> StoreOutcome:
    """Store spans of an import; those stored before are duplicates.

    Safe to repeat: ids are made of content, and the key of `spans` keeps each once.
    """
    stored = duplicates = 0
    with Progress(console=Console(file=sys.stderr), disable=not show_progress, transient=True) as progress:
        task = progress.add_task("storing", total=len(spans))
        for start in range(0, len(spans), BATCH):
            batch = spans[start : start + BATCH]
            prepared = prepare_spans(project_id, batch, [link_ids(span) for span in batch])
            with engine.begin() as connection:
                ensure_partitions(connection, prepared.days)
            with engine.begin() as connection:
                outcome = store_spans(connection, [prepared])
            stored += outcome.stored
            duplicates += outcome.duplicates + outcome.conflicting
            progress.advance(task, len(batch))
    return StoreOutcome(stored=stored, duplicates=duplicates)
