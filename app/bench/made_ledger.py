"""A month of made-up sums in a running instance, so that questions meet a ledger of the size they are measured at.

Five calls per cell, four cells per unit of work, two units per task, 120 attributions, 720 hours of October 2026: what
rating would have left behind of that many calls, made by INSERT … SELECT because a benchmark has minutes, not days.
"""

import time

from sqlalchemy import Engine, text

from app.bench.client import BenchFailed
from models.store.engine import make_engine

CALLS_PER_UNIT = 20
START, END = "2026-10-01T00:00:00Z", "2026-10-31T00:00:00Z"
COUNT_SECONDS = 300.0
ATTRIBUTIONS = """
INSERT INTO attributions (project_id, attribution_id, team, environment, service, agent, agent_path, provider, model,
                          operation)
SELECT 1, n, 'team ' || n / 12, 'production', 'service ' || n / 12, 'agent ' || n / 3, 'agent ' || n / 3,
       'anthropic', 'model ' || n % 3, 'chat' FROM generate_series(0, 119) n ON CONFLICT DO NOTHING
"""
UNITS = """
INSERT INTO work_units (project_id, unit_id, task, session, user_id, tags)
SELECT 1, n, 'task ' || n / 2, 'session ' || n, 'user ' || n % 5000, jsonb_build_object('feature', 'feature ' || n % 40)
FROM generate_series(1, CAST(:units AS bigint)) n ON CONFLICT DO NOTHING
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
FROM rollup_units WHERE period_start >= :start AND period_start < :end GROUP BY 1, 3, 4
"""
DIRTY_TASKS = """
INSERT INTO dirty_tasks (project_id, task_id)
SELECT DISTINCT 1, task_id FROM rollup_units
WHERE period_start >= :start AND period_start < :end AND task_id IS NOT NULL
"""
PLAIN = """
SELECT a.team, a.model, sum(r.calls), sum(r.list_cost), sum(r.billed_cost), sum(r.effective_cost)
FROM rollup_calls r JOIN attributions a USING (project_id, attribution_id)
WHERE r.project_id = 1 AND r.grain = 'day' AND r.period_start >= :start AND r.period_start < :end GROUP BY 1, 2
"""
MONTH = {"start": START, "end": END}


def fill(database_url: str, calls: int) -> float:
    """Make the sums of this many calls, let the workers count their tasks; returns the seconds that took."""
    began = time.monotonic()
    units = {"units": calls // CALLS_PER_UNIT}
    engine = make_engine(database_url, pool_size=1)
    try:
        with engine.begin() as connection:
            # One month is made: a second, larger one replaces the first.
            for table in ("rollup_units", "rollup_calls"):
                connection.execute(
                    text(f"DELETE FROM {table} WHERE period_start >= :start AND period_start < :end"), MONTH
                )
            connection.execute(text(ATTRIBUTIONS))
            connection.execute(text(UNITS), units)
            connection.execute(text(UNIT_CELLS), {**units, "start": START})
            for grain in ("hour", "day"):
                connection.execute(text(CALL_CELLS), {"grain": grain, **MONTH})
            connection.execute(text(DIRTY_TASKS), MONTH)
        _await_counting(engine)
    finally:
        engine.dispose()
    owner = make_engine(database_url, role=None, pool_size=1)
    try:
        with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE)"))
    finally:
        owner.dispose()
    return time.monotonic() - began


def _await_counting(engine: Engine) -> None:
    began = time.monotonic()
    while True:
        with engine.connect() as connection:
            if not connection.execute(text("SELECT EXISTS (SELECT 1 FROM dirty_tasks)")).scalar_one():
                return
        if time.monotonic() - began > COUNT_SECONDS:
            raise BenchFailed(f"tasks were still being counted after {COUNT_SECONDS:.0f} s")
        time.sleep(0.25)


def plain_sql_ms(database_url: str, repeats: int) -> float:
    """Milliseconds (p95) of adding up the daily cells by team and model with nothing around it: the limit."""
    engine = make_engine(database_url, pool_size=1)
    took: list[float] = []
    try:
        with engine.connect() as connection:
            for _ in range(repeats + 1):
                began = time.perf_counter()
                connection.execute(text(PLAIN), MONTH).all()
                took.append((time.perf_counter() - began) * 1000)
    finally:
        engine.dispose()
    return sorted(took[1:])[int(repeats * 0.95)]
