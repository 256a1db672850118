"""`jevons migrate`, `jevons status`, `jevons worker`, `jevons beat`: running the parts of an instance."""

import json
import os

import typer

from app.options import AsJson, DataDir, configure


def migrate(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Bring the database to the schema and the price list of this release. Charges keep the rates they name."""
    from app import wiring
    from app.migrate import upgrade
    from app.runtime import addresses
    from app.tasks.pricing import install_shipped_book

    reached = upgrade(addresses(configure(data_dir=data_dir))[0])
    with wiring.transaction() as connection:
        install_shipped_book(connection)
    print(json.dumps({"revision": reached}) if as_json else f"the database is at {reached}")


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show how far the road from spans to figures has come."""
    configure(data_dir=data_dir)
    from dataclasses import asdict

    from app import wiring
    from models.core.time import rfc3339

    found = asdict(wiring.current().reader.status())
    if found["priced_through"] is not None:
        found["priced_through"] = rfc3339(found["priced_through"])
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):<16} {'-' if value is None else value}")


def worker(data_dir: DataDir = None) -> None:
    """Run one more worker for an instance, here or on another machine."""
    configure(data_dir=data_dir)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from app.service import worker as run

    run()


def beat(data_dir: DataDir = None) -> None:
    """Run the clock of an instance whose parts are started one by one; only one may run."""
    chosen = configure(data_dir=data_dir)
    (chosen.data_dir / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    from app.service import beat as run

    run()


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    for command in (migrate, status, worker, beat):
        cli.command()(command)
