"""`jevons allocate list|add|retire|apply|shares`: sharing one billed request among its agents."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from app.options import AsJson, DataDir, configure

commands = typer.Typer(
    help="Allocation rules: how one billed request is shared among the agents that answered in it.",
    no_args_is_help=True,
)

ProjectName = Annotated[str | None, typer.Option("--project", help="Project; the first one where not named.")]
DAYS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def _who(project: str | None) -> Any:
    from app.commands.close import local

    return local(project)


@commands.command("list")
def list_all(project: ProjectName = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the rules in force, in the order in which they are asked."""
    configure(data_dir=data_dir)
    from app.routes.allocations import rules

    rows = json.loads(bytes(rules(_who(project)).body))["rows"]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        asked = " and ".join(f"{c['dimension']} {c['match']} {c['pattern']!r}" for c in row["conditions"])
        among = ", ".join(row["agents"]) if row["agents"] is not None else "the agents each call names"
        print(f"{row['id']:>4}  {row['name']}: {row['method']} among {among} where {asked}")


@commands.command()
def add(
    name: Annotated[str, typer.Argument(help="Stands on every share.")],
    method: Annotated[str, typer.Argument(help="equal, by_output or first_payer.")],
    where: Annotated[
        list[str], typer.Option("--where", help="DIMENSION=PATTERN; with ~= a regex, with *= a glob, with ^= a prefix.")
    ],
    agents: Annotated[
        str | None, typer.Option(help="Comma-separated agents; left out: those each call names in jevons.agents.")
    ] = None,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a rule. New calls follow it at once; `jevons allocate apply` shares those of open months."""
    configure(data_dir=data_dir)
    from app.commands.tags import condition
    from app.routes.allocations import AllocationBody
    from app.routes.allocations import add as add_rule
    from models.core.errors import BadInput
    from models.costs.sharing import SharingRule

    if method not in tuple(SharingRule):
        raise BadInput(f"{method!r} is no method. There are {', '.join(SharingRule)}.")
    named = None if agents is None else [each.strip() for each in agents.split(",") if each.strip()]
    body = AllocationBody.model_validate(
        {"name": name, "method": method, "conditions": [condition(text) for text in where], "agents": named}
    )
    kept = json.loads(bytes(add_rule(body, _who(project)).body))
    told = f"rule {kept['id']} is in force; `jevons allocate apply` shares open months"
    print(json.dumps(kept) if as_json else told)


@commands.command()
def retire(rule_id: Annotated[int, typer.Argument()], project: ProjectName = None, data_dir: DataDir = None) -> None:
    """Take a rule out of force."""
    configure(data_dir=data_dir)
    from app.routes.allocations import retire as retire_rule

    retire_rule(rule_id, _who(project))
    print(f"rule {rule_id} is no longer in force; `jevons allocate apply` gives shared calls of open months back")


@commands.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be shared and change nothing.")] = False,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Share the calls of open months by the rules in force; closed months keep what they have."""
    configure(data_dir=data_dir)
    from app.routes.allocations import apply as apply_rules

    done = json.loads(bytes(apply_rules(_who(project), dry_run).body))
    if as_json:
        print(json.dumps(done))
        return
    for row in done["rows"]:
        print(f"{row['rule']} ({row['method']})  {row['agent']}: {row['calls']} calls, {row['effective_cost']} USD")
    verb = "would be shared" if dry_run else "are shared"
    print(f"{done['shared']} calls {verb}, {done['changed']} charges written, {done['not_shared']} name no agents")


@commands.command()
def shares(
    start: Annotated[datetime, typer.Option("--from", formats=DAYS, help="First UTC day or moment.")],
    end: Annotated[datetime, typer.Option("--to", formats=DAYS, help="First UTC day or moment after the period.")],
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 1_000,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print each agent's share of each shared call, with the name of its rule."""
    configure(data_dir=data_dir)
    from app.routes.allocations import shares as shares_between

    since, until = start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)
    rows = json.loads(bytes(shares_between(_who(project), project, since, until, limit).body))["rows"]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['trace_id']}/{row['span_id']}  {row['agent']}: {row['effective_cost']} USD, "
            f"{row['rule']} ({row['method']}, weight {row['weight']})"
        )


def register(cli: typer.Typer) -> None:
    """Add the group."""
    cli.add_typer(commands, name="allocate")
