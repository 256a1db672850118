"""Interned dimensions: an attribution and a unit of work are kept once and named by a 64-bit hash."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson
import polars as pl
from sqlalchemy import Connection, text

from models.core.telemetry import Call
from models.store.bulk import copy_frame
from models.store.lookups import rows_by_key

ATTRIBUTION = (
    "team",
    "cost_center",
    "environment",
    "service",
    "agent",
    "agent_path",
    "provider",
    "model",
    "deployment",
    "operation",
    "hardware",
    "team_rule_id",
    "cost_center_rule_id",
)
"""Columns of an attribution, in the order in which they are hashed; the rules only where one gave a value."""
RULE_IDS = slice(-2, None)
UNIT = ("task", "session", "user_id")


class Interner:
    """Ids of the attributions and units of one batch: each distinct one is hashed once and written once."""

    def __init__(self) -> None:
        self.attributions: dict[tuple[Any, ...], int] = {}
        self.units: dict[tuple[str | None, ...], int] = {}

    def attribution(self, call: Call) -> int:
        """Id of the narrow dimensions of a call."""
        key = (
            call.team,
            call.cost_center,
            call.environment,
            call.service,
            call.agent,
            call.agent_path,
            call.provider,
            call.model,
            None,
            call.operation,
            None,
            None,
            None,
        )
        found = self.attributions.get(key)
        if found is None:
            found = self.attributions[key] = attribution_hash(key)
        return found

    def unit(self, call: Call) -> int:
        """Id of task, session, user and tags of a call."""
        tags = orjson.dumps(dict(call.tags), option=orjson.OPT_SORT_KEYS).decode() if call.tags else "{}"
        key = (call.task, call.session, call.user, tags)
        found = self.units.get(key)
        if found is None:
            found = self.units[key] = _hash(key)
        return found

    def intern(self, values: Mapping[str, Any]) -> int:
        """Id of narrow dimensions given by name; those not given have no value."""
        key = tuple(values.get(name) for name in ATTRIBUTION)
        return self.attributions.setdefault(key, attribution_hash(key))

    def nothing(self) -> int:
        """Id of the unit of work that is none: what belongs to no call."""
        key = (None, None, None, "{}")
        return self.units.setdefault(key, _hash(key))

    def write(self, connection: Connection, project_id: int) -> None:
        """Keep those that are not kept yet. Safe to repeat: the id says what the row holds."""
        _keep(connection, project_id, "attributions", "attribution_id", ATTRIBUTION, self.attributions.items())
        _keep(connection, project_id, "work_units", "unit_id", (*UNIT, "tags"), self.units.items())


def attribution_hash(key: Sequence[Any]) -> int:
    """Id of the values of ATTRIBUTION."""
    return _hash(key) if any(rule is not None for rule in key[RULE_IDS]) else _hash(key[: RULE_IDS.start])


def _hash(key: Sequence[Any]) -> int:
    return int.from_bytes(blake2b(orjson.dumps(key), digest_size=8).digest(), "big", signed=True)


def _keep(
    connection: Connection,
    project_id: int,
    table: str,
    id_column: str,
    columns: Sequence[str],
    found: Iterable[tuple[tuple[Any, ...], int]],
) -> None:
    rows = {number: values for values, number in found}
    if not rows:
        return
    for (number,) in rows_by_key(connection, project_id, id_column, table, id_column, rows):
        del rows[number]
    if not rows:
        return
    stage = f"{table}_stage"
    connection.execute(
        text(f"CREATE TEMP TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS TABLE {table} WITH NO DATA")
    )
    connection.execute(text(f"DELETE FROM {stage}"))
    # In id order, so that two writers of the same new rows wait for one another instead of deadlocking.
    ordered = sorted(rows)
    frame = pl.DataFrame(
        {
            "project_id": pl.Series([project_id] * len(ordered), dtype=pl.Int64),
            id_column: pl.Series(ordered, dtype=pl.Int64),
            **{
                column: pl.Series(
                    [None if (value := rows[number][position]) is None else str(value) for number in ordered],
                    dtype=pl.String,
                )
                for position, column in enumerate(columns)
            },
        }
    )
    copy_frame(connection, stage, frame)
    names = ", ".join(frame.columns)
    connection.execute(
        text(f"INSERT INTO {table} ({names}) SELECT {names} FROM {stage} ORDER BY {id_column} ON CONFLICT DO NOTHING")
    )
