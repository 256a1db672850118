"""Prompt caching: hit rates by name, what the cache saved, what writing cost, and what was lost to expiry."""

from decimal import Decimal
from fractions import Fraction

import polars as pl

from models.core.frames import USD, Schema, checked, known_sum
from models.core.money import EXACT
from models.core.vocabulary import CACHE_WRITE_BUCKETS, INPUT_BUCKETS, READ_FROM_CACHE, Bucket

CACHE_CALLS: Schema = {bucket.value: pl.Int64() for bucket in INPUT_BUCKETS}
SESSION_CALLS: Schema = {"session": pl.String(), "at": pl.Datetime("us", "UTC"), **CACHE_CALLS}
COSTED_LINES: Schema = {
    "bucket": pl.String(),
    "quantity": pl.Int64(),
    "effective_cost": USD,
    "cost_without_cache": USD,
}

INPUT_PARTS = tuple(part.value for part in (*INPUT_BUCKETS, *READ_FROM_CACHE, *READ_FROM_CACHE.values()))
"""Buckets and details whose money is that of the input."""

TTL_SECONDS = {Bucket.CACHE_WRITE_5M: 300, Bucket.CACHE_WRITE_1H: 3600, Bucket.CACHE_WRITE_UNKNOWN: 300}
"""How long an unread entry lives; each read renews it. Not told means the provider's default, five minutes."""


def hit_rates(calls: pl.DataFrame, by: list[str] | None = None) -> pl.DataFrame:
    """Three hit rates, each with its denominator in its name; they are different numbers and never one.

    Shapes   frame with CACHE_CALLS' columns (n calls) → one row per group of `by` (one row without).
    Units    rates in 0..1 (Float64): read_of_input = read ÷ all input, read_of_cached = read ÷ (read + write),
             read_of_readable = read ÷ (read + uncached). Counts in tokens.
    Adds     calls, reporting_calls (that tell cache reads, even 0). A rate is null where no call reports cache
             reads, or where its denominator is 0: not reported is not 0 %. Only reporting calls count.
    Raises   FrameSchemaError.
    """
    checked(calls, "cache calls", CACHE_CALLS)
    telling = pl.col("cache_read").is_not_null()
    uncached = pl.sum_horizontal("input", "tool_use_input")
    written = pl.sum_horizontal(CACHE_WRITE_BUCKETS)
    summed = _grouped(
        calls,
        by,
        pl.len().cast(pl.Int64).alias("calls"),
        telling.sum().cast(pl.Int64).alias("reporting_calls"),
        known_sum("cache_read"),
        _known_where(written, telling).alias("cache_write"),
        _known_where(uncached, telling).alias("uncached"),
    )
    read, write, plain = pl.col("cache_read"), pl.col("cache_write"), pl.col("uncached")
    return summed.with_columns(
        _rate(read, read + write + plain).alias("read_of_input"),
        _rate(read, read + write).alias("read_of_cached"),
        _rate(read, read + plain).alias("read_of_readable"),
    )


def cache_money(lines: pl.DataFrame, by: list[str] | None = None) -> pl.DataFrame:
    """What the cache saved, and what writing to it cost above plain input.

    Shapes   frames.LINES (or any frame with COSTED_LINES' columns) → one row per group of `by`.
    Units    USD, scale 15.
    Adds     input_cost, input_cost_without_cache, savings (without − with, negative where writes never paid
             off), write_premium (write cost − the same tokens as plain input), unpriced_lines. Input buckets only.
             Each sum covers the lines where both costs are known; null where there is none.
    Raises   FrameSchemaError.
    Source   money rule D7: savings are avoided cost, shown and never booked.
    """
    checked(lines, "lines", COSTED_LINES)
    known = pl.col("effective_cost").is_not_null() & pl.col("cost_without_cache").is_not_null()
    written = pl.col("bucket").is_in([bucket.value for bucket in CACHE_WRITE_BUCKETS])
    with_cost, without = pl.col("effective_cost"), pl.col("cost_without_cache")
    return _grouped(
        lines.filter(pl.col("bucket").is_in(INPUT_PARTS)),
        by,
        _known_where(with_cost, known).alias("input_cost"),
        _known_where(without, known).alias("input_cost_without_cache"),
        _known_where(without - with_cost, known).alias("savings"),
        _known_where(with_cost - without, known & written).alias("write_premium"),
        (~known).sum().cast(pl.Int64).alias("unpriced_lines"),
    )


def expiry(calls: pl.DataFrame) -> pl.DataFrame:
    """Per call, what its session wrote that nobody read, and what a pause beyond the lifetime made it write again.

    Shapes   frame with SESSION_CALLS' columns (any order) → the same rows, ordered by session and time.
    Units    tokens; pause_seconds from the end of the session's previous call (null for its first).
    Adds     pause_seconds, ttl_seconds (the longest lifetime that the previous call's entry had), expired (the
             pause passed it and this call wrote), rewritten_tokens (what had been cached and was written again after
             such a pause), never_read_tokens (written here, and not read by the session's next call).
             Estimates from the order of calls: providers do not say why a read missed.
    Raises   FrameSchemaError.
    """
    checked(calls, "session calls", SESSION_CALLS)
    written = pl.sum_horizontal(CACHE_WRITE_BUCKETS)
    cached = written + pl.col("cache_read").fill_null(0)
    lifetime = pl.max_horizontal(pl.when(pl.col(bucket) > 0).then(seconds) for bucket, seconds in TTL_SECONDS.items())
    ordered = calls.sort("session", "at", maintain_order=True).with_columns(
        written.alias("_written"),
        cached.alias("_cached"),
        # A read renews the entry, so a call that only reads keeps the lifetime of what it reads.
        lifetime.forward_fill().over("session").fill_null(TTL_SECONDS[Bucket.CACHE_WRITE_5M]).alias("_ttl"),
    )
    ordered = ordered.with_columns(
        (pl.col("at").diff().over("session").dt.total_microseconds() / 1_000_000).alias("pause_seconds"),
        pl.col("_ttl").shift(1).over("session").alias("ttl_seconds"),
        pl.col("_cached").shift(1).over("session").alias("_before"),
        pl.col("cache_read").shift(-1).over("session").alias("_next_read"),
    )
    expired = (pl.col("pause_seconds") > pl.col("ttl_seconds")) & (pl.col("_written") > 0)
    lost = pl.min_horizontal("_written", pl.col("_before") - pl.col("cache_read").fill_null(0)).clip(0)
    # The next call reads the old prefix first, so only what it reads beyond that was written here.
    beyond = (pl.col("_next_read").fill_null(0) - pl.col("cache_read").fill_null(0)).clip(0)
    return ordered.with_columns(
        expired.fill_null(False).alias("expired"),
        pl.when(expired).then(lost).otherwise(0).cast(pl.Int64).alias("rewritten_tokens"),
        (pl.col("_written") - pl.min_horizontal("_written", beyond)).cast(pl.Int64).alias("never_read_tokens"),
    ).drop("_written", "_cached", "_ttl", "_before", "_next_read")


def expiry_cost(rewritten_tokens: int, write_price_per_m: Decimal, read_price_per_m: Decimal) -> Decimal:
    """What rewriting after expiry cost above reading. Units: tokens, USD per million → USD, exactly."""
    premium = EXACT.subtract(write_price_per_m, read_price_per_m)
    return EXACT.divide(EXACT.multiply(Decimal(rewritten_tokens), premium), Decimal(1_000_000))


def input_share_with_cache(hit_rate: Fraction, read_multiple: Fraction, write_multiple: Fraction) -> Fraction:
    """Input cost with a cache ÷ without, when a share of the input is read and the rest written.

    Units    `hit_rate` = read ÷ all input; multiples of the input price. 95 % at 0.1 with writes at 1.25 → 0.1575.
    """
    return hit_rate * read_multiple + (1 - hit_rate) * write_multiple


def reads_to_break_even(write_multiple: Fraction, read_multiple: Fraction) -> Fraction:
    """Reads per write from which caching is cheaper than plain input: (write − 1) ÷ (1 − read).

    Raises   ValueError when reading costs no less than plain input; then caching never pays.
    """
    if read_multiple >= 1:
        raise ValueError(f"read multiple {float(read_multiple)}: reading is not cheaper than input, caching never pays")
    return max(Fraction(0), write_multiple - 1) / (1 - read_multiple)


def hour_beats_five_minutes(short_multiple: Fraction, long_multiple: Fraction, read_multiple: Fraction) -> Fraction:
    """Share of writes that must be rewrites after 5 to 60 minutes for the one-hour lifetime to be cheaper.

    With the longer lifetime a share x of the writes becomes reads, the others cost more: it is cheaper from
    (1 − x)·long + x·read = short on. With 1.25, 2 and 0.1 that is 0.75 ÷ 1.9, about 39 %.
    Raises   ValueError when a rewrite costs no more than a read.
    """
    saved_per_rewrite = short_multiple - read_multiple
    if saved_per_rewrite <= 0:
        raise ValueError("a rewrite costs no more than a read: the longer lifetime never pays")
    premium = long_multiple - short_multiple
    return min(Fraction(1), premium / (premium + saved_per_rewrite))


def _grouped(frame: pl.DataFrame, by: list[str] | None, *sums: pl.Expr) -> pl.DataFrame:
    return frame.group_by(by, maintain_order=True).agg(*sums) if by else frame.select(*sums)


def _known_where(value: pl.Expr, known: pl.Expr) -> pl.Expr:
    return pl.when(known.any()).then(value.filter(known).sum()).otherwise(None)


def _rate(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole).otherwise(None)
