"""`jevons ingest`: OTLP files through the same collector as the network."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from app.options import AsJson, DataDir, configure
from models.core.vocabulary import Signal

OLDEST = timedelta(days=3650)
"""How old an imported span may be; the network collector takes less (JEVONS_MAX_SPAN_AGE_DAYS)."""
SHOWN_REJECTIONS = 20


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="OTLP files or directories: .bin, .json, .jsonl, .gz, .zst.")],
    project: Annotated[str | None, typer.Option(help="Project to load into; made when missing.")] = None,
    signal: Annotated[Signal | None, typer.Option(help="Signal of files whose name and content do not tell.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Load OTLP files. Loading a file twice loads it once."""
    settings = configure(data_dir=data_dir)
    from app import wiring
    from app.collector import Collector
    from app.file_loading import load_files
    from models.store.projects import ensure_project

    parts = wiring.current()
    project_id = 1
    if project is not None:
        with wiring.transaction() as connection:
            project_id = ensure_project(connection, project).id
    collector = Collector(
        parts.engine,
        keep_content=settings.capture_content == "keep",
        max_queue_bytes=settings.max_queue_bytes,
        max_age=OLDEST,
        max_future=timedelta(minutes=settings.max_span_future_minutes),
        hint=lambda: parts.hint("derive"),
    )
    loaded = load_files(collector, project_id, paths, signal, show_progress=not as_json)
    if as_json:
        print(json.dumps(loaded.as_json()))
    else:
        print(
            f"{loaded.records} records of {loaded.bodies} bodies in {loaded.files} files are stored, "
            f"{len(loaded.rejections)} were not taken"
        )
        for rejection in loaded.rejections[:SHOWN_REJECTIONS]:
            print(f"  {rejection.position}: {rejection.reason}")
        if len(loaded.rejections) > SHOWN_REJECTIONS:
            print(f"  and {len(loaded.rejections) - SHOWN_REJECTIONS} more; they are kept with the project")
    if loaded.faults:
        for fault in loaded.faults:
            typer.echo(f"jevons: {fault}", err=True)
        raise typer.Exit(1)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(ingest)
