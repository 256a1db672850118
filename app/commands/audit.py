"""`jevons audit`: who changed what, when and why."""

import json
from typing import Annotated

import typer

from app.options import AsJson, DataDir, configure


def audit(
    subject: Annotated[str | None, typer.Option(help="What was changed, such as period:2026-10 or user:ada.")] = None,
    action: Annotated[str | None, typer.Option(help="What was done, such as period.closed.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who did it, such as user:ada.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Entries at most.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries of the audit trail; `jevons doctor` checks that none was changed."""
    configure(data_dir=data_dir)
    from app.commands.close import local
    from app.routes.audit import audit as trail

    asked = {"subject": subject, "action": action, "actor": actor}
    rows = json.loads(bytes(trail(local(None), **asked, limit=limit, cursor=None).body))["rows"]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        change = " -> ".join(json.dumps(row[side]) for side in ("before", "after") if row[side])
        told = (row["at"], row["actor"], row["action"], row["subject"], row["project"], change, row["reason"])
        print("  ".join(part for part in told if part))


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(audit)
