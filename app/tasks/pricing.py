"""Pricing in the ledger: rows of calls become charges by the rates in force, in the caller's transaction."""

import logging

import polars as pl
from sqlalchemy import Connection

from models.costs.rating import rate_calls
from models.prices.skus import with_price_keys
from models.store.allocations import allocate_calls
from models.store.call_frame import to_rate
from models.store.ledger import Recorded, charge_frame, record_charges
from models.store.own_capacity import place_charges
from models.store.prices import SHIPPED, RatesInForce, rates_in_force, record_book

log = logging.getLogger(__name__)


def install_shipped_book(connection: Connection) -> int:
    """Record the price list that comes with this release, where it is not the one in force; returns the book's id."""
    from models.prices.genai import release, shipped_rates  # The list is slow to import and needed once.

    return record_book(connection, None, SHIPPED, shipped_rates(), release())


def rates_of(connection: Connection, project_id: int) -> RatesInForce:
    """The rates in force for a project; the shipped list is recorded first where there is none yet."""
    try:
        return rates_in_force(connection, project_id)
    except LookupError:
        install_shipped_book(connection)
        return rates_in_force(connection, project_id)


def charges_of(connection: Connection, project_id: int, rows: pl.DataFrame) -> pl.DataFrame:
    """What rows of `calls` cost by the rates in force, as rows of `charges`; none of them is written.

    Calls on hardware of one's own get list prices only: their cost comes from the capacity bill of their hour.
    """
    in_force = rates_of(connection, project_id)
    rated = rate_calls(with_price_keys(to_rate(rows)), in_force.rates)
    return place_charges(connection, project_id, rows, charge_frame(rows, rated, in_force.book_id))


def charge_rows(connection: Connection, project_id: int, rows: pl.DataFrame) -> Recorded:
    """Price rows of `calls`, record their charges and share those that a rule meets. Twice changes nothing."""
    if rows.is_empty():
        return Recorded()
    recorded = record_charges(connection, project_id, charges_of(connection, project_id, rows))
    allocate_calls(connection, project_id, list(zip(rows["trace_id"], rows["span_id"], strict=True)))
    return recorded
