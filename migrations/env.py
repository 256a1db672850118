"""Alembic's environment: migrates the connection it is handed, as the role that owns the tables."""

import importlib
import pkgutil

from alembic import context
from sqlalchemy import Connection, text

import models.tables
from models.tables.base import Base

PARTITIONS = text("SELECT relname FROM pg_class WHERE relispartition")


def every_table() -> None:
    """Import all of models.tables, so that the metadata knows every table."""
    for module in pkgutil.iter_modules(models.tables.__path__, "models.tables."):
        importlib.import_module(module.name)


def run(connection: Connection) -> None:
    """Compare or migrate. Partitions come and go by day; they are no part of the schema compared."""
    every_table()
    partitions = set(connection.execute(PARTITIONS).scalars())
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=lambda name, kind, _parents: kind != "table" or name not in partitions,
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
