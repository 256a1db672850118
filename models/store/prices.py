"""Price books in the database: recorded by COPY, never changed, superseded by later ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import polars as pl
from sqlalchemy import Connection, text

from models.core.frames import RATES, checked
from models.store.bulk import copy_frame

SHIPPED = "shipped"
"""Name of the price list that comes with the product; it belongs to no project and holds for all."""

_IN_FORCE = "superseded_at IS NULL AND (project_id IS NULL OR project_id = :project_id)"
_loaded: dict[tuple[str, tuple[int, ...]], pl.DataFrame] = {}


@dataclass(slots=True, frozen=True)
class Book:
    """A set of rates recorded together."""

    book_id: int
    project_id: int | None
    name: str
    source: str
    recorded_at: datetime
    recorded_by: str | None
    superseded_at: datetime | None
    rates: int


@dataclass(slots=True, frozen=True)
class RatesInForce:
    """The rates by which a project's calls are priced now."""

    book_id: int
    """The latest book among them, named on the charges."""
    rates: pl.DataFrame
    """frames.RATES."""


def record_book(
    connection: Connection,
    project_id: int | None,
    name: str,
    rates: pl.DataFrame,
    source: str,
    recorded_by: str | None = None,
) -> int:
    """Record a book and supersede the one of the same name; returns its id. The same rates again change nothing.

    Shapes   frames.RATES → one book. `project_id` None: for every project.
    Raises   FrameSchemaError.
    """
    checked(rates, "rates", RATES)
    digest = _digest(rates)
    # One writer per book at a time: two workers that start together must not both record the shipped list.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"price_book {name}"})
    scope = {"project_id": project_id, "name": name}
    current = connection.execute(
        text(
            "SELECT book_id, digest FROM price_books WHERE project_id IS NOT DISTINCT FROM :project_id "
            "AND name = :name AND superseded_at IS NULL"
        ),
        scope,
    ).one_or_none()
    if current is not None and bytes(current.digest) == digest:
        return current.book_id
    if current is not None:
        connection.execute(
            text("UPDATE price_books SET superseded_at = now() WHERE book_id = :book_id"), {"book_id": current.book_id}
        )
    book_id: int = connection.execute(
        text(
            "INSERT INTO price_books (project_id, name, source, digest, recorded_by) "
            "VALUES (:project_id, :name, :source, :digest, :recorded_by) RETURNING book_id"
        ),
        {**scope, "source": source, "digest": digest, "recorded_by": recorded_by},
    ).scalar_one()
    unique = rates.select(list(RATES)).unique("rate_id", keep="first", maintain_order=True)
    copy_frame(connection, "rates", unique.with_columns(pl.lit(book_id, dtype=pl.Int64).alias("book_id")))
    return book_id


def rates_in_force(connection: Connection, project_id: int) -> RatesInForce:
    """The rates of every book in force for a project, read once per process and set of books.

    Raises   LookupError when no book was ever recorded.
    """
    ids = tuple(
        connection.execute(
            text(f"SELECT book_id FROM price_books WHERE {_IN_FORCE} ORDER BY book_id"), {"project_id": project_id}
        ).scalars()
    )
    if not ids:
        raise LookupError("no price book is in force. Run `jevons prices import`, or start a worker once.")
    key = (str(connection.engine.url), ids)
    if key not in _loaded:
        if len(_loaded) > 16:
            _loaded.clear()
        _loaded[key] = load_rates(connection, ids)
    return RatesInForce(ids[-1], _loaded[key])


def load_rates(connection: Connection, book_ids: Sequence[int]) -> pl.DataFrame:
    """The rates of some books as frames.RATES."""
    rows = connection.execute(
        text(f"SELECT {', '.join(RATES)} FROM rates WHERE book_id = ANY(:ids) ORDER BY book_id, rate_id"),
        {"ids": list(book_ids)},
    ).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=RATES, orient="row").unique(
        "rate_id", keep="last", maintain_order=True
    )


def list_books(connection: Connection, project_id: int) -> Sequence[Book]:
    """Every book a project can see, the newest first, superseded ones included."""
    rows = connection.execute(
        text(
            "SELECT book_id, project_id, name, source, recorded_at, recorded_by, superseded_at, "
            "(SELECT count(*) FROM rates r WHERE r.book_id = b.book_id) AS rates FROM price_books b "
            "WHERE project_id IS NULL OR project_id = :project_id ORDER BY book_id DESC"
        ),
        {"project_id": project_id},
    )
    return [Book(**row._mapping) for row in rows]


def rate_sources(connection: Connection, project_id: int, rate_ids: Sequence[int]) -> dict[int, str]:
    """Where each of these rates comes from, for showing a charge."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (r.rate_id) r.rate_id, r.source FROM rates r JOIN price_books b USING (book_id) "
            "WHERE r.rate_id = ANY(:ids) AND (b.project_id IS NULL OR b.project_id = :project_id) "
            "ORDER BY r.rate_id, b.book_id DESC"
        ),
        {"ids": list(rate_ids), "project_id": project_id},
    )
    return {row.rate_id: row.source for row in rows}


def _digest(rates: pl.DataFrame) -> bytes:
    body = rates.select(list(RATES)).sort("rate_id").write_csv()
    return blake2b(body.encode(), digest_size=16).digest()
