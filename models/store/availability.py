"""Whether a database error says "not now": the server is away, starting, stopping or full, and may be back soon."""

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError, TimeoutError

CANCELLED = "57014"
"""A statement that ran into its time limit: the same one would again."""


def is_unavailable(fault: BaseException) -> bool:
    """Whether the same work may succeed later, unchanged, once the database is there again.

    Takes errors of SQLAlchemy and of psycopg itself: COPY speaks to the driver directly.
    """
    driver = fault.orig if isinstance(fault, DBAPIError) else fault
    if getattr(driver, "sqlstate", None) == CANCELLED:
        return False
    if isinstance(fault, DBAPIError) and fault.connection_invalidated:
        return True
    # A connection that broke inside of a transaction leaves PendingRollbackError to whoever uses it next.
    return isinstance(
        fault,
        (
            OperationalError,
            InterfaceError,
            TimeoutError,
            PendingRollbackError,
            psycopg.OperationalError,
            psycopg.InterfaceError,
        ),
    )
