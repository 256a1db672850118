"""Prices: the rates in force, a project's own rates, and models that have none."""

from datetime import datetime
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app import wiring
from app.auth import Principal, editor, viewer
from app.price_changes import add_own_rates, remove_own_rate
from models.core.money import plain
from models.core.time import rfc3339
from models.prices.books import own_rate
from models.prices.skus import price_key
from models.store.prices import rates_in_force
from models.store.unpriced import unpriced_usage

router = APIRouter(prefix="/api/v1/prices", tags=["prices"])


class NewRate(BaseModel):
    """A rate of one's own: USD per million of a bucket of a model over a half-open period."""

    model_config = ConfigDict(extra="forbid")

    provider: str = Field(min_length=1, examples=["openai"])
    model: str = Field(min_length=1, examples=["gpt-4o"])
    bucket: str = Field(examples=["input"])
    price_per_m: str = Field(examples=["2.50"])
    kind: str = "list"
    tier: str = "standard"
    region: str | None = None
    context_from: int = 0
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    daily_start: str | None = None
    daily_end: str | None = None
    source: str | None = None
    end_previous: bool = False
    """Replace a price of the same thing and period, or end an open one where this one begins, instead of answering
    409."""


@router.get("")
def list_prices(
    who: Annotated[Principal, Depends(viewer)],
    provider: str | None = None,
    model: str | None = None,
    bucket: str | None = None,
    tier: str | None = None,
    own: bool | None = None,
    at: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """The rates a project's calls are priced by; names as spans have them, or as the price list does."""
    with wiring.transaction() as connection:
        rates = rates_in_force(connection, who.project_id).rates
    if provider is not None and model is not None:
        key = price_key(provider, model)
        provider, model = key.provider, key.model
    wanted = {"price_provider": provider, "price_model": model, "bucket": bucket, "tier": tier}
    rates = rates.filter(pl.lit(True), *(pl.col(name) == value for name, value in wanted.items() if value is not None))
    if own is not None:
        rates = rates.filter((pl.col("priority") > 0) == own)
    if at is not None:
        began = pl.col("valid_from").is_null() | (pl.col("valid_from") <= at)
        rates = rates.filter(began & (pl.col("valid_to").is_null() | (pl.col("valid_to") > at)))
    order = ["price_provider", "price_model", "tier", "bucket", "context_from", "valid_from", "rate_id"]
    page = rates.sort(order, nulls_last=False).slice(cursor, limit)
    following = cursor + page.height
    return {
        "currency": "USD",
        "rows": [shown(rate) for rate in page.to_dicts()],
        "total": rates.height,
        "next_cursor": following if following < rates.height else None,
    }


@router.get("/unpriced")
def list_unpriced(
    who: Annotated[Principal, Depends(viewer)],
    project: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> dict[str, Any]:
    """Models without a price, why, and the calls and tokens whose cost is therefore unknown."""
    with wiring.transaction() as connection:
        found = unpriced_usage(connection, who.readable(project), start, end)
    rows = [
        {
            "provider": row.provider,
            "model": row.model,
            "reason": row.reason,
            "calls": row.calls,
            "tokens": row.tokens,
            "first": rfc3339(row.first),
            "last": rfc3339(row.last),
        }
        for row in found
    ]
    return {"rows": rows, "calls": sum(row.calls for row in found), "tokens": sum(row.tokens for row in found)}


@router.post("", status_code=201)
def add_price(who: Annotated[Principal, Depends(editor)], rate: NewRate) -> dict[str, Any]:
    """Add a rate of one's own; it stands above the shipped list. What was charged before stays until it is repriced."""
    row = own_rate(rate.model_dump(exclude={"end_previous"}))
    with wiring.transaction() as connection:
        book_id = add_own_rates(connection, who.project_id, [row], who.actor, rate.end_previous)
    return {"book_id": book_id, **shown(row)}


@router.delete("/{rate_id}", status_code=204)
def remove_price(who: Annotated[Principal, Depends(editor)], rate_id: int) -> Response:
    """Remove a rate of one's own. What was charged by it stays until it is repriced."""
    with wiring.transaction() as connection:
        remove_own_rate(connection, who.project_id, rate_id, who.actor)
    return Response(status_code=204)


def shown(rate: dict[str, Any]) -> dict[str, Any]:
    """A rate as the API shows it: money and times as text."""
    return {
        "rate_id": str(rate["rate_id"]),
        "provider": rate["price_provider"],
        "model": rate["price_model"],
        "bucket": rate["bucket"],
        "price_per_m": plain(rate["price_per_m"]),
        "kind": rate["kind"],
        "tier": rate["tier"],
        "region": rate["region"],
        "context_from": rate["context_from"],
        "valid_from": rate["valid_from"] and rfc3339(rate["valid_from"]),
        "valid_to": rate["valid_to"] and rfc3339(rate["valid_to"]),
        "daily_start": rate["daily_start"] and f"{rate['daily_start']:%H:%M}",
        "daily_end": rate["daily_end"] and f"{rate['daily_end']:%H:%M}",
        "source": rate["source"],
        "own": rate["priority"] > 0,
    }
