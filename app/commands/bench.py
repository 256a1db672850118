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
    spans: Annotated[int, typer.Option(min=2_048, max=2_000_000, help="Spans of the largest burst.")] = 120_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="Every row from a smaller load, in about three minutes.")
    ] = False,
    large: Annotated[bool, typer.Option("--large", help="Questions on a month of 10 million calls as well.")] = False,
    peers: Annotated[str, typer.Option(help="Peers to install and measure too: phoenix,mlflow,litellm.")] = "",
    peers_dir: Annotated[Path | None, typer.Option(help="Folder of their virtual environments.")] = None,
    sustained_seconds: Annotated[float, typer.Option(min=5, max=600, help="Length of each step of the search.")] = 30,
    lag_seconds: Annotated[float, typer.Option(min=2, max=600, help="Length of the lag measurement.")] = 20,
    api_processes: Annotated[int, typer.Option(min=1, help="Processes on the HTTP port.")] = 2,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures as JSON.")] = None,
) -> None:
    """Start an instance of its own, put a bounded load on it over loopback, and print the table of figures."""
    # Rating is stated per core. Read when polars is imported; the instance under test does not inherit it.
    os.environ["POLARS_MAX_THREADS"] = "1"
    from dataclasses import replace

    from app.bench.instance import started
    from app.bench.measure import MILLION, QUICK, Load, measure, write_json
    from app.bench.peers import default_root, measure_peers
    from app.bench.report import table

    load = QUICK if quick else Load(spans=spans, sustained_seconds=sustained_seconds, lag_seconds=lag_seconds)
    if large:
        load = replace(load, ledgers=[MILLION, 10 * MILLION])
    before = os.getloadavg()
    began = datetime.now(UTC)
    names = [name.strip() for name in peers.split(",") if name.strip()]
    found: dict[str, float] = {}
    failed: Exception | None = None
    try:
        with started(api_processes, workers, _say) as instance:
            measure(instance, load, _say, found)
        if names:
            found |= measure_peers(names, peers_dir or default_root(), _say)
    except Exception as fault:
        failed = fault  # What was measured until then is shown all the same.
    after = os.getloadavg()
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    machine = (
        f"{began:%Y-%m-%d %H:%M} UTC, {minutes:.1f} min · {psutil.cpu_count()} CPUs ({platform.machine()}), "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB · load average {before[0]:.1f} before, {after[0]:.1f} after, "
        f"{found.get('load average, median', after[0]):.1f} between · Python {platform.python_version()} · "
        f"{api_processes} API, {workers} workers · bursts of up to {load.spans:,} spans"
    )
    if json_file is not None:
        write_json(json_file, json.dumps({"machine": machine, "figures": found}, indent=1) + "\n")
    typer.echo(table(found, machine))
    if failed is not None:
        raise failed


def _say(line: str) -> None:
    typer.echo(line, err=True)


def register(cli: typer.Typer) -> None:
    """Add `bench`."""
    cli.command()(bench)
