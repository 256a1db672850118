"""`jevons prices list|show|set|import`: the rates in force, and one's own, effective-dated."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.options import AsJson, DataDir, configure

commands = typer.Typer(help="Price books: what a model costs, from when on, and by whose word.", no_args_is_help=True)

ProjectName = Annotated[str | None, typer.Option("--project", help="Project; the first one where not named.")]
Provider = Annotated[str | None, typer.Option("--provider", help="Provider, as spans or the price list name it.")]


def _principal(project: str | None) -> Any:
    from app.auth import principal_from

    return principal_from(None, None, project, "cli:admin")


def _rows(provider: str | None, model: str | None, project: str | None, limit: int) -> list[dict[str, Any]]:
    from app.routes.prices import list_prices

    return list_prices(_principal(project), provider=provider, model=model, limit=limit, cursor=0)["rows"]


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        period = f"{(row['valid_from'] or 'always')[:10]}..{(row['valid_to'] or '')[:10]}"
        band = f" from {row['context_from']} input tokens" if row["context_from"] else ""
        hours = f" {row['daily_start']}-{row['daily_end']} UTC" if row["daily_start"] else ""
        name = f"{row['provider']}/{row['model']}"
        print(f"{name:<48} {row['tier']:<10} {row['bucket']:<22} {row['price_per_m']:>12}  {period}{band}{hours}")


@commands.command("list")
def list_all(
    provider: Provider = None,
    limit: Annotated[int, typer.Option(help="Rows at most.")] = 1000,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List rates in USD per million."""
    configure(data_dir=data_dir)
    _print(_rows(provider, None, project, limit), as_json)


@commands.command()
def show(
    model: Annotated[str, typer.Argument(help="Model, as spans or the price list name it.")],
    provider: Provider = None,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show every rate of a model; without --provider, of every provider that lists this very name."""
    from models.core.errors import NotFound

    configure(data_dir=data_dir)
    rows = _rows(provider, model, project, 1000)
    if not rows:
        where = f" of provider {provider}" if provider else ""
        raise NotFound(f"no price for model {model}{where}. `jevons prices set` adds one of your own.")
    _print(rows, as_json)


@commands.command("set")
def set_price(
    provider: Annotated[str, typer.Argument()],
    model: Annotated[str, typer.Argument()],
    bucket: Annotated[str, typer.Argument(help="input, cache_read, cache_write_5m, output, …")],
    price_per_m: Annotated[str, typer.Argument(help="USD per million.")],
    valid_from: Annotated[str | None, typer.Option("--from", help="First day or moment (UTC).")] = None,
    valid_to: Annotated[str | None, typer.Option("--to", help="First day or moment after it.")] = None,
    kind: Annotated[str, typer.Option(help="list, or contract for an agreed price.")] = "list",
    tier: Annotated[str, typer.Option(help="Service tier.")] = "standard",
    context_from: Annotated[int, typer.Option(help="Smallest total input of the context band.")] = 0,
    source: Annotated[str | None, typer.Option(help="Where the price stands: contract, address.")] = None,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Set a price of your own from a day on; an open one before it ends there."""
    from models.prices.books import own_rate

    configure(data_dir=data_dir)
    fields = {"provider": provider, "model": model, "bucket": bucket, "price_per_m": price_per_m, "kind": kind}
    fields |= {"tier": tier, "context_from": context_from, "source": source}
    row = own_rate({**fields, "valid_from": valid_from, "valid_to": valid_to})
    _add([row], project, "set on the command line", as_json)


@commands.command("import")
def import_file(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV with a header, or JSON.")],
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Import rates from a file; all or none."""
    from models.prices.books import rates_of_file

    configure(data_dir=data_dir)
    _add(rates_of_file(path.name, path.read_bytes()), project, f"file {path.name}", as_json)


def _add(rows: list[dict[str, Any]], project: str | None, source: str, as_json: bool) -> None:
    from app import wiring
    from app.price_changes import add_own_rates

    who = _principal(project)
    with wiring.transaction() as connection:
        book_id = add_own_rates(connection, who.project_id, rows, "local", end_previous=True, source=source)
    print(json.dumps({"book_id": book_id, "rates": len(rows)}) if as_json else f"{len(rows)} rates in book {book_id}")


def register(cli: typer.Typer) -> None:
    """Add the group."""
    cli.add_typer(commands, name="prices")
