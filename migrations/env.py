"""Alembic's environment: migrates the connection it is handed, as the role that owns the tables."""

import importlib
import pkgutil

from alembic import context
from sqlalchemy import Connection, MetaData, text

import models.tables
from models.tables.base import Base

PARTITIONS = text("SELECT relname FROM pg_class WHERE relispartition")


def every_table() -> MetaData:
    """The metadata with all of models.tables."""
    for module in pkgutil.iter_modules(models.tables.__path__, "models.tables."):
        importlib.import_module(module.name)
    return Base.metadata


def run(connection: Connection) -> None:
    """Compare or migrate. Partitions come and go by day; they are no part of the schema compared."""
    partitions = set(connection.execute(PARTITIONS).scalars())
    context.configure(
        connection=connection,
        # Going up and down needs the naming convention alone; leaving the tables out makes every start faster.
        target_metadata=every_table() if context.config.attributes["compare"] else Base.metadata,
        include_name=lambda name, kind, _parents: kind != "table" or name not in partitions,
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
