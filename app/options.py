"""Options that many commands share, and how they reach the settings."""

import os
from pathlib import Path
from typing import Annotated

import typer

from app.settings import Settings, settings

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Data directory of the instance.", show_default="JEVONS_DATA_DIR")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def configure(**chosen: object) -> Settings:
    """The settings with options laid over them; what is None was not chosen. Children inherit the choice."""
    for name, value in chosen.items():
        if value is not None:
            os.environ[f"JEVONS_{name.upper()}"] = str(value)
    settings.cache_clear()
    return settings()
