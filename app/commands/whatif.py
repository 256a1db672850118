"""`jevons whatif SCENARIO.toml`: real calls under another price book, hardware, cache or model."""

import json
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.options import AsJson, DataDir, configure

Scenario = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="TOML file with a [scenario] table.")]


def whatif(
    scenario: Scenario,
    start: Annotated[datetime | None, typer.Option("--from", help="Start of the period, UTC.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="End of the period, UTC, itself not inside.")] = None,
    filter_by: Annotated[list[str] | None, typer.Option("--filter", help="dimension:value, repeatable.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Replay real calls under a scenario and print what would be different."""
    document = _read(scenario)
    chosen = configure(data_dir=data_dir)
    from app import wiring
    from app.auth import Principal, projects_now
    from app.hardware import catalogue_of
    from app.routes.asking import cost_query
    from app.whatif import answer_whatif
    from models.core.vocabulary import CostBasis

    projects = projects_now()
    who = Principal(actor="local", role="admin", project_id=projects[0].id, projects=projects)
    filters = [*document.get("filter", []), *(filter_by or [])]
    query = cost_query(
        who, start or document.get("start"), end or document.get("end"), (), filters, CostBasis.EFFECTIVE, 1, None
    )
    with wiring.transaction() as connection:
        answer = answer_whatif(
            connection, who.project_id, query, document.get("scenario", {}), catalogue_of(chosen.data_dir)
        ).as_json()
    if as_json:
        print(json.dumps(answer))
        return
    for name in ("actual", "scenario", "delta", "low", "high"):
        print(f"{name:<10} {'unknown' if answer[name] is None else answer[name] + ' USD'}")
    for line in answer["lines"]:
        print(f"  {line['name']:<34} {line['cost']} USD")
    print(f"{'evidence':<10} {answer['evidence']}")
    for note in answer["assumptions"]:
        print(f"  · {note}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        from models.core.errors import BadInput

        raise BadInput(f"{path.name} is no TOML: {fault}.") from fault


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(whatif)
