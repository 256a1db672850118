"""`jevons normalize`: the billable calls in OTLP files, without a database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.options import AsJson
from models.core.vocabulary import Signal

if TYPE_CHECKING:
    from models.core.telemetry import Call, Derivation, Rejection

PIPED_WIDTH = 180
"""Columns of the table where no terminal says how wide it is."""
_COLUMNS = ("input", "cache_read", "cache_write", "output", "reasoning")


def normalize(
    paths: Annotated[list[Path], typer.Argument(help="OTLP files or directories: .bin, .json, .jsonl, .gz, .zst.")],
    signal: Annotated[Signal | None, typer.Option(help="Signal of files whose name and content do not tell.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the billable calls found in OTLP files: one per real request, tokens in disjoint buckets."""
    from ingest.calls import derive_calls
    from ingest.file_spans import spans_of_files

    read = spans_of_files(paths, signal)
    derived = derive_calls(read.spans)
    rejections = [*read.rejections, *derived.rejections]
    if as_json:
        found = {
            "calls": [call.as_json() for call in derived.calls],
            "rejections": [rejection.as_json() for rejection in rejections],
            "suppressed": [entry.as_json() for entry in derived.suppressed],
        }
        print(json.dumps(found, default=str))
        return
    _show(derived, rejections)


def _show(derived: "Derivation", rejections: "list[Rejection]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(derived.calls)} calls")
    for heading in ("end", "provider", "model", "agent"):
        table.add_column(heading, overflow="fold")
    for heading in _COLUMNS:
        table.add_column(heading.replace("_", " "), justify="right")
    for heading in ("usage", "read as"):
        table.add_column(heading, overflow="fold")
    for call in derived.calls:
        told = call.as_json()
        table.add_row(
            told["end"],
            call.provider or "—",
            call.model or "—",
            call.agent_path or "—",
            *(_count(call, column) for column in _COLUMNS),
            call.usage_source.value,
            call.convention,
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    console.print(table)
    console.print(f"{len(derived.suppressed)} records left out as roll-ups or second descriptions")
    for rejection in rejections:
        console.print(f"not taken: {rejection.position}: {rejection.reason}", markup=False)


def _count(call: "Call", column: str) -> str:
    """A count for people; an unknown one is a dash, not a zero."""
    tokens = call.tokens
    if column != "cache_write":
        value = getattr(tokens, column)
        return "—" if value is None else f"{value:,}"
    parts = [tokens.cache_write_5m, tokens.cache_write_1h, tokens.cache_write_unknown]
    known = [part for part in parts if part is not None]
    return f"{sum(known):,}" if known else "—"


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(normalize)
