"""Cache figures of a period by agent and model: rates, savings, and what was written for nothing. No I/O, no clock."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from models.core.frames import USD, Schema
from models.core.money import EXACT
from models.core.vocabulary import CACHE_WRITE_BUCKETS, Bucket
from models.costs.cache import SESSION_CALLS, cache_money, expiry, hit_rates, hour_beats_five_minutes

GROUP = ["agent", "model"]
GROUPED_CALLS: Schema = {"agent": pl.String(), "model": pl.String(), **SESSION_CALLS}
GROUPED_LINES: Schema = {
    "agent": pl.String(),
    "model": pl.String(),
    "bucket": pl.String(),
    "quantity": pl.Int64(),
    "effective_cost": USD,
    "cost_without_cache": USD,
}
HOUR_SECONDS = 3600
HOUR_PAYS_FROM = hour_beats_five_minutes(Fraction(5, 4), Fraction(2), Fraction(1, 10))
"""Share of five-minute writes that must be rewrites after 5 to 60 minutes, at 1.25×, 2× and 0.1× of input."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CacheRow:
    """One agent and model, or all together. Rates in 0..1; null where nothing tells."""

    agent: str | None
    model: str | None
    calls: int
    reporting_calls: int
    read_of_input: float | None
    read_of_cached: float | None
    read_of_readable: float | None
    cost: Decimal | None
    """Cost of the input with the cache."""
    without_cache: Decimal | None
    savings: Decimal | None
    write_premium: Decimal | None
    written_tokens: int
    never_read_tokens: int
    never_read_cost: Decimal | None
    rewritten_tokens: int
    lost_to_expiry: Decimal | None
    """Estimated: rewritten tokens × (price of a write − price of a read); null where a price is not known."""
    rewrites_within_hour: float | None
    """Share of the written tokens that rewrite what a pause of up to an hour had lost."""

    @property
    def hour_pays(self) -> bool | None:
        """Whether one-hour writes would be cheaper; None without writes."""
        return None if self.rewrites_within_hour is None else self.rewrites_within_hour >= float(HOUR_PAYS_FROM)


@dataclass(slots=True, frozen=True, kw_only=True)
class CacheReport:
    """The rows, largest savings first, and the total of all calls."""

    rows: list[CacheRow]
    total: CacheRow
    is_whole: bool
    """Whether every call of the period was looked at; else the newest ones."""


def cache_report(calls: pl.DataFrame, lines: pl.DataFrame, is_whole: bool = True) -> CacheReport:
    """Cache figures by agent and model.

    Shapes   calls with GROUPED_CALLS' columns, their lines with GROUPED_LINES' → one row per group, and the total.
    Units    USD, tokens. Calls without a session are each a session of their own: nothing is known of their neighbours.
    """
    told = calls.with_columns(pl.col("session").fill_null(pl.format("\x00{}", pl.int_range(pl.len()))))
    # An entry belongs to a model; an agent that changes models starts anew.
    pauses = expiry(
        told.with_columns(pl.format("{}\x00{}\x00{}", "session", _named("agent"), _named("model")).alias("session"))
    )
    written = pl.sum_horizontal(CACHE_WRITE_BUCKETS).fill_null(0)
    within = pl.when(pl.col("pause_seconds") <= HOUR_SECONDS).then(pl.col("rewritten_tokens")).otherwise(0)
    sums = [
        written.sum().alias("written"),
        pl.col("never_read_tokens").fill_null(0).sum().alias("never_read"),
        pl.col("rewritten_tokens").fill_null(0).sum().alias("rewritten"),
        within.fill_null(0).sum().alias("within"),
    ]
    rows = _joined(
        hit_rates(calls, GROUP), cache_money(lines, GROUP), _prices(lines, GROUP), pauses.group_by(GROUP).agg(sums)
    )
    whole = _joined(
        *(
            frame.with_columns(pl.lit(None, pl.String).alias("agent"), pl.lit(None, pl.String).alias("model"))
            for frame in (hit_rates(calls), cache_money(lines), _prices(lines, None), pauses.select(sums))
        )
    )
    found = [_row(row) for row in rows]
    found.sort(key=lambda row: (row.savings is None, -(row.savings or Decimal(0)), row.agent or "", row.model or ""))
    total = _row(whole[0])
    lost = [row.lost_to_expiry for row in found if row.lost_to_expiry is not None]
    unread = [row.never_read_cost for row in found if row.never_read_cost is not None]
    # Money of tokens is priced model by model; the total is the sum of the rows and not an average price.
    total = _with_money(total, sum(lost, Decimal(0)) if lost else None, sum(unread, Decimal(0)) if unread else None)
    return CacheReport(rows=found, total=total, is_whole=is_whole)


def _named(column: str) -> pl.Expr:
    return pl.col(column).fill_null("")


def _prices(lines: pl.DataFrame, by: list[str] | None) -> pl.DataFrame:
    """Cost and tokens of reads and writes where priced: what one of them costs on average."""
    is_write = pl.col("bucket").is_in([bucket.value for bucket in CACHE_WRITE_BUCKETS])
    is_read = pl.col("bucket") == Bucket.CACHE_READ.value
    known = pl.col("effective_cost").is_not_null()
    sums = [
        expression.alias(name)
        for name, which in (("write", is_write), ("read", is_read))
        for expression, name in (
            (pl.col("effective_cost").filter(which & known).sum(), f"{name}_cost"),
            (pl.col("quantity").filter(which & known).sum(), f"{name}_quantity"),
        )
    ]
    return lines.group_by(by).agg(sums) if by else lines.select(sums)


def _joined(rates: pl.DataFrame, *others: pl.DataFrame) -> list[dict[str, Any]]:
    for other in others:
        rates = rates.join(other, on=GROUP, how="left", nulls_equal=True)
    return rates.to_dicts()


def _row(row: dict[str, Any]) -> CacheRow:
    written, rewritten = int(row["written"] or 0), int(row["rewritten"] or 0)
    write, read = _each(row, "write"), _each(row, "read")
    lost = None
    if rewritten == 0:
        lost = Decimal(0) if written else None
    elif write is not None and read is not None:
        lost = EXACT.multiply(Decimal(rewritten), EXACT.subtract(write, read))
    never = int(row["never_read"] or 0)
    return CacheRow(
        agent=row["agent"],
        model=row["model"],
        calls=row["calls"],
        reporting_calls=row["reporting_calls"],
        read_of_input=row["read_of_input"],
        read_of_cached=row["read_of_cached"],
        read_of_readable=row["read_of_readable"],
        cost=row["input_cost"],
        without_cache=row["input_cost_without_cache"],
        savings=row["savings"],
        write_premium=row["write_premium"] if written else None,
        written_tokens=written,
        never_read_tokens=never,
        never_read_cost=EXACT.multiply(Decimal(never), write) if written and write is not None else None,
        rewritten_tokens=rewritten,
        lost_to_expiry=lost,
        rewrites_within_hour=int(row["within"] or 0) / written if written else None,
    )


def _each(row: dict[str, Any], name: str) -> Decimal | None:
    cost, quantity = row[f"{name}_cost"], row[f"{name}_quantity"]
    return EXACT.divide(cost, Decimal(quantity)) if cost is not None and quantity else None


def _with_money(row: CacheRow, lost: Decimal | None, unread: Decimal | None) -> CacheRow:
    return replace(row, lost_to_expiry=lost, never_read_cost=unread)
