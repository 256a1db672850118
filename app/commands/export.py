"""`jevons export focus|journal` and `jevons statement`: files for finance."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.options import AsJson, DataDir, configure

commands = typer.Typer(help="Files of a month: FOCUS for FinOps tools, a journal for accounting.", no_args_is_help=True)

Period = Annotated[str, typer.Option("--period", help="The month, YYYY-MM.")]
Out = Annotated[Path, typer.Option("--out", dir_okay=False, help="Where to write.")]
ProjectName = Annotated[str | None, typer.Option("--project", help="Only this project; default: every one.")]


class Payer(StrEnum):
    """Who pays."""

    COST_CENTER = "cost_center"
    TEAM = "team"


class Format(StrEnum):
    """How a FOCUS export is written."""

    CSV = "csv"
    PARQUET = "parquet"


def _ids(project: str | None) -> tuple[int, ...]:
    from app.commands.close import local

    return local(project).readable(project)


@commands.command()
def focus(
    period: Period,
    out: Out,
    file_format: Annotated[Format | None, typer.Option("--format", help="Default: by the name of the file.")] = None,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the FOCUS 1.2 rows of a month; prints how many, their sums and the hash of the file."""
    configure(data_dir=data_dir)
    from app import exporting, wiring
    from models.store.periods import month_named

    month, ids, counted = month_named(period), _ids(project), exporting.Exported()
    reader = wiring.current().reader
    with out.open("wb") as file:
        if (file_format or (Format.PARQUET if out.suffix == ".parquet" else Format.CSV)) is Format.PARQUET:
            file.write(exporting.focus_parquet_file(reader, ids, month, counted))
        else:
            file.writelines(exporting.focus_csv_bytes(reader, ids, month, counted))
    told = counted.as_json()
    if as_json:
        print(json.dumps({"period": period, "file": str(out), **told}))
        return
    unpriced = f"; {told['left_out_unpriced']} daily sums without a price left out" if counted.left_out else ""
    print(f"{out}: {told['rows']} rows, {told['effective_cost']} USD effective{unpriced}; sha256 {told['sha256']}")


@commands.command()
def journal(period: Period, out: Out, project: ProjectName = None, data_dir: DataDir = None) -> None:
    """Write the neutral accounting journal of a month: expense by cost centre against clearing."""
    configure(data_dir=data_dir)
    from app.commands.close import local
    from app.routes.exports import journal as of_month

    body = bytes(of_month(local(project), project, period).body)
    out.write_bytes(body)
    print(f"{out}: {len(body.splitlines()) - 1} lines")


def statement(
    period: Period,
    by: Annotated[Payer, typer.Option(help="Who pays.")] = Payer.COST_CENTER,
    out: Annotated[Path | None, typer.Option("--out", dir_okay=False, help="Write a CSV instead.")] = None,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what each cost centre or team pays for a month, to the cent, tied out to the ledger."""
    configure(data_dir=data_dir)
    from app import exporting, wiring
    from models.core.money import plain
    from models.store.periods import month_named

    found = wiring.current().reader.statement(_ids(project), month_named(period), by.value)
    if out is not None:
        out.write_bytes(exporting.statement_csv(found))
        print(f"{out}: {len(found.rows)} lines and the total")
        return
    if as_json:
        print(json.dumps(found.as_json()))
        return
    for row in found.rows:
        unpriced = f"  ({row.unpriced_calls} calls unpriced)" if row.unpriced_calls else ""
        print(f"{row.payer or 'UNALLOCATED':<40} {row.amount:>14}{unpriced}")
    print(f"{'TOTAL':<40} {found.amount:>14}  ledger {plain(found.ledger_total)}")


def register(cli: typer.Typer) -> None:
    """Add the group and the command."""
    cli.add_typer(commands, name="export")
    cli.command()(statement)
