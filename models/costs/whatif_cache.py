"""Another cache policy for real calls: which input tokens would be read, written or plain."""

from decimal import Decimal

import polars as pl

from models.core.vocabulary import READ_FROM_CACHE

WRITES = ("cache_write_5m", "cache_write_1h", "cache_write_unknown")
CACHED = ("cache_read", *WRITES)
CACHED_DETAILS = {cached.value: fresh.value for fresh, cached in READ_FROM_CACHE.items()}
"""A detail inside the cached reads → the detail it becomes when they are plain input."""


def with_cache(calls: pl.DataFrame, policy: str, hit_rate: Decimal | None) -> pl.DataFrame:
    """Calls with their input spread over the cache buckets as a policy would; the sum of the input stays.

    Shapes   frames.CALLS → same rows; calls that tell nothing of a bucket keep it unknown.
    Source   `none`: everything cached becomes plain input. `5m`, `1h`: writes live that long; with a hit rate, that
             share of the whole input is read and the rest is written, for calls that used the cache at all.
    """
    known = pl.any_horizontal(pl.col(name).is_not_null() for name in ("input", *CACHED))
    total = pl.sum_horizontal("input", *CACHED)
    uses_cache = pl.sum_horizontal(*CACHED) > 0
    if policy == "none":
        audio = [pl.sum_horizontal(plain, cached).alias(plain) for cached, plain in CACHED_DETAILS.items()]
        cleared = [pl.when(known).then(0).otherwise(pl.col(name)).cast(pl.Int64).alias(name) for name in CACHED]
        nothing = [pl.lit(None, pl.Int64).alias(name) for name in CACHED_DETAILS]
        return calls.with_columns(
            pl.when(known).then(total).otherwise("input").alias("input"), *audio, *cleared
        ).with_columns(nothing)
    target = f"cache_write_{policy}"
    if hit_rate is None:
        written = pl.sum_horizontal(*WRITES)
        moved = [
            pl.when(known).then(written if name == target else 0).otherwise(pl.col(name)).cast(pl.Int64).alias(name)
            for name in WRITES
        ]
        return calls.with_columns(moved)
    # Whole tokens: the share in parts per million, multiplied before it is divided.
    parts = int(hit_rate * 1_000_000)
    reads = total * parts // 1_000_000
    spread = {"input": pl.lit(0), "cache_read": reads, **dict.fromkeys(WRITES, pl.lit(0)), target: total - reads}
    return calls.with_columns(
        pl.when(known & uses_cache).then(figure).otherwise(pl.col(name)).cast(pl.Int64).alias(name)
        for name, figure in spread.items()
    )
