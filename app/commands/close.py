"""`jevons close`, `jevons reopen`, `jevons checks`: the month close on the command line."""

import json
from typing import Annotated, Any

import typer

from app.options import AsJson, DataDir, configure

Period = Annotated[str, typer.Argument(help="The month, YYYY-MM.")]
ProjectName = Annotated[str | None, typer.Option("--project", help="Only this project; default: every one.")]


def local(project: str | None) -> Any:
    """Who runs the command, and the projects it is about."""
    from app.auth import principal_from

    return principal_from(None, None, project, "cli:admin")


def close(
    period: Period,
    force: Annotated[bool, typer.Option("--force", help="Close although a check fails; needs --reason.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; it stands in the snapshot and the audit trail.")] = None,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Close a month: snapshot it; from then on the database refuses changes and late usage becomes a correction."""
    configure(data_dir=data_dir)
    from app import closing
    from app.routes.periods import chosen
    from models.core.money import plain, rounded
    from models.store.periods import month_named

    who = local(project)
    taken = closing.close(chosen(who, project), month_named(period), actor="local", force=force, reason=reason)
    if as_json:
        shown = {name: snapshot.as_json() for name, snapshot in taken.items()}
        print(json.dumps({"period": period, "state": "closed", "snapshots": shown}))
        return
    for name, snapshot in taken.items():
        cost = plain(rounded(snapshot.effective_cost, 2))
        print(f"{name}: {period} closed, {snapshot.charges} charges, {cost} USD, sha256 {snapshot.sha256}")


def reopen(
    period: Period,
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit trail.")],
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Open a closed month again; its snapshots stay, and closing it again adds another."""
    configure(data_dir=data_dir)
    from app import closing
    from app.routes.periods import chosen
    from models.store.periods import month_named

    names = closing.reopen(chosen(local(project), project), month_named(period), actor="local", reason=reason)
    print(json.dumps({"period": period, "reopened": names}) if as_json else f"{period} reopened: {', '.join(names)}")


def checks(
    period: Period,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what stands between a month and its close. Exit status 1 where a check fails."""
    configure(data_dir=data_dir)
    from app.routes.periods import checks as checklist

    answer = json.loads(bytes(checklist(period, local(project), project).body))
    if as_json:
        print(json.dumps(answer))
    else:
        for row in answer["rows"]:
            todo = f" {row['todo']}" if row["todo"] else ""
            print(f"{row['state']:<5} {row['project']}: {row['what']}.{todo}")
    if not answer["ready"]:
        raise typer.Exit(1)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command()(close)
    cli.command()(reopen)
    cli.command()(checks)
