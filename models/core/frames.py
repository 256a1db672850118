"""Column contracts of the frames that pricing works on, and sums that keep unknown apart from zero."""

import polars as pl

from models.core.errors import FrameSchemaError
from models.core.money import SCALE

USD = pl.Decimal(38, SCALE)
"""Money in a frame; never Float."""


def known_sum(column: str) -> pl.Expr:
    """Sum that is null when nothing is known. Polars' own sum of nulls is 0, which would make unknown free."""
    known = pl.col(column).is_not_null()
    return pl.when(known.any()).then(pl.col(column).sum()).otherwise(None).alias(column)


def checked(frame: pl.DataFrame, name: str, schema: dict[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    """The frame itself when it has every column of the contract with its type.

    Raises   FrameSchemaError naming each missing or mistyped column.
    """
    problems = [f"column {column} is missing" for column in schema if column not in frame.columns]
    problems += [
        f"column {column} is {frame.schema[column]}, not {kind}"
        for column, kind in schema.items()
        if column in frame.columns and frame.schema[column] != kind
    ]
    if problems:
        raise FrameSchemaError(name, problems)
    return frame
