"""Calls and rates for tests of pricing, one row at a time."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from models.core.frames import CALLS, RATES

NOON = datetime(2025, 12, 1, 12, tzinfo=UTC)


def call(provider: str = "acme", model: str = "m1", at: datetime = NOON, **facts: Any) -> dict[str, Any]:
    """One call; counts and other columns by name."""
    row = dict.fromkeys(CALLS)
    row |= {"project_id": 1, "origin_id": b"t" * 16, "span_id": b"s" * 8, "at": at}
    row |= {"provider": provider, "model": model, "price_provider": provider, "price_model": model}
    return row | facts


def calls(*rows: dict[str, Any]) -> pl.DataFrame:
    """Calls as a frame, each with a span id of its own."""
    numbered = [row | {"span_id": number.to_bytes(8, "big")} for number, row in enumerate(rows, start=1)]
    return pl.DataFrame(numbered, schema=CALLS)


def rate(bucket: str, price_per_m: str, **facts: Any) -> dict[str, Any]:
    """One list rate of acme's m1, in force always."""
    row = dict.fromkeys(RATES)
    row |= {"kind": "list", "priority": 0, "price_provider": "acme", "price_model": "m1", "bucket": bucket}
    row |= {"tier": "standard", "context_from": 0, "price_per_m": Decimal(price_per_m), "source": "test"}
    return row | facts


def rates(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rates as a frame, numbered from 1."""
    numbered = [{**row, "rate_id": number} for number, row in enumerate(rows, start=1)]
    return pl.DataFrame(numbered, schema=RATES)
