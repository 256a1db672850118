"""Bulk copies: frames become rows, and rows frames, by one COPY, without a Python object per value."""

import re
from collections.abc import Mapping
from typing import LiteralString, cast

import polars as pl
from psycopg import Connection as Driver
from psycopg import sql
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from sqlalchemy import Connection

NULL = "\\N"
"""Unquoted it is null; every string is quoted, so that a text of two such characters stays a text."""


def driver(connection: Connection) -> Driver:
    """The psycopg connection below a SQLAlchemy one; its transaction is the same."""
    found = connection.connection.driver_connection
    if not isinstance(found, Driver):
        raise TypeError(f"bulk copies need psycopg, not {type(found).__name__}. Use a postgresql+psycopg:// address.")
    return found


def copy_frame(connection: Connection, table: str, frame: pl.DataFrame) -> int:
    """Append the rows of a frame to a table by COPY; columns go by name. Returns the number of rows.

    Shapes   binary columns are written as bytea, decimals exactly, arrays as made by `array_text`.
    """
    if frame.is_empty():
        return 0
    binary = [name for name, kind in frame.schema.items() if kind == pl.Binary]
    text = frame.with_columns((pl.lit("\\x") + pl.col(name).bin.encode("hex")).alias(name) for name in binary)
    body = text.write_csv(
        include_header=False, null_value=NULL, quote_style="non_numeric", datetime_format="%Y-%m-%dT%H:%M:%S%.6f%z"
    )
    command = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, NULL {})").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, frame.columns)), sql.Literal(NULL)
    )
    with driver(connection).cursor() as cursor, cursor.copy(command) as copy:
        copy.write(body)
    return frame.height


def read_frame(
    connection: Connection, query: str, parameters: Mapping[str, object], schema: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    """The rows of a query as a frame by one COPY, without a Python object per value.

    Shapes   `query` with %(name)s for parameters, columns in the order of the schema: numbers, texts and bytea.
    """
    values = {name: sql.Literal(value) for name, value in parameters.items()}
    # A query of our own with values quoted by the driver: COPY takes no parameters.
    placed = sql.SQL(cast(LiteralString, re.sub(r"%\((\w+)\)s", r"{\1}", query))).format(**values)
    command = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, NULL {})").format(placed, sql.Literal(NULL))
    body = _copied_out(driver(connection), command)
    read = {name: pl.String() if kind == pl.Binary else kind for name, kind in schema.items()}
    if not body:
        return pl.DataFrame(schema=dict(schema))
    frame = pl.read_csv(body, has_header=False, new_columns=list(read), schema=read, null_values=NULL)
    binary = [name for name, kind in schema.items() if kind == pl.Binary]
    return frame.with_columns(pl.col(name).str.slice(2).str.decode("hex") for name in binary)


def _copied_out(connection: Driver, command: sql.Composed) -> bytes:
    """What a COPY … TO STDOUT gives. Straight from libpq: a generator per row takes longer than the row."""
    wire = connection.pgconn
    begun = wire.exec_(command.as_bytes(connection))
    if begun.status != ExecStatus.COPY_OUT:
        raise error_from_result(begun)
    rows: list[bytes] = []
    while True:
        size, row = wire.get_copy_data(0)
        if size < 0:
            break
        rows.append(bytes(row))
    while (ended := wire.get_result()) is not None:
        if ended.status != ExecStatus.COMMAND_OK:
            raise error_from_result(ended)
    return b"".join(rows)


def array_text(values: pl.Expr) -> pl.Expr:
    """A list column as the text of a PostgreSQL array; elements must be numbers or plain words (no quotes, commas)."""
    return (
        pl.lit("{")
        + values.cast(pl.List(pl.String)).list.eval(pl.element().fill_null("NULL")).list.join(",")
        + pl.lit("}")
    )
