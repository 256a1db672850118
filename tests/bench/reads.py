"""Reads: how long answers about costs take over a month of made-up sums, as ratios to the plain SQL of the narrow one.

    python -m tests.bench.reads [--calls N] [--repeats R] [--json]

The sums are made in a database of their own by INSERT … SELECT: five calls per cell, four cells per unit of work,
two units per task, 120 attributions, 720 hours. Ratios are against adding up the daily cells by team and model
with nothing around it, in the same run, so a busy machine shifts both.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, text

from app import migrate
from app.embedded.postgres import Postgres
from models.core.queries import CostQuery
from models.core.vocabulary import Granularity
from models.store.engine import make_engine
from models.store.reader import StoreReader
from models.store.task_counts import count_tasks

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)
NOW = datetime(2026, 10, 30, 23, 41, 12, tzinfo=UTC)
CALLS_PER_UNIT = 20
ATTRIBUTIONS = """
INSERT INTO attributions (project_id, attribution_id, team, environment, service, agent, agent_path, provider, model,
                          operation)
SELECT 1, n, 'team ' || n / 12, 'production', 'service ' || n / 12, 'agent ' || n / 3, 'agent ' || n / 3,
       'anthropic', 'model ' || n % 3, 'chat' FROM generate_series(0, 119) n
"""
UNITS = """
INSERT INTO work_units (project_id, unit_id, task, session, user_id, tags)
SELECT 1, n, 'task ' || n / 2, 'session ' || n, 'user ' || n % 5000, jsonb_build_object('feature', 'feature ' || n % 40)
FROM generate_series(1, CAST(:units AS bigint)) n
"""
SUMS = (
    "charges, priced_charges, listed_charges, calls, errors, unpriced_calls, unpriced_tokens, input, cache_read, "
    "cache_write_5m, cache_write_1h, cache_write_unknown, tool_use_input, output, reasoning, list_cost, billed_cost, "
    "effective_cost, cache_savings"
)
UNIT_CELLS = f"""
INSERT INTO rollup_units (project_id, grain, period_start, attribution_id, unit_id, task_id, {SUMS})
SELECT 1, 'hour', CAST(:start AS timestamptz) + interval '1 hour' * ((n * 7919) % 720),
       (n % 10) * 12 + a * 3 + (n / 10 + a) % 3, n, hashtextextended('task ' || n / 2, 0),
       5, 5, 5, 5, 0, 0, 0, 4000 + n % 100, 40000, 500, 0, 0, 0, 900, 0,
       0.031 + n * 0.000000001, 0.031 + n * 0.000000001, 0.031 + n * 0.000000001, 0.09
FROM generate_series(1, CAST(:units AS bigint)) n, generate_series(0, 3) a
"""
_ADDED = ", ".join(f"sum({name})" for name in SUMS.split(", "))
CALL_CELLS = f"""
INSERT INTO rollup_calls (project_id, grain, period_start, attribution_id, {SUMS})
SELECT project_id, :grain, date_trunc(:grain, period_start, 'UTC'), attribution_id, {_ADDED}
FROM rollup_units GROUP BY 1, 3, 4
"""
PLAIN = """
SELECT a.team, a.model, sum(r.calls), sum(r.list_cost), sum(r.billed_cost), sum(r.effective_cost)
FROM rollup_calls r JOIN attributions a USING (project_id, attribution_id)
WHERE r.project_id = 1 AND r.grain = 'day' AND r.period_start >= :start AND r.period_start < :end GROUP BY 1, 2
"""
QUESTIONS: dict[str, dict[str, object]] = {
    "totals": {},
    "by team, model": {"group_by": ("team", "model")},
    "by agent, model until now": {"group_by": ("agent", "model"), "end": NOW},
    "by agent and day": {"group_by": ("agent",), "granularity": Granularity.DAY},
    "by model, one team": {"group_by": ("model",), "filters": (("team", "team 3"),)},
    "by task": {"group_by": ("task",)},
    "by session": {"group_by": ("session",)},
    "by user": {"group_by": ("user",)},
    "by tag": {"group_by": ("tag:feature",)},
}


def fill(engine: Engine, calls: int) -> float:
    """Make the sums of this many calls and count their tasks; returns the seconds the counting took."""
    units = {"units": calls // CALLS_PER_UNIT}
    with engine.begin() as connection:
        connection.execute(text(ATTRIBUTIONS))
        connection.execute(text(UNITS), units)
        connection.execute(text(UNIT_CELLS), {**units, "start": START})
        for grain in ("hour", "day"):
            connection.execute(text(CALL_CELLS), {"grain": grain})
        connection.execute(
            text("INSERT INTO dirty_tasks (project_id, task_id) SELECT DISTINCT 1, task_id FROM rollup_units")
        )
    began = time.perf_counter()
    while True:
        with engine.begin() as connection:
            if not count_tasks(connection, 5_000):
                break
    return time.perf_counter() - began


def slowest_of_most(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds within which 95 % of the repeats end, after one that warms up."""
    work()
    taken: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)[int(len(taken) * 0.95)]


def measure(calls: int, repeats: int) -> dict[str, float]:
    """Milliseconds (p95) per question, and the seconds of counting."""
    with tempfile.TemporaryDirectory(prefix="jevons-reads-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder), durable=False)
        server.start()
        try:
            migrate.upgrade(server.url)
            engine = make_engine(server.url)
            found = {"seconds to count the tasks": fill(engine, calls)}
            owner = make_engine(server.url, role=None)
            with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM (ANALYZE)"))
            owner.dispose()

            def plain() -> None:
                with engine.connect() as connection:
                    connection.execute(text(PLAIN), {"start": START, "end": END}).all()

            found["plain SQL of the narrow rollup"] = slowest_of_most(plain, repeats)
            reader = StoreReader(engine)
            for name, more in QUESTIONS.items():
                asked = CostQuery(**{"projects": (1,), "start": START, "end": END, "limit": 100, **more})
                found[name] = slowest_of_most(lambda asked=asked: reader.costs(asked), repeats)
            found["status"] = slowest_of_most(reader.status, repeats)
            engine.dispose()
            return found
        finally:
            server.stop()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = measure(chosen.calls, chosen.repeats)
    if chosen.json:
        print(json.dumps(found))
        return
    base = found["plain SQL of the narrow rollup"]
    print(f"{chosen.calls:,} calls; p95 of {chosen.repeats}")
    for name, figure in found.items():
        shown = f"{figure:8.1f} s" if name.startswith("seconds") else f"{figure:8.1f} ms {figure / base:7.1f} ×"
        print(f"{name:<34} {shown}")


if __name__ == "__main__":
    main()
