"""Backup and restore of the database by PostgreSQL's own tools."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import make_url, text

from app import migrate
from app.embedded.process import EmbeddedServerError
from models.core.errors import BadInput, JevonsError
from models.store.engine import make_engine


class DumpFailed(JevonsError):
    """pg_dump or pg_restore ended with an error."""

    code = "dump"


def tool(name: str) -> str:
    """`pg_dump` or `pg_restore`: the wheel's, else the one on the PATH.

    Raises   DumpFailed where there is neither.
    """
    from app.embedded.postgres import MAJOR, wheel

    try:
        return str(wheel() / f"pginstall{MAJOR}" / "bin" / name)
    except EmbeddedServerError:
        found = shutil.which(name)
        if found is None:
            raise DumpFailed(f"{name} is not installed. Install PostgreSQL's client tools.") from None
        return found


def _run(command: list[str], url: str) -> None:
    parsed = make_url(url)
    # In the environment: a command line is seen by everybody on the machine.
    environment = {
        **os.environ,
        "PGHOST": parsed.host or "",
        "PGPORT": str(parsed.port or 5432),
        "PGUSER": parsed.username or "",
        "PGPASSWORD": str(parsed.password or ""),
        "PGDATABASE": parsed.database or "",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DumpFailed(f"{Path(command[0]).name} failed: {done.stderr.strip()}")


def backup(url: str, target: Path) -> int:
    """Write the whole database, as of one moment, to a file that its owner alone reads; returns its size in bytes.

    Raises   DumpFailed; BadInput where the file exists.
    """
    if target.exists():
        raise BadInput(f"{target} exists. Choose another file; a backup overwrites nothing.")
    staging = target.with_name(f".{target.name}.part")
    staging.unlink(missing_ok=True)
    staging.touch(mode=0o600)
    try:
        _run([tool("pg_dump"), "--format=custom", "--compress=6", f"--file={staging}"], url)
        staging.rename(target)
    finally:
        staging.unlink(missing_ok=True)
    return target.stat().st_size


def restore(url: str, source: Path) -> str | None:
    """Fill an empty database from a backup and migrate it; returns the revision reached.

    Raises   BadInput where the file is missing or the database holds tables; DumpFailed.
    """
    if not source.exists():
        raise BadInput(f"there is no file {source}.")
    engine = make_engine(url, role=None, pool_size=1)
    try:
        with engine.connect() as connection:
            count = text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            tables = connection.execute(count).scalar_one()
    finally:
        engine.dispose()
    if tables:
        raise BadInput(
            f"the database holds {tables} tables. Restore into an empty one: a fresh --data-dir, or a new database "
            "named by JEVONS_DATABASE_URL. Nothing was changed."
        )
    with migrate.as_owner(url):
        pass  # The dump names both roles; they must exist before it is read.
    _run(
        [
            tool("pg_restore"),
            "--exit-on-error",
            "--single-transaction",
            f"--dbname={make_url(url).database}",
            str(source),
        ],
        url,
    )
    return migrate.upgrade(url)
