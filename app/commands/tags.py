"""`jevons tags list|add|retire|apply`: ownership rules on the command line."""

import json
from typing import Annotated, Any

import typer

from app.options import AsJson, DataDir, configure

commands = typer.Typer(help="Ownership rules: who pays for calls that do not say it themselves.", no_args_is_help=True)

ProjectName = Annotated[str | None, typer.Option("--project", help="Project; the first one where not named.")]


def _who(project: str | None) -> Any:
    from app.commands.close import local

    return local(project)


def _body(response: Any) -> dict[str, Any]:
    return json.loads(bytes(response.body))


@commands.command("list")
def list_all(project: ProjectName = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the rules in force, in the order in which they are asked."""
    configure(data_dir=data_dir)
    from app.routes.tag_rules import rules

    rows = _body(rules(_who(project)))["rows"]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        asked = " and ".join(f"{c['dimension']} {c['match']} {c['pattern']!r}" for c in row["conditions"])
        period = f"  {(row['valid_from'] or '')[:10]}..{(row['valid_to'] or '')[:10]}"
        bounded = period if row["valid_from"] or row["valid_to"] else ""
        print(f"{row['id']:>4}  {row['position']:>6}  {row['target']} = {row['value']}  where {asked}{bounded}")


@commands.command()
def add(
    target: Annotated[str, typer.Argument(help="What the rule gives: team or cost_center.")],
    value: Annotated[str, typer.Argument(help="The value it gives.")],
    where: Annotated[
        list[str], typer.Option("--where", help="DIMENSION=PATTERN; with ~= a regex, with *= a glob, with ^= a prefix.")
    ],
    position: Annotated[int, typer.Option(help="Smaller numbers are asked first.")] = 100,
    valid_from: Annotated[str | None, typer.Option("--from", help="First moment, RFC 3339 or a day (UTC).")] = None,
    valid_to: Annotated[str | None, typer.Option("--to", help="First moment after it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would move; keep nothing.")] = False,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a rule. New calls follow it at once; `jevons tags apply` moves those of open months."""
    configure(data_dir=data_dir)
    from app.routes.tag_rules import DryRun, RuleBody, try_rules
    from app.routes.tag_rules import add as add_rule

    body = RuleBody.model_validate(
        {
            "target": target,
            "value": value,
            "conditions": [condition(text) for text in where],
            "position": position,
            "valid_from": _moment(valid_from),
            "valid_to": _moment(valid_to),
        }
    )
    who = _who(project)
    if dry_run:
        _show(_body(try_rules(who, DryRun(add=[body]))), "would move", as_json)
        return
    kept = _body(add_rule(body, who))
    print(json.dumps(kept) if as_json else f"rule {kept['id']} is in force; `jevons tags apply` moves open months")


@commands.command()
def retire(rule_id: Annotated[int, typer.Argument()], project: ProjectName = None, data_dir: DataDir = None) -> None:
    """Take a rule out of force."""
    configure(data_dir=data_dir)
    from app.routes.tag_rules import retire as retire_rule

    retire_rule(rule_id, _who(project))
    print(f"rule {rule_id} is no longer in force; `jevons tags apply` moves open months")


@commands.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would move and change nothing.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; it stands in the audit trail.")] = None,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move the costs of open months to the owners that the rules name; closed months keep theirs."""
    configure(data_dir=data_dir)
    from app.routes.tag_rules import Apply, apply_all, try_rules

    who = _who(project)
    if dry_run:
        _show(_body(try_rules(who)), "would move", as_json)
    else:
        _show(_body(apply_all(who, Apply(reason=reason))), "moved", as_json)


def _show(moved: dict[str, Any], verb: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(moved))
        return
    for row in moved["moves"]:
        before, after = row["before"] or "UNALLOCATED", row["after"] or "UNALLOCATED"
        cost = row["effective_cost"] or "unpriced"
        print(f"{row['month']}  {row['target']:<12} {before} -> {after}: {row['calls']} calls, {cost} USD")
    print(f"{moved['calls']} calls {verb}")


def condition(text: str) -> dict[str, str]:
    """A condition as written on the command line.

    Raises   BadInput where it names no dimension and pattern.
    """
    from models.core.errors import BadInput

    name, equals, pattern = text.partition("=")
    ways = {"~": "regex", "*": "glob", "^": "prefix"}
    match = ways.get(name[-1:], "equals")
    name = name[:-1] if match != "equals" else name
    if not equals or not name or not pattern:
        raise BadInput(f"--where {text!r} is not written DIMENSION=PATTERN, such as service^=rag-.")
    return {"dimension": name, "match": match, "pattern": pattern}


def _moment(text: str | None) -> str | None:
    return f"{text}T00:00:00Z" if text is not None and len(text) == len("2026-11-01") else text


def register(cli: typer.Typer) -> None:
    """Add the group."""
    cli.add_typer(commands, name="tags")
