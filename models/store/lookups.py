"""Rows by many keys: one look into an index per key, however large the table is and whatever is known of it."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from models.store.engine import PLANNED_ANEW
from models.store.packed_arrays import ByteStrings, Int8s, byte_strings, int8s


def rows_by_key(
    connection: Connection,
    project_id: int,
    columns: str,
    table: str,
    key: str,
    wanted: Collection[bytes] | Collection[int],
    conditions: Sequence[str] = ("true",),
) -> Sequence[Row[Any]]:
    """Columns of a project's rows with one of these keys, in any order.

    Shapes   distinct `wanted` values of column `key`; rows that meet one of `conditions`, of which no two may hold for
             one row. Each condition is looked up on its own, so that each may have an index of its own.
    """
    if not wanted:
        return ()
    kind, keys = _packed(wanted)
    # Not `key = ANY(…)`: until a table was analysed for the first time, the planner reads a whole project for that.
    # A lateral that ends with OFFSET 0 is not turned into another join.
    looks = " UNION ALL ".join(
        f"SELECT {columns} FROM {table} WHERE project_id = :project_id AND {key} = wanted.key AND {condition}"
        for condition in conditions
    )
    query = text(
        f"SELECT found.* FROM unnest(CAST(:wanted AS {kind}[])) AS wanted (key) "
        f"CROSS JOIN LATERAL ({looks} OFFSET 0) AS found"
    )
    scope = {"project_id": project_id, "wanted": keys}
    return connection.execute(query, scope, execution_options=PLANNED_ANEW).all()


def _packed(wanted: Collection[bytes] | Collection[int]) -> tuple[str, ByteStrings | Int8s]:
    """The type of the keys, and the keys as one parameter."""
    names = [key for key in wanted if isinstance(key, bytes)]
    if names:
        return "bytea", byte_strings(names)
    return "bigint", int8s([key for key in wanted if isinstance(key, int)])
