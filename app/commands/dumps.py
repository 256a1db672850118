"""`jevons backup` and `jevons restore`: the whole database in one file."""

import json
from pathlib import Path

import typer

from app.options import AsJson, DataDir, configure


def backup(target: Path, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write the whole database to a file, as of one moment, while it runs."""
    from app.dumps import backup as dump
    from app.instance import database_of

    with database_of(configure(data_dir=data_dir)) as url:
        size = dump(url, target)
    print(json.dumps({"file": str(target), "bytes": size}) if as_json else f"{target}: {size} bytes")


def restore(source: Path, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Fill an empty database from a backup and bring it to the schema of this release."""
    from app.dumps import restore as fill
    from app.instance import database_of

    with database_of(configure(data_dir=data_dir), migrated=False) as url:
        revision = fill(url, source)
    print(json.dumps({"revision": revision}) if as_json else f"restored; the database is at {revision}")


def register(cli: typer.Typer) -> None:
    """Add both."""
    cli.command()(backup)
    cli.command()(restore)
