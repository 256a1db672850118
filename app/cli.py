"""The command `jevons`: every module of app.commands registers its own; heavy imports wait for the command."""

import importlib
import pkgutil
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from pydantic import ValidationError

import app.commands
from models.core.errors import JevonsError


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"jevons {version('jevons')}")
        raise typer.Exit


def build() -> typer.Typer:
    """The command line with every group registered."""
    cli = typer.Typer(
        name="jevons",
        help="FinOps for AI agents: exact, cache-adjusted cost per agent, task, session and team.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @cli.callback()
    def options(
        _: Annotated[
            bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        """FinOps for AI agents: exact, cache-adjusted cost per agent, task, session and team."""

    for module in sorted(found.name for found in pkgutil.iter_modules(app.commands.__path__, "app.commands.")):
        importlib.import_module(module).register(cli)
    return cli


def fail(message: str, status: int) -> None:
    """Say on standard error what went wrong and what to do, and end with a status."""
    print(f"jevons: {message}", file=sys.stderr)
    sys.exit(status)


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 the work failed, 2 wrong usage."""
    try:
        build()()
    except JevonsError as fault:
        fail(str(fault), fault.exit_code)
    except ValidationError as invalid:
        if invalid.title != "Settings":
            raise
        named = "; ".join(f"JEVONS_{str(e['loc'][0]).upper()}: {e['msg']}" for e in invalid.errors() if e["loc"])
        fail(f"settings cannot be used: {named}. docs/settings.md lists them.", 2)
    except OSError as unreachable:
        fail(f"{type(unreachable).__name__}: {unreachable}", 1)
    except Exception as fault:
        # SQLAlchemy is imported only where it is needed; its fault is known by name here.
        if type(fault).__name__ != "OperationalError":
            raise
        reason = str(getattr(fault, "orig", fault)).strip().splitlines()[0]
        fail(f"the database cannot be reached: {reason}. `jevons doctor` checks every part.", 1)
