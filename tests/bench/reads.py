"""Reads: how long answers take over a month of made-up calls, as ratios to plain SQL and against their limits.

    python -m tests.bench.reads [--calls N] [--repeats R] [--keep DIR] [--json]

The ledger is the one of `jevons bench` (`app.bench.made_ledger`): calls, charges and every sum of them. Here the
reader is asked itself, without HTTP, also what no benchmark of the service asks: periods cut at odd minutes, narrow
filters on long lists, pages of calls, and what new prices would change. Besides the time each answer took, the CPU
time of PostgreSQL and of this process is told: on a busy machine that is the figure to trust. Ratios are against
adding up the daily cells by team and model with nothing around it, in the same run. `--keep` leaves the ledger in a
folder and finds it there again.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import Engine, text

from app import migrate
from app.bench.made_ledger import END, PLAIN, START, fill
from app.embedded.postgres import Postgres
from app.tasks.price_again import would_change
from models.core.queries import CallQuery, CostQuery
from models.core.vocabulary import CostBasis, Granularity
from models.store.engine import make_engine
from models.store.reader import StoreReader

UNTIL_NOW = datetime(2026, 10, 30, 23, 41, 12, tzinfo=UTC)
CUT = {"start": datetime(2026, 10, 4, 7, 13, tzinfo=UTC), "end": datetime(2026, 10, 21, 19, 2, tzinfo=UTC)}
NARROW_MS, WIDE_MS, PAGE_MS = 100.0, 1_000.0, 300.0
COSTS: dict[str, tuple[float, dict[str, object]]] = {
    "totals": (NARROW_MS, {}),
    "by model": (NARROW_MS, {"group_by": ("model",)}),
    "by team, model": (NARROW_MS, {"group_by": ("team", "model")}),
    "by agent, model until some minute": (NARROW_MS, {"group_by": ("agent", "model"), "end": UNTIL_NOW}),
    "by agent and day": (NARROW_MS, {"group_by": ("agent",), "granularity": Granularity.DAY}),
    "by bucket": (NARROW_MS, {"group_by": ("bucket",)}),
    "by model, one team": (NARROW_MS, {"group_by": ("model",), "filters": (("team", "team 3"),)}),
    "by task": (WIDE_MS, {"group_by": ("task",)}),
    "by session": (WIDE_MS, {"group_by": ("session",)}),
    "by user": (WIDE_MS, {"group_by": ("user",)}),
    "by tag": (WIDE_MS, {"group_by": ("tag:feature",)}),
    "by task, 17 days cut": (WIDE_MS, {"group_by": ("task",), **CUT}),
    "by session, 17 days cut": (WIDE_MS, {"group_by": ("session",), **CUT}),
    "by user, 17 days cut": (WIDE_MS, {"group_by": ("user",), **CUT}),
    "by tag, 17 days cut": (WIDE_MS, {"group_by": ("tag:feature",), **CUT}),
    "by task on list cost": (WIDE_MS, {"group_by": ("task",), "basis": CostBasis.LIST}),
    "by task, one team": (WIDE_MS, {"group_by": ("task",), "filters": (("team", "team 3"),)}),
    "by user, model": (WIDE_MS, {"group_by": ("user", "model")}),
}
CALLS: dict[str, dict[str, object]] = {
    "calls": {},
    "calls of an agent": {"agent": "agent 3.1"},
    "calls of an agent that never was": {"agent": "nobody"},
    "calls of a session": {"session": "session 77"},
    "calls without a price": {"unpriced": True},
}


@dataclass(slots=True, frozen=True)
class Took:
    """How long something took, in milliseconds: half and 95 % of the repeats, and the CPU time of one."""

    p50: float
    p95: float
    postgres: float
    python: float
    limit: float | None = None


def timed(work: Callable[[], object], repeats: int, postmaster: psutil.Process, limit: float | None = None) -> Took:
    """Repeat after one that warms up."""
    work()
    taken: list[float] = []
    theirs, ours = _tree_cpu(postmaster), time.process_time()
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    theirs, ours = _tree_cpu(postmaster) - theirs, time.process_time() - ours
    taken.sort()
    return Took(
        taken[len(taken) // 2],
        taken[int(len(taken) * 0.95)],
        theirs / repeats * 1000,
        ours / repeats * 1000,
        limit,
    )


def _tree_cpu(postmaster: psutil.Process) -> float:
    """Seconds of the server's processes, those that ended included."""
    spent = postmaster.cpu_times()
    total = spent.user + spent.system + spent.children_user + spent.children_system
    for child in postmaster.children():
        try:
            alive = child.cpu_times()
        except psutil.Error:
            continue
        total += alive.user + alive.system
    return total


def measure(calls: int, repeats: int, keep: Path | None) -> dict[str, Took]:
    """Every question over a month of so many calls."""
    with ExitStack() as stack:
        folder = keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="jevons-reads-", ignore_cleanup_errors=True))
        )
        is_new = not (folder / "postgres").exists()
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        server = Postgres(folder)
        # A power cut may take this ledger: it is made up.
        server.settings = server.settings | {"fsync": "off", "full_page_writes": "off"}
        server.start()
        stack.callback(server.stop)
        migrate.upgrade(server.url)
        if is_new:
            print(f"made in {fill(server.url, calls):.0f} s", flush=True)
        engine = make_engine(server.url)
        stack.callback(engine.dispose)
        return _ask(engine, repeats, psutil.Process(server.pid))


def _ask(engine: Engine, repeats: int, postmaster: psutil.Process) -> dict[str, Took]:
    def plain() -> None:
        with engine.connect() as connection:
            connection.execute(text(PLAIN), {"start": START, "end": END}).all()

    def price_again() -> None:
        with engine.connect() as connection:
            would_change(connection, 1, START, END)

    found = {"plain SQL of the narrow rollup": timed(plain, repeats, postmaster)}
    reader = StoreReader(engine)
    for name, (limit, more) in COSTS.items():
        asked = CostQuery(**{"projects": (1,), "start": START, "end": END, "limit": 100, **more})
        found[name] = timed(lambda asked=asked: reader.costs(asked), repeats, postmaster, limit)
    for name, more in CALLS.items():
        listed = CallQuery(**{"projects": (1,), "start": START, "end": END, **more})
        found[name] = timed(lambda listed=listed: reader.calls(listed), repeats, postmaster, PAGE_MS)
    found["status"] = timed(reader.status, repeats, postmaster, PAGE_MS)
    found["projects"] = timed(reader.projects, repeats, postmaster, PAGE_MS)
    found["dry run of new prices"] = timed(price_again, 1, postmaster)
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    before = os.getloadavg()[0]
    found = measure(chosen.calls, chosen.repeats, chosen.keep)
    if chosen.json:
        print(json.dumps({name: asdict(took) for name, took in found.items()}))
        return
    base = found["plain SQL of the narrow rollup"].p95
    print(f"{chosen.calls:,} calls; {chosen.repeats} repeats; load {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    print(f"{'':<34} {'p50 ms':>9} {'p95 ms':>9} {'× plain':>8} {'of limit':>8} {'CPU ms: PostgreSQL':>20} {'here':>6}")
    for name, took in found.items():
        share = "" if took.limit is None else f"{took.p95 / took.limit:.0%}"
        print(
            f"{name:<34} {took.p50:9.1f} {took.p95:9.1f} {took.p95 / base:8.1f} {share:>8} "
            f"{took.postgres:20.1f} {took.python:6.1f}"
        )


if __name__ == "__main__":
    main()
