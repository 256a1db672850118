"""Bulk copies: frames become rows by one COPY, without a Python object per value."""

import polars as pl
from psycopg import Connection as Driver
from psycopg import sql
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


def array_text(values: pl.Expr) -> pl.Expr:
    """A list column as the text of a PostgreSQL array; elements must be numbers or plain words (no quotes, commas)."""
    return (
        pl.lit("{")
        + values.cast(pl.List(pl.String)).list.eval(pl.element().fill_null("NULL")).list.join(",")
        + pl.lit("}")
    )
