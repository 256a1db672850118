"""`jevons reprice` and `jevons rebuild`: open periods gone over again."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from app.options import AsJson, DataDir, configure

if TYPE_CHECKING:
    from models.core.queries import Project

DAYS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
ProjectName = Annotated[str | None, typer.Option(help="Only this project; default: every one.")]


def reprice(
    start: Annotated[datetime, typer.Option("--from", formats=DAYS, help="First UTC day or moment.")],
    end: Annotated[datetime, typer.Option("--to", formats=DAYS, help="First UTC day or moment after the period.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference and change nothing.")] = False,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Price calls again by the rates in force now; equal charges stay, differing ones are superseded."""
    configure(data_dir=data_dir)
    from app.tasks.repricing import reprice as price_again
    from models.core.errors import BadInput
    from models.core.money import plain

    since, until = start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)
    if since >= until:
        raise BadInput(f"--from {since:%Y-%m-%d} is not before --to {until:%Y-%m-%d}; the period is half-open.")
    shown: list[dict[str, object]] = []
    for found in _projects(project):
        done = price_again(found.id, since, until, actor="local", dry_run=dry_run)
        change = plain(done.change)
        shown.append({"project": found.name, "calls": done.calls, "changed": done.changed, "change": change})
        if not as_json:
            verb = "would change" if dry_run else "changed"
            print(f"{found.name}: {done.changed} of {done.calls} calls {verb}, {change} USD in effective cost")
    if as_json:
        print(json.dumps({"dry_run": dry_run, "projects": shown}))


def rebuild(
    start: Annotated[datetime, typer.Option("--from", formats=DAYS, help="First UTC day.")],
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Derive calls, charges and sums again from the stored spans; equal rows stay."""
    configure(data_dir=data_dir)
    from app.tasks.repricing import rebuild as derive_again

    shown = {found.name: derive_again(found.id, start.replace(tzinfo=UTC)) for found in _projects(project)}
    if as_json:
        print(json.dumps({"traces": shown}))
        return
    for name, traces in shown.items():
        print(f"{name}: {traces} traces derived again")


def _projects(name: str | None) -> "list[Project]":
    from app import wiring
    from models.store.projects import list_projects, project_named

    with wiring.transaction() as connection:
        return list(list_projects(connection)) if name is None else [project_named(connection, name)]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command()(reprice)
    cli.command()(rebuild)
