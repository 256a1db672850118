"""The two roles: `jevons_owner` owns and migrates, `jevons_app` does everything else."""

from sqlalchemy import Connection, text

OWNER = "jevons_owner"
APP = "jevons_app"
OLDEST_SERVER = 160000
"""PostgreSQL 16: from there on a role that may create roles may also grant them to itself."""


def prepare_roles(connection: Connection) -> None:
    """Create both roles and grant them to the login role; safe to repeat and under concurrency.

    Roles belong to the whole server, databases share them: a second creator finds them made.

    Raises   RuntimeError on a server older than PostgreSQL 16.
    """
    found = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if found < OLDEST_SERVER:
        raise RuntimeError(f"PostgreSQL {found // 10000} is too old; Jevons needs 16 or later.")
    for role in (OWNER, APP):
        if connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).first() is None:
            connection.execute(
                text(
                    f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; "
                    "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
                )
            )
        may_set = text("SELECT pg_has_role(current_user, CAST(:role AS text), 'SET')")
        if not connection.execute(may_set, {"role": role}).scalar_one():
            connection.execute(text(f"GRANT {role} TO CURRENT_USER WITH SET TRUE"))
    connection.execute(text(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {APP}"))
