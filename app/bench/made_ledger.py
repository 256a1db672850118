"""A ledger of many calls, made by INSERT … SELECT from a few hundred calls that were priced as any other.

A month of agents at work: 20 teams of 12 attributions, tasks of ten calls over some minutes, five tasks to a session,
20,000 users, tags of 40 features and 200 tenants. The charges are copies of real ones with another time, trace and
unit of work; the sums are made from the charges by the product itself.
"""

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from app.bench.client import BenchFailed
from app.tasks.pricing import charges_of
from models.core.telemetry import Call, TokenCounts
from models.core.time import ns_of_utc
from models.core.vocabulary import CallStatus, UsageSource
from models.store.backlog import backlog
from models.store.bulk import copy_frame
from models.store.call_frame import call_frame
from models.store.calls import ensure_months
from models.store.engine import make_engine
from models.store.interning import Interner
from models.store.projects import list_projects
from models.store.rollups import rebuild_hours

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
CALLS_PER_TASK = 10
TEAMS, AGENTS, SIZES = 20, 3, 2
MODELS = (
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("openai", "gpt-4.1"),
    ("openai", "gpt-4.1-mini"),
)
PER_TEAM = AGENTS * len(MODELS) * SIZES
BATCH_CALLS = 500_000
COUNT_SECONDS = 300.0
PLAIN = """
SELECT a.team, a.model, sum(r.calls), sum(r.list_cost), sum(r.billed_cost), sum(r.effective_cost)
FROM rollup_calls r JOIN attributions a USING (project_id, attribution_id)
WHERE r.grain = 'day' AND r.period_start >= :start AND r.period_start < :end GROUP BY 1, 2
"""
UNITS = """
INSERT INTO work_units (project_id, unit_id, task, session, user_id, tags)
SELECT :project_id, t, 'task ' || t, 'session ' || t / 5, 'user ' || t / 5 * 7919 % 20000,
       jsonb_build_object('feature', 'feature ' || t % 40, 'tenant', 'tenant ' || t / 5 * 7919 % 200)
FROM generate_series(CAST(:from_task AS bigint), CAST(:to_task AS bigint) - 1) t ON CONFLICT DO NOTHING
"""
# Two models per agent and task, three agents of one team, one call after the other.
_CALL = """
SELECT n, t, decode(lpad(to_hex(t), 16, '0') || md5(t::text), 'hex') AS long_id,
       CAST(:start AS timestamptz) + (t - :first_task) * (CAST(:width AS interval) / :tasks)
       + (n - t * :per_task) * interval '37 seconds' + n % 1000 * interval '1 millisecond' AS end_at,
       t % :teams * :per_team + (n - t * :per_task) % :agents * (:per_team / :agents)
       + ((t + n) % 2 + t % 3) * 2 + n % 2 AS template
FROM (SELECT n, n / :per_task AS t
      FROM generate_series(CAST(:from_call AS bigint), CAST(:to_call AS bigint) - 1) n) numbered
"""


def fill(database_url: str, calls: int, already: int = 0) -> float:
    """Make the month one of `calls` calls, their charges and every sum of them; returns the seconds that took.

    They are of the first project. `already` is how many an earlier filling made.

    Raises   BenchFailed where tasks are still being counted long after.
    """
    began = time.monotonic()
    engine = make_engine(database_url, pool_size=1)
    try:
        with engine.connect() as connection:
            project_id = list_projects(connection)[0].id
        _make(engine, project_id, calls, already)
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


def _make(engine: Engine, project_id: int, calls: int, already: int) -> None:
    facts = {
        "project_id": project_id,
        "start": START,
        "end": END,
        "width": END - START,
        "first_task": already // CALLS_PER_TASK,
        "tasks": (calls - already) // CALLS_PER_TASK,
        "per_task": CALLS_PER_TASK,
        "teams": TEAMS,
        "agents": AGENTS,
        "per_team": PER_TEAM,
    }
    with engine.begin() as connection:
        ensure_months(connection, [START.date()])
    for first in range(already, calls, BATCH_CALLS):
        last = min(first + BATCH_CALLS, calls)
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            connection.execute(text("SET LOCAL work_mem = '256MB'"))
            _templates(connection, project_id)
            _made(connection, {**facts, "from_call": first, "to_call": last})
            _copy(connection)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        connection.execute(text("SET LOCAL work_mem = '512MB'"))
        rebuild_hours(connection, project_id, START, END)


def _await_counting(engine: Engine) -> None:
    began = time.monotonic()
    while True:
        with engine.connect() as connection:
            if not set(backlog(connection)) & {"count", "rollup"}:
                return
        if time.monotonic() - began > COUNT_SECONDS:
            raise BenchFailed(f"sums were still being put together after {COUNT_SECONDS:.0f} s")
        time.sleep(0.5)


def plain_sql_ms(database_url: str, repeats: int) -> float:
    """Milliseconds (p95) of adding up the daily cells by team and model with nothing around it: the limit."""
    engine = make_engine(database_url, pool_size=1)
    took: list[float] = []
    try:
        with engine.connect() as connection:
            for _ in range(repeats + 1):
                began = time.perf_counter()
                connection.execute(text(PLAIN), {"start": START, "end": END}).all()
                took.append((time.perf_counter() - began) * 1000)
    finally:
        engine.dispose()
    return sorted(took[1:])[int(repeats * 0.95)]


def _templates(connection: Connection, project_id: int) -> None:
    """Stage one priced call per attribution and size of its request, numbered."""
    interner = Interner()
    calls = [
        _call(team, agent, model, size)
        for team in range(TEAMS)
        for agent in range(AGENTS)
        for model in MODELS
        for size in range(SIZES)
    ]
    rows = call_frame(project_id, calls, interner)
    interner.write(connection, project_id)
    for stage, frame in (("calls", rows), ("charges", charges_of(connection, project_id, rows))):
        name = f"made_{stage}"
        connection.execute(text(f"CREATE TEMP TABLE {name} ON COMMIT DROP AS TABLE {stage} WITH NO DATA"))
        connection.execute(text(f"ALTER TABLE {name} ADD COLUMN template bigint GENERATED ALWAYS AS IDENTITY"))
        copy_frame(connection, name, frame)


def _call(team: int, agent: int, model: tuple[str, str], size: int) -> Call:
    end_ns = ns_of_utc(START) + 1
    return Call(
        trace_id=(team + 1).to_bytes(16, "big"),
        span_id=(agent * 100 + MODELS.index(model) * 10 + size + 1).to_bytes(8, "big"),
        start_ns=end_ns - 800_000_000,
        end_ns=end_ns,
        status=CallStatus.OK,
        provider=model[0],
        model=model[1],
        request_model=model[1],
        operation="chat",
        instrumentation="bench@1",
        usage_source=UsageSource.REPORTED,
        convention="exclusive",
        convention_reason="made for measuring",
        tokens=TokenCounts(
            input=1_200 + 37 * team + 900 * size, cache_read=20_000 * size + 11 * agent, output=400 + 13 * team
        ),
        team=f"team {team}",
        cost_center=f"cost center {team // 4}",
        environment="production",
        service=f"service {team}",
        agent=f"agent {team}.{agent}",
        agent_path=f"lead {team}/agent {team}.{agent}",
    )


def _made(connection: Connection, facts: dict[str, Any]) -> None:
    """Stage which call is when, of which task, and like which template; and keep their units of work."""
    first, last = facts["from_call"] // CALLS_PER_TASK, -(-facts["to_call"] // CALLS_PER_TASK)
    connection.execute(text(UNITS), {**facts, "from_task": first, "to_task": last})
    connection.execute(text(f"CREATE TEMP TABLE made ON COMMIT DROP AS {_CALL}"), facts)
    connection.execute(text("ANALYZE made"))


def _copy(connection: Connection) -> None:
    """The staged calls and their charges."""
    ends_ns = "(extract(epoch FROM m.end_at) * 1000000)::bigint * 1000"
    changed = {
        "trace_id": "substr(m.long_id, 1, 16)",
        "origin_id": "substr(m.long_id, 1, 16)",
        "span_id": "int8send(m.n + 1)",
        "month": "date_trunc('month', m.end_at, 'UTC')::date",
        "end_at": "m.end_at",
        "start_ns": f"{ends_ns} - 800000000",
        "end_ns": ends_ns,
        "unit_id": "m.t",
    }
    for table in ("calls", "charges"):
        names = connection.execute(
            text(
                "SELECT column_name FROM information_schema.columns WHERE table_name = :name "
                "AND column_name NOT IN ('charge_id', 'recorded_at', 'superseded_at') ORDER BY ordinal_position"
            ),
            {"name": table},
        ).scalars()
        columns = list(names)
        values = ", ".join(changed.get(name, f"o.{name}") for name in columns)
        connection.execute(
            text(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM made m "
                f"JOIN made_{table} o ON o.template = m.template + 1 WHERE m.end_at < :end"
            ),
            {"end": END},
        )
