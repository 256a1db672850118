"""`jevons whatif SCENARIO.toml`: real calls under another price book, hardware, cache or model."""

import json
import tomllib
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, time
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
    project: Annotated[str | None, typer.Option("--project", help="Only this project; default: every one.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Replay real calls under a scenario and print what would be different."""
    document = _read(scenario)
    chosen = configure(data_dir=data_dir)
    from app import wiring
    from app.commands.close import local
    from app.hardware import catalogue_of
    from app.routes.asking import cost_query
    from app.whatif import answer_whatif
    from models.core.vocabulary import CostBasis

    who = local(project)
    who = replace(who, projects=tuple(one for one in who.projects if project in (None, one.name)))
    since, until = start or _moment(document, "start"), end or _moment(document, "end")
    filters = [*document.get("filter", []), *(filter_by or [])]
    query = cost_query(who, since, until, (), filters, CostBasis.EFFECTIVE, 1, None)
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


def _moment(document: dict[str, Any], field: str) -> datetime | None:
    """A field of the file as a time: a TOML date or time, or a text of one; without an offset it is UTC."""
    from models.core.errors import BadInput

    value = document.get(field)
    if isinstance(value, str):
        with suppress(ValueError):  # Said below, as for every other value that is no time.
            value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if value is None or isinstance(value, datetime):
        return value
    reason = f"{field} = {value!r} is no time. Write 2026-11-01 or 2026-11-01T00:00:00Z."
    raise BadInput(reason, [{"field": field, "reason": reason}])


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(whatif)
