"""`jevons settings`: every setting with its value in force, secrets hidden."""

import json

import typer

from app.options import AsJson, DataDir, configure


def settings(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show every setting with its value in force."""
    shown = configure(data_dir=data_dir).model_dump(mode="json")
    if as_json:
        print(json.dumps(shown))
        return
    for name, value in shown.items():
        print(f"JEVONS_{name.upper():<26} {'' if value is None else value}")


def register(cli: typer.Typer) -> None:
    """Add `settings`."""
    cli.command()(settings)
