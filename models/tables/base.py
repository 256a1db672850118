"""The base of every table: names of constraints, and the column types of money and counts."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, MetaData, Numeric
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Usd = Annotated[Decimal, mapped_column(Numeric(38, 15))]
"""A cost: exact, scale 15."""
Price = Annotated[Decimal, mapped_column(Numeric(20, 9))]
"""A price per million, per hour or per request."""
Count = Annotated[int, mapped_column(BigInteger)]
"""Tokens or other countables."""
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
"""A point in time, UTC."""


class Base(DeclarativeBase):
    """Registry of all tables; `alembic check` compares it with the database."""

    metadata = MetaData(naming_convention=NAMES)
