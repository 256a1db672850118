"""Calls of link groups: replace what reads differently now, keep what is equal, withdraw what vanished."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
import polars as pl
from sqlalchemy import Connection, text

from models.core.telemetry import Derivation, Suppression
from models.store.bulk import copy_frame
from models.store.call_frame import ROW, call_frame
from models.store.closed_months import closed_months, enter_ledger
from models.store.engine import PLANNED_ANEW
from models.store.interning import Interner
from models.store.lookups import rows_by_key
from models.store.retention import gone_before
from models.store.tag_rules import live_rules

Key = tuple[bytes, bytes]
"""Trace and span id of a call."""

_months_made: set[tuple[str, date]] = set()


@dataclass(slots=True, frozen=True)
class Replaced:
    """What became of the calls of some traces."""

    changed: pl.DataFrame
    """Rows of `calls` that are new or read differently: they have to be rated."""
    withdrawn: Sequence[Key]
    """Calls that no longer exist: their charges have to be superseded."""
    unchanged: int


def replace_calls(
    connection: Connection, project_id: int, trace_ids: Iterable[bytes], derivation: Derivation
) -> Replaced:
    """Make the calls and suppressions of these traces what the derivation says, touching only what differs.

    The caller holds the locks of the link groups. Safe to repeat: the second time everything is unchanged.
    """
    enter_ledger(connection, project_id)
    traces = sorted(set(trace_ids))
    interner = Interner()
    rows = call_frame(project_id, derivation.calls, interner, live_rules(connection, project_id))
    closed = closed_months(connection, project_id)
    facts = "trace_id, span_id, digest, attribution_id, end_at"
    kept = rows_by_key(connection, project_id, facts, "calls", "trace_id", traces)
    before = {(bytes(row.trace_id), bytes(row.span_id)): (bytes(row.digest), row.attribution_id) for row in kept}
    keys = list(zip(rows["trace_id"], rows["span_id"], strict=True))
    differs: list[bool] = []
    for key, digest, belongs, month in zip(keys, rows["digest"], rows["attribution_id"], rows["month"], strict=True):
        found = before.get(key)
        # What rules give is frozen with the month: a rule made since then does not reach back into it.
        differs.append(found is None or found[0] != digest or (found[1] != belongs and month not in closed))
    changed = rows.filter(pl.Series(differs, dtype=pl.Boolean))
    now = set(keys)
    withdrawn = [key for key in before if key not in now]
    if withdrawn and (gone := gone_before(connection)) is not None:
        # A call whose spans were dropped for their age did not vanish: nobody can read it differently any more.
        ends = {(bytes(row.trace_id), bytes(row.span_id)): row.end_at for row in kept}
        withdrawn = [key for key in withdrawn if ends[key] >= gone]
    outdated = [key for key, differing in zip(keys, differs, strict=True) if differing and key in before]
    _delete(connection, project_id, withdrawn + outdated)
    if not changed.is_empty():
        ensure_months(connection, changed["month"].unique().to_list())
        interner.write(connection, project_id)
        copy_frame(connection, "calls", changed)
    _replace_suppressions(connection, project_id, traces, derivation.suppressed)
    return Replaced(changed, withdrawn, len(keys) - changed.height)


def ensure_months(connection: Connection, months: Iterable[date]) -> None:
    """Make the partitions of these months where they lack. Months made once are remembered per database."""
    database = str(connection.engine.url)
    for month in sorted(set(months)):
        if (database, month) not in _months_made:
            made = connection.execute(
                text("SELECT to_regclass('charges_' || to_char(CAST(:month AS date), 'YYYY_MM')) IS NOT NULL"),
                {"month": month},
            ).scalar_one()
            if made:
                _months_made.add((database, month))
            else:
                connection.execute(text("SELECT ledger_month(:month)"), {"month": month})


def load_calls(connection: Connection, project_id: int, keys: Sequence[Key]) -> pl.DataFrame:
    """Rows of `calls` as written by `replace_calls`, for rating them again."""
    found = connection.execute(
        text(
            "SELECT c.* FROM unnest(CAST(:traces AS bytea[]), CAST(:spans AS bytea[])) AS wanted (trace_id, span_id) "
            f"CROSS JOIN LATERAL (SELECT {', '.join(ROW)}, month FROM calls WHERE project_id = :project_id "
            "AND trace_id = wanted.trace_id AND span_id = wanted.span_id OFFSET 0) c"
        ),
        {"project_id": project_id, "traces": [key[0] for key in keys], "spans": [key[1] for key in keys]},
        execution_options=PLANNED_ANEW,
    )
    return frame_of_rows(found.all())


def frame_of_rows(found: Sequence[Any]) -> pl.DataFrame:
    """Rows read from `calls` (columns of call_frame.ROW, then month) as a frame; what rating ignores is left null."""
    ignored = {"inferred", "described_by", "provenance", "reported_cost", "agents"}
    names = [*ROW, "month"]
    columns: dict[str, list[Any]] = {}
    for position, name in enumerate(names):
        values: list[Any] = [row[position] for row in found]
        if name in ignored:
            values = [None] * len(values)
        elif name == "details":
            values = [None if value is None else orjson.dumps(value).decode() for value in values]
        columns[name] = values
    return pl.DataFrame(columns, schema={**ROW, "month": pl.Date})


def queue_unrated(connection: Connection, project_id: int, keys: Sequence[Key]) -> None:
    """Mark calls as waiting for their charge."""
    copy_frame(
        connection,
        "unrated_calls",
        pl.DataFrame(
            {
                "project_id": pl.Series([project_id] * len(keys), dtype=pl.Int64),
                "trace_id": pl.Series([key[0] for key in keys], dtype=pl.Binary),
                "span_id": pl.Series([key[1] for key in keys], dtype=pl.Binary),
            }
        ),
    )


def claim_unrated(connection: Connection, limit: int) -> list[tuple[int, bytes, bytes]]:
    """Take up to `limit` calls off the queue that no other transaction holds; a rollback puts them back."""
    rows = connection.execute(
        text(
            "DELETE FROM unrated_calls WHERE id IN "
            "(SELECT id FROM unrated_calls ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) "
            "RETURNING project_id, trace_id, span_id"
        ),
        {"limit": limit},
        execution_options=PLANNED_ANEW,
    )
    return [(row.project_id, bytes(row.trace_id), bytes(row.span_id)) for row in rows]


def _delete(connection: Connection, project_id: int, keys: Sequence[Key]) -> None:
    if keys:
        connection.execute(
            text(
                "DELETE FROM calls c USING unnest(CAST(:traces AS bytea[]), CAST(:spans AS bytea[])) "
                "AS gone (trace_id, span_id) "
                "WHERE c.project_id = :project_id AND c.trace_id = gone.trace_id AND c.span_id = gone.span_id"
            ),
            {"project_id": project_id, "traces": [key[0] for key in keys], "spans": [key[1] for key in keys]},
        )


def _replace_suppressions(
    connection: Connection, project_id: int, traces: Sequence[bytes], suppressed: Sequence[Suppression]
) -> None:
    found = rows_by_key(connection, project_id, "trace_id, span_id, why, of", "suppressions", "trace_id", traces)
    before = {(bytes(row.trace_id), bytes(row.span_id)): (row.why, row.of) for row in found}
    now = {(each.trace_id, each.span_id): (each.why, each.of) for each in suppressed}
    outdated = [key for key, value in before.items() if now.get(key) != value]
    fresh = [(key, value) for key, value in now.items() if before.get(key) != value]
    if outdated:
        connection.execute(
            text(
                "DELETE FROM suppressions s USING unnest(CAST(:traces AS bytea[]), CAST(:spans AS bytea[])) "
                "AS gone (trace_id, span_id) "
                "WHERE s.project_id = :project_id AND s.trace_id = gone.trace_id AND s.span_id = gone.span_id"
            ),
            {"project_id": project_id, "traces": [key[0] for key in outdated], "spans": [key[1] for key in outdated]},
        )
    frame = pl.DataFrame(
        [(project_id, *key, *value) for key, value in fresh],
        schema={
            "project_id": pl.Int64,
            "trace_id": pl.Binary,
            "span_id": pl.Binary,
            "why": pl.String,
            "of": pl.String,
        },
        orient="row",
    )
    copy_frame(connection, "suppressions", frame)
