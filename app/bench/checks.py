"""What must hold after any load: acknowledged = stored, stored = priced, charges = sums. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
import sqlalchemy
from sqlalchemy import text

from app.bench.payloads import Template, trace_prefix
from models.store.engine import make_engine

SNAPSHOT = "REPEATABLE READ"
STORED = """
SELECT coalesce(sum(greatest(s.spans - coalesce(f.n, 0), 0)), 0) AS missing,
       coalesce(sum(greatest(coalesce(f.n, 0) - s.spans, 0)), 0) AS too_many,
       coalesce(sum(f.n), 0) AS stored
FROM sent s LEFT JOIN (SELECT substring(trace_id FROM 1 FOR 8) AS prefix, count(*) AS n FROM spans GROUP BY 1) f
USING (prefix)
"""
TWICE = """
SELECT count(*) FROM (
    SELECT 1 FROM spans GROUP BY project_id, trace_id, span_id HAVING count(*) > 1
) twice
"""
LIVE = "superseded_at IS NULL"
CALLS = f"""
SELECT (SELECT count(*) FROM calls) AS calls,
       (SELECT count(*) FROM charges WHERE {LIVE} AND charge_class = 'usage') AS charges,
       (SELECT count(*) FROM charges WHERE {LIVE} AND price_status = 'priced') AS priced,
       (SELECT count(*) FROM calls c WHERE NOT EXISTS (
           SELECT 1 FROM charges h WHERE h.project_id = c.project_id AND h.origin_id = c.trace_id
           AND h.span_id = c.span_id AND h.month = c.month AND h.superseded_at IS NULL)) AS uncharged
"""
_TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_unknown", "output", "reasoning")
_COSTS = ("list_cost", "billed_cost", "effective_cost")
_SUMS = ", ".join(f"sum({name})::numeric AS {name}" for name in ("charges", "priced_charges", *_TOKENS, *_COSTS))
_ADDED_UP = ", ".join(
    [
        "count(*)::numeric AS charges",
        "(count(*) FILTER (WHERE price_status = 'priced'))::numeric AS priced_charges",
        # A rollup's 0 where no charge told a count; a charge keeps it null.
        *(f"coalesce(sum({name}), 0)::numeric AS {name}" for name in (*_TOKENS, *_COSTS)),
    ]
)
CELLS = {
    "hours": ("rollup_calls", "hour", "attribution_id"),
    "days": ("rollup_calls", "day", "attribution_id"),
    "months": ("rollup_calls", "month", "attribution_id"),
    "units": ("(SELECT 'hour' AS grain, c.* FROM unit_cells c) units", "hour", "attribution_id, unit_id"),
}
"""Sums → their table, their grain and what a cell is."""
_DIFFERENT = """
WITH kept AS (SELECT project_id, period_start, {cell}, {sums} FROM {table} WHERE grain = '{grain}'
              GROUP BY project_id, period_start, {cell}),
     again AS (SELECT project_id, date_trunc('{grain}', end_at, 'UTC') AS period_start, {cell}, {added}
               FROM charges WHERE superseded_at IS NULL GROUP BY 1, 2, {cell})
SELECT (SELECT count(*) FROM (TABLE kept EXCEPT TABLE again) a WHERE a.charges <> 0)
     + (SELECT count(*) FROM (TABLE again EXCEPT TABLE kept) b)
"""


@dataclass(slots=True)
class Verdicts:
    """Statements that hold or do not, printed as they are made."""

    made: list[dict[str, object]] = field(default_factory=list[dict[str, object]])

    def say(self, what: str, holds: bool, detail: str) -> bool:
        """Note one."""
        self.made.append({"what": what, "holds": holds, "detail": detail})
        print(f"{'holds' if holds else 'FAILS'}  {what}: {detail}", flush=True)  # noqa: T201
        return holds

    @property
    def all_hold(self) -> bool:
        """Whether none failed."""
        return all(bool(one["holds"]) for one in self.made)


@dataclass(slots=True, frozen=True)
class Stored:
    """Acknowledged spans against what is in the database, by their ids."""

    acknowledged: int
    stored: int
    missing: int
    too_many: int
    twice: int
    """Spans of any sender that are there more than once."""


def stored(database_url: str, acknowledged: Sequence[tuple[int, int]], templates: Sequence[Template]) -> Stored:
    """Look every acknowledged request's spans up, request by request: (number, which template) each."""
    engine = make_engine(database_url, role=None, pool_size=1)
    try:
        with engine.connect() as connection:
            connection.execute(text("CREATE TEMP TABLE sent (prefix bytea, spans int) ON COMMIT DROP"))
            raw: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            with raw.cursor().copy("COPY sent FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(("bytea", "int4"))
                for number, which in acknowledged:
                    copy.write_row((trace_prefix(number), templates[which].spans))
            row = connection.execute(text(STORED)).one()
            twice = int(connection.execute(text(TWICE)).scalar_one())
            connection.rollback()
    finally:
        engine.dispose()
    total = sum(templates[which].spans for _, which in acknowledged)
    return Stored(total, int(row.stored), int(row.missing), int(row.too_many), twice)


def say_stored(verdicts: Verdicts, found: Stored) -> bool:
    """Acknowledged = stored, each once."""
    return verdicts.say(
        "every acknowledged span is stored once",
        not (found.missing or found.too_many or found.twice),
        f"{found.acknowledged:,} acknowledged, {found.stored:,} stored, {found.missing} missing, {found.twice} twice",
    )


def check_ledger(verdicts: Verdicts, database_url: str, calls_at_least: int, calls_at_most: int | None = None) -> None:
    """Stored = priced, and charges = sums, cell by cell. What was sent but not acknowledged may be stored as well."""
    engine = make_engine(database_url, pool_size=1)
    try:
        with engine.connect().execution_options(isolation_level=SNAPSHOT) as connection:
            row = connection.execute(text(CALLS)).one()
            most = calls_at_least if calls_at_most is None else calls_at_most
            verdicts.say(
                "every stored call is charged once and priced",
                calls_at_least <= row.calls <= most and row.charges == row.priced == row.calls and not row.uncharged,
                f"{calls_at_least:,} sent, {row.calls:,} calls, {row.charges:,} charges, {row.priced:,} priced",
            )
            off = {name: _cells_off(connection, *cell) for name, cell in CELLS.items()}
            verdicts.say(
                "sums = charges, cell by cell",
                not any(off.values()),
                ", ".join(f"{count} cells of {name} differ" for name, count in off.items()),
            )
    finally:
        engine.dispose()


def _cells_off(connection: sqlalchemy.Connection, table: str, grain: str, cell: str) -> int:
    query = _DIFFERENT.format(table=table, grain=grain, cell=cell, sums=_SUMS, added=_ADDED_UP)
    return int(connection.execute(text(query)).scalar_one())
