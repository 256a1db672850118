"""Pipeline: CPU per 1,000 spans of every step after the commit, in this process and in a real PostgreSQL.

    python -m tests.bench.pipeline [--spans N] [--batch B] [--traces T] [--profile STEP] [--json]

One process and one thing at a time, so that what each step costs is seen apart. Ratios are against receiving the same
spans in the same run, so a busy machine shifts both.
"""

import argparse
import cProfile
import json
import pstats
import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, text

from app import migrate
from app.bench.payloads import fresh, traces_body
from app.collector import Collector
from app.embedded.postgres import Postgres
from app.tasks.derive import derive_batch
from app.tasks.pricing import install_shipped_book
from app.tasks.rollup import rollup_batch
from app.tasks.watch import watch_batch
from models.core.vocabulary import Signal
from models.store.engine import make_engine
from models.store.unit_sums import merge_units

WARM_UP_SPANS = 2_048


def measured(spans: int, batch_traces: int, batch: int, profiled: str | None) -> dict[str, float]:
    """CPU-seconds per 1,000 spans of each step, ours and PostgreSQL's."""
    with tempfile.TemporaryDirectory(prefix="jevons-bench-") as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder))
        server.start()
        try:
            migrate.upgrade(server.url)
            engine = make_engine(server.url)
            with engine.begin() as connection:
                install_shipped_book(connection)
            postmaster = psutil.Process(int((server.cluster / "postmaster.pid").read_text().split()[0]))
            chance = random.Random(1)
            templates = [traces_body(chance, batch, is_template=True) for _ in range(4)]
            collector = Collector(engine)
            collector.start()
            steps: dict[str, Callable[[Connection], int]] = {
                "derive and price": lambda c: derive_batch(c, batch_traces),
                "watch": lambda c: watch_batch(c, 200, datetime.now(UTC)),
                "count": lambda c: merge_units(c, 20_000),
                "rollup": lambda c: rollup_batch(c, 2_000),
            }
            _run(engine, collector, templates, chance, WARM_UP_SPANS, batch, steps, postmaster, None)
            found = _run(engine, collector, templates, chance, spans, batch, steps, postmaster, profiled)
            collector.stop()
            with engine.connect() as connection:
                counts = {
                    name: connection.execute(text(f"select count(*) from {table}")).scalar_one()
                    for name, table in (("calls", "calls"), ("charges", "charges"), ("attributions", "attributions"))
                }
            engine.dispose()
            return found | counts
        finally:
            server.stop()


def _run(
    engine: Engine,
    collector: Collector,
    templates: list[bytes],
    chance: random.Random,
    spans: int,
    batch: int,
    steps: dict[str, Callable[[Connection], int]],
    postmaster: psutil.Process,
    profiled: str | None,
) -> dict[str, float]:
    found: dict[str, float] = {}

    def measure(name: str, work: Callable[[], Any]) -> None:
        ours, theirs, wall = time.process_time(), _tree_cpu(postmaster), time.perf_counter()
        if name == profiled:
            profile = cProfile.Profile(time.process_time)
            profile.runcall(work)
            pstats.Stats(profile).sort_stats("cumtime").print_stats(
                r"/(app|models|ingest)/|polars.*collect|execute|orjson", 60
            )
        else:
            work()
        found[f"{name}, s"] = time.perf_counter() - wall
        found[f"{name}, ours"] = (time.process_time() - ours) / spans * 1000
        found[f"{name}, PostgreSQL"] = (_tree_cpu(postmaster) - theirs) / spans * 1000

    bodies = [fresh(templates[i % len(templates)], chance) for i in range(max(1, spans // batch))]
    measure("receive", lambda: _send(collector, bodies))
    for name, step in steps.items():
        measure(name, lambda step=step: _drain(engine, step))
    return found


def _send(collector: Collector, bodies: list[bytes]) -> None:
    waiting: list[Future[Any]] = []
    for body in bodies:
        waiting.append(collector.submit(body, "protobuf", Signal.TRACES, 1))
        if len(waiting) >= 16:
            waiting.pop(0).result()
    for done in waiting:
        done.result()


def _drain(engine: Engine, step: Callable[[Connection], int]) -> None:
    while True:
        with engine.begin() as connection:
            if not step(connection):
                return


def _tree_cpu(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times[:1]) + sum(
        one.user + one.system for one in times[1:]
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=20_480)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--traces", type=int, default=2_000)
    parser.add_argument("--profile", choices=("receive", "derive and price", "watch", "count", "rollup"))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measured(chosen.spans, chosen.traces, chosen.batch, chosen.profile)
    if chosen.json:
        print(json.dumps(figures))
        return
    received = figures["receive, ours"] + figures["receive, PostgreSQL"]
    total = 0.0
    for name, figure in figures.items():
        is_cpu = name.endswith((", ours", ", PostgreSQL"))
        total += figure if is_cpu else 0.0
        print(f"{name:32} {figure:12.5f}" + (f"  {figure / received:6.2f} × receiving" if is_cpu else ""))
    print(f"{'CPU-s per 1,000 spans, all':32} {total:12.5f}  {total / received:6.2f} × receiving; at most 0.15 wanted")


if __name__ == "__main__":
    main()
