"""Changing a project's own price book: one transaction with its entry in the audit trail."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection

from models.core.frames import RATES
from models.prices.books import OWN, with_rates, without_rate
from models.store.audit import append_audit
from models.store.prices import list_books, load_rates, record_book


def own_rates(connection: Connection, project_id: int) -> pl.DataFrame:
    """The rates of a project's own book in force; an empty frame where it has none."""
    for book in list_books(connection, project_id):
        if book.project_id == project_id and book.name == OWN and book.superseded_at is None:
            return load_rates(connection, [book.book_id])
    return pl.DataFrame(schema=RATES)


def add_own_rates(
    connection: Connection,
    project_id: int,
    added: Sequence[Mapping[str, Any]],
    actor: str,
    end_previous: bool = False,
    source: str = "own prices",
) -> int:
    """Record a project's own book with more rates; returns the id of the book in force.

    Raises   Conflict where rates overlap. Given twice it changes nothing: the same rates make the same book.
    """
    before = own_rates(connection, project_id)
    after = with_rates(before, added, end_previous)
    return _recorded(connection, project_id, before, after, actor, source)


def remove_own_rate(connection: Connection, project_id: int, rate_id: int, actor: str) -> int:
    """Record a project's own book without a rate; returns the id of the book in force.

    What was charged by it stays until it is repriced, and the book that had it stays on record.
    Raises   NotFound.
    """
    before = own_rates(connection, project_id)
    return _recorded(connection, project_id, before, without_rate(before, rate_id), actor, "own prices")


def _recorded(
    connection: Connection, project_id: int, before: pl.DataFrame, after: pl.DataFrame, actor: str, source: str
) -> int:
    book_id = record_book(connection, project_id, OWN, after, source, recorded_by=actor)
    gone = before.join(after, on="rate_id", how="anti")
    come = after.join(before, on="rate_id", how="anti")
    if not (gone.is_empty() and come.is_empty()):
        append_audit(
            connection,
            actor=actor,
            action="prices.set",
            subject=f"price book {book_id}",
            at=datetime.now(UTC),
            before={"rates": [_shown(rate) for rate in gone.to_dicts()]} if not gone.is_empty() else None,
            after={"rates": [_shown(rate) for rate in come.to_dicts()]},
            project_id=project_id,
        )
    return book_id


def _shown(rate: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rate.items() if value is not None and name != "priority"}
