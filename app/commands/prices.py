"""`jevons prices list|show|set|import|remove|books`: the rates in force, and one's own, effective-dated."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.options import AsJson, DataDir, configure

commands = typer.Typer(help="Price books: what a model costs, from when on, and by whose word.", no_args_is_help=True)

PAGE = 1000
ProjectName = Annotated[str | None, typer.Option("--project", help="Project; the first one where not named.")]
Provider = Annotated[str | None, typer.Option("--provider", help="Provider, as spans or the price list name it.")]


def _principal(project: str | None) -> Any:
    from app.auth import principal_from

    return principal_from(None, None, project, "cli:admin")


def _rows(project: str | None, most: int | None = None, **wanted: Any) -> list[dict[str, Any]]:
    """Every rate that is wanted, over all pages, or so many at most."""
    from app.routes.prices import list_prices

    rows: list[dict[str, Any]] = []
    cursor: int | None = 0
    while cursor is not None and (most is None or len(rows) < most):
        page = list_prices(_principal(project), **wanted, limit=PAGE, cursor=cursor)
        rows += page["rows"]
        cursor = page["next_cursor"]
    return rows[:most]


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        period = f"{(row['valid_from'] or 'always')[:10]}..{(row['valid_to'] or '')[:10]}"
        band = f" from {row['context_from']} input tokens" if row["context_from"] else ""
        hours = f" {row['daily_start']}-{row['daily_end']} UTC" if row["daily_start"] else ""
        name = f"{row['provider']}/{row['model']}"
        own = f"  own {row['rate_id']}" if row["own"] else ""
        print(f"{name:<48} {row['tier']:<10} {row['bucket']:<22} {row['price_per_m']:>12}  {period}{band}{hours}{own}")


@commands.command("list")
def list_all(
    provider: Provider = None,
    own: Annotated[
        bool, typer.Option("--own", help="Only prices of your own, with the ids to remove them by.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows at most; all where not given.")] = None,
    project: ProjectName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List rates in USD per million."""
    configure(data_dir=data_dir)
    _print(_rows(project, limit, provider=provider, own=own or None), as_json)


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
    rows = _rows(project, provider=provider, model=model)
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
    """Set a price of your own from a day on; an open one before it ends there, one of the same period is replaced."""
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


@commands.command()
def remove(
    rate_id: Annotated[int, typer.Argument(help="As `jevons prices list --own` shows it.")],
    project: ProjectName = None,
    data_dir: DataDir = None,
) -> None:
    """Remove a price of your own. What was charged by it stays until `jevons reprice`."""
    configure(data_dir=data_dir)
    from app import wiring
    from app.price_changes import remove_own_rate

    who = _principal(project)
    with wiring.transaction() as connection:
        book_id = remove_own_rate(connection, who.project_id, rate_id, "local")
    print(f"own price {rate_id} is removed; book {book_id} is in force")


@commands.command()
def books(project: ProjectName = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List price books, the newest first, superseded ones included: `jevons whatif` takes them by name or id."""
    configure(data_dir=data_dir)
    from app import wiring
    from models.core.time import rfc3339
    from models.store.prices import list_books

    who = _principal(project)
    with wiring.transaction() as connection:
        found = list_books(connection, who.project_id)
    rows = [
        {
            "book_id": book.book_id,
            "name": book.name,
            "source": book.source,
            "rates": book.rates,
            "recorded_at": rfc3339(book.recorded_at),
            "recorded_by": book.recorded_by,
            "superseded_at": rfc3339(book.superseded_at) if book.superseded_at else None,
        }
        for book in found
    ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        since, until = row["recorded_at"][:16], (row["superseded_at"] or "in force")[:16]
        print(f"{row['book_id']:>5}  {row['name']:<8} {row['rates']:>6} rates  {since} .. {until:<16}  {row['source']}")


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
