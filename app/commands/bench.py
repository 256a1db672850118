"""`jevons bench`: how fast this machine receives, derives, prices and answers, beside what is to be reached."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psutil
import typer


def bench(
    spans: Annotated[int, typer.Option(min=2_048, max=2_000_000, help="Spans of the largest burst.")] = 40_000,
    lag_seconds: Annotated[int, typer.Option(min=2, max=600, help="Length of the lag measurement.")] = 15,
    api_processes: Annotated[int, typer.Option(min=1, help="Processes on the HTTP port.")] = 2,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures as JSON.")] = None,
) -> None:
    """Start an instance of its own, put a bounded load on it over loopback, and print the table of figures."""
    from app.bench.instance import started
    from app.bench.measure import Load, measure
    from app.bench.report import table

    load_before = os.getloadavg()[0]
    with started(api_processes, workers, _say) as instance:
        found = measure(instance, Load(spans, lag_seconds), _say)
    machine = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {psutil.cpu_count()} CPUs ({platform.machine()}), "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB · load {load_before:.1f} before, {os.getloadavg()[0]:.1f} "
        f"after · Python {platform.python_version()} · {api_processes} API, {workers} workers · {spans:,} spans"
    )
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine, "figures": found}, indent=1) + "\n")
    typer.echo(table(found, machine))


def _say(line: str) -> None:
    typer.echo(line, err=True)


def register(cli: typer.Typer) -> None:
    """Add `bench`."""
    cli.command()(bench)
