"""Connections: every one takes its role on connect, so that no statement runs with the login's own rights."""

from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url

from models.store import packed_arrays

APP_ROLE = "jevons_app"
OWNER_ROLE = "jevons_owner"
RECYCLE_SECONDS = 180
PLANNED_ANEW: Final = {"planned_anew": True}
"""Execution options of a statement that looks up many keys in a table that grows: it is planned for the table as it is.

A prepared statement keeps the plan of its first executions until the table is analysed, and a plan made while the
table had a few pages reads all of it, for every key.
"""


def normalised_url(url: str) -> str:
    """The address with the driver we ship (psycopg 3), however its scheme is written."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def make_engine(url: str, *, role: str | None = APP_ROLE, pool_size: int = 5, max_overflow: int = 5) -> Engine:
    """A pool of connections in UTC that have set `role`; None keeps the login's (migrations, before roles exist)."""
    engine = create_engine(
        normalised_url(url),
        pool_size=pool_size,
        max_overflow=max_overflow,
        # The last one given back first: its server process has its caches filled and its statements prepared.
        pool_use_lifo=True,
        # A server process keeps what it ever planned and looked up, for minutes more and more: a fresh one takes its
        # place before that is much.
        pool_recycle=RECYCLE_SECONDS,
        # A server that restarted must not cost the next request an error.
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10, "application_name": "jevons"},
    )

    @event.listens_for(engine, "do_execute")
    def plan_anew(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        if not context.execution_options.get("planned_anew"):
            return False
        cursor.execute(statement, parameters, prepare=False)
        return True

    @event.listens_for(engine, "connect")
    def take_role(connection: Any, _record: Any) -> None:
        packed_arrays.register(connection.adapters)
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
            if role is not None:
                cursor.execute(f"SET ROLE {role}")
        connection.commit()

    return engine
