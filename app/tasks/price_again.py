"""What pricing a period again would change: calls are rated in memory, slice by slice, and nothing is written."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import polars as pl
from sqlalchemy import Connection

from app.tasks.pricing import rates_of
from models.costs.rating import rate_calls
from models.prices.skus import with_price_keys
from models.store.call_frame import to_rate
from models.store.own_capacity import placements
from models.store.repriced import calls_of_slice, charges_of_slice, slices


@dataclass(slots=True)
class Repriced:
    """What pricing a period again did, or would do."""

    calls: int = 0
    changed: int = 0
    change: Decimal = Decimal(0)
    """Effective cost after less before, over what is priced."""


def can_be_rated_alone(connection: Connection, project_id: int) -> bool:
    """Whether prices alone decide what calls cost: hours of own hardware are shared among its calls."""
    return not placements(connection, project_id)


def would_change(connection: Connection, project_id: int, start: datetime, end: datetime) -> Repriced:
    """Rate the calls of open months that end in [start, end) and compare with their charges.

    A call is changed where a cost, its status or the reason for having none would be another one, or where it has no
    charge yet. Memory is that of a slice, however long the period.
    """
    done = Repriced()
    rates = rates_of(connection, project_id).rates
    for first, last in slices(connection, project_id, start, end):
        calls = calls_of_slice(connection, project_id, first, last)
        if calls.is_empty():
            continue
        rated = rate_calls(with_price_keys(to_rate(calls)), rates).charges
        now = rated.rename({"origin_id": "trace_id", "cost_without_cache": "uncached_cost"}).with_columns(
            calls["attribution_id"]
        )
        before = charges_of_slice(connection, project_id, first, last)
        both = now.join(before, on=["trace_id", "span_id"], how="left", suffix="_before")
        differs = pl.any_horizontal(
            pl.col("belongs").ne_missing(pl.col("attribution_id")),
            *(
                pl.col(name).ne_missing(pl.col(f"{name}_before"))
                for name in before.columns
                if name not in ("trace_id", "span_id", "belongs")
            ),
        )
        changed = both.filter(differs)
        done.calls += calls.height
        done.changed += changed.height
        done.change += _sum(changed["effective_cost"]) - _sum(changed["effective_cost_before"])
    return done


def _sum(costs: pl.Series) -> Decimal:
    """The sum of what is priced."""
    return sum((cost for cost in costs.to_frame().select(pl.first().sum()).to_series() if cost), Decimal(0))
