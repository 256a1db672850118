"""Cache figures of a period by agent and model: rates, savings, and what was written for nothing. No I/O, no clock."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from models.core.frames import USD, Schema, checked
from models.core.money import EXACT
from models.core.vocabulary import CACHE_WRITE_BUCKETS, READ_FROM_CACHE, Bucket
from models.costs.cache import INPUT_PARTS, SESSION_CALLS, cache_money, expiry, hit_rates, hour_beats_five_minutes

GROUP = ["agent", "model"]
GROUPED_CALLS: Schema = {"agent": pl.String(), "model": pl.String(), **SESSION_CALLS}
GROUPED_LINES: Schema = {
    "agent": pl.String(),
    "model": pl.String(),
    "bucket": pl.String(),
    "tokens": pl.Int64(),
    "quantity": pl.Int64(),
    "effective_cost": USD,
    "cost_without_cache": USD,
}
"""Sums of a bucket or a detail: its tokens, how many of them (`quantity`) have a price, and their cost; null costs
where none has. A detail is tokens of its bucket: its own row has costs and no tokens."""
GROUPED_COUNTS: Schema = {"agent": pl.String(), "model": pl.String(), "calls": pl.Int64()}
HOUR_SECONDS = 3600
HOUR_PAYS_FROM = hour_beats_five_minutes(Fraction(5, 4), Fraction(2), Fraction(1, 10))
"""Share of five-minute writes that must be rewrites after 5 to 60 minutes, at 1.25×, 2× and 0.1× of input."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CacheRow:
    """One agent and model, or all together. Rates in 0..1; null where nothing tells."""

    agent: str | None
    model: str | None
    calls: int
    """Calls of the whole period, as money and `written_tokens` are. Those not priced yet are not counted."""
    seen_calls: int
    """Calls looked at one by one: what rates, never read and rewritten tokens are from."""
    reporting_calls: int
    """Of the calls looked at, those that tell cache reads, even 0."""
    read_of_input: float | None
    read_of_cached: float | None
    read_of_readable: float | None
    cost: Decimal | None
    """Cost of the input with the cache."""
    without_cache: Decimal | None
    savings: Decimal | None
    write_premium: Decimal | None
    written_tokens: int
    seen_written_tokens: int
    """Written by the calls looked at."""
    never_read_tokens: int | None
    """Null, as `rewritten_tokens`, where no call was looked at."""
    never_read_cost: Decimal | None
    rewritten_tokens: int | None
    lost_to_expiry: Decimal | None
    """Estimated: rewritten tokens × (price of a write − price of a read); null where a price is not known."""
    rewrites_within_hour: float | None
    """Share of the tokens written by the calls looked at that rewrite what a pause of up to an hour had lost."""

    @property
    def hour_pays(self) -> bool | None:
        """Whether one-hour writes would be cheaper; None without writes."""
        return None if self.rewrites_within_hour is None else self.rewrites_within_hour >= float(HOUR_PAYS_FROM)


@dataclass(slots=True, frozen=True, kw_only=True)
class CacheReport:
    """The rows, largest savings first, and the total."""

    rows: list[CacheRow]
    total: CacheRow
    is_whole: bool
    """Whether every call of the period was looked at; else the newest ones, `total.seen_calls` of them."""


def cache_report(calls: pl.DataFrame, lines: pl.DataFrame, counts: pl.DataFrame, is_whole: bool = True) -> CacheReport:
    """Cache figures by agent and model.

    Shapes   calls looked at with GROUPED_CALLS' columns; of the whole period, sums with GROUPED_LINES' columns and
             numbers of calls with GROUPED_COUNTS' → one row per group that used tokens, and the total.
    Units    USD, tokens. Calls without a session are each a session of their own: nothing is known of their neighbours.
    Raises   FrameSchemaError.
    """
    checked(lines, "lines", GROUPED_LINES)
    checked(counts, "counts", GROUPED_COUNTS)
    told = calls.with_columns(pl.col("session").fill_null(pl.format("\x00{}", pl.int_range(pl.len()))))
    # An entry belongs to a model; an agent that changes models starts anew.
    pauses = expiry(
        told.with_columns(pl.format("{}\x00{}\x00{}", "session", _named("agent"), _named("model")).alias("session"))
    )
    written = pl.sum_horizontal(CACHE_WRITE_BUCKETS).fill_null(0)
    within = pl.when(pl.col("pause_seconds") <= HOUR_SECONDS).then(pl.col("rewritten_tokens")).otherwise(0)
    sums = [
        written.sum().alias("seen_written"),
        pl.col("never_read_tokens").fill_null(0).sum().alias("never_read"),
        pl.col("rewritten_tokens").fill_null(0).sum().alias("rewritten"),
        within.fill_null(0).sum().alias("within"),
    ]
    groups = pl.concat([calls.select(GROUP), lines.filter(_USED).select(GROUP)]).unique()
    rows = _joined(
        groups,
        counts,
        hit_rates(calls, GROUP).rename({"calls": "seen_calls"}),
        cache_money(lines, GROUP),
        _sums(lines, GROUP),
        pauses.group_by(GROUP).agg(sums),
    )
    # The calls of an agent and model of which none told any tokens are left out of the total as out of the rows.
    counted = counts.join(groups, on=GROUP, how="semi", nulls_equal=True)
    whole = _joined(
        *(
            frame.with_columns(pl.lit(None, pl.String).alias("agent"), pl.lit(None, pl.String).alias("model"))
            for frame in (
                counted.select(pl.col("calls").sum()),
                hit_rates(calls).rename({"calls": "seen_calls"}),
                cache_money(lines),
                _sums(lines, None),
                pauses.select(sums),
            )
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


# An agent that bears a share of another's call has costs of input without any tokens.
_USED = (pl.col("tokens") != 0) | (pl.col("bucket").is_in(INPUT_PARTS) & pl.col("effective_cost").is_not_null())
_READS = tuple(part.value for part in (Bucket.CACHE_READ, *READ_FROM_CACHE.values()))


def _named(column: str) -> pl.Expr:
    return pl.col(column).fill_null("")


def _sums(lines: pl.DataFrame, by: list[str] | None) -> pl.DataFrame:
    """Tokens written; and cost and tokens of reads and writes where priced: what one of them costs on average.

    Shares of a call's cost (allocations) count with the agent that bears them, its tokens with the one that called.
    """
    is_write = pl.col("bucket").is_in([bucket.value for bucket in CACHE_WRITE_BUCKETS])
    is_read = pl.col("bucket").is_in(_READS)
    known = pl.col("effective_cost").is_not_null()
    sums = [
        expression.alias(name)
        for name, which in (("write", is_write), ("read", is_read))
        for expression, name in (
            (pl.col("effective_cost").filter(which & known).sum(), f"{name}_cost"),
            (pl.col("quantity").filter(which).sum(), f"{name}_quantity"),
        )
    ]
    sums.append(pl.col("tokens").filter(is_write).sum().alias("written"))
    return lines.group_by(by).agg(sums) if by else lines.select(sums)


def _joined(rates: pl.DataFrame, *others: pl.DataFrame) -> list[dict[str, Any]]:
    for other in others:
        rates = rates.join(other, on=GROUP, how="left", nulls_equal=True)
    return rates.to_dicts()


def _row(row: dict[str, Any]) -> CacheRow:
    written, seen_calls, seen_written = row["written"] or 0, row["seen_calls"] or 0, row["seen_written"] or 0
    never, rewritten = (int(row[name] or 0) if seen_calls else None for name in ("never_read", "rewritten"))
    write, read = _each(row, "write"), _each(row, "read")
    lost = unread = None
    if rewritten == 0:
        lost = Decimal(0) if seen_written else None
    elif rewritten is not None and write is not None and read is not None:
        lost = EXACT.multiply(Decimal(rewritten), EXACT.subtract(write, read))
    if never is not None and seen_written and write is not None:
        unread = EXACT.multiply(Decimal(never), write)
    return CacheRow(
        agent=row["agent"],
        model=row["model"],
        calls=row["calls"] or 0,
        seen_calls=seen_calls,
        reporting_calls=row["reporting_calls"] or 0,
        read_of_input=row["read_of_input"],
        read_of_cached=row["read_of_cached"],
        read_of_readable=row["read_of_readable"],
        cost=row["input_cost"],
        without_cache=row["input_cost_without_cache"],
        savings=row["savings"],
        write_premium=row["write_premium"] if written else None,
        written_tokens=written,
        seen_written_tokens=seen_written,
        never_read_tokens=never,
        never_read_cost=unread,
        rewritten_tokens=rewritten,
        lost_to_expiry=lost,
        rewrites_within_hour=int(row["within"] or 0) / seen_written if seen_written else None,
    )


def _each(row: dict[str, Any], name: str) -> Decimal | None:
    cost, quantity = row[f"{name}_cost"], row[f"{name}_quantity"]
    return EXACT.divide(cost, Decimal(quantity)) if cost is not None and quantity > 0 else None


def _with_money(row: CacheRow, lost: Decimal | None, unread: Decimal | None) -> CacheRow:
    return replace(row, lost_to_expiry=lost, never_read_cost=unread)
