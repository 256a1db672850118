"""Rating: calls and the rates in force become charges with a line per bucket. No I/O, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from models.core.frames import CALL_KEYS, CALLS, CHARGES, COSTS, LINES, PARTS, REQUESTS, USD, checked
from models.core.vocabulary import BUCKETS, INPUT_BUCKETS, READ_FROM_CACHE, Bucket, Detail, PriceStatus
from models.costs.rate_cards import ANY_REGION, CARD_KEYS, RateCards, cards_of

STANDARD_TIER = "standard"
STANDARD_TIERS = ("standard", "default", "auto", "on_demand", "on-demand", "standard_only")
"""What providers write for the tier without surcharge or discount; nothing told means it too."""

INSIDE: dict[str, tuple[Detail, ...]] = {
    Bucket.INPUT: (Detail.INPUT_AUDIO, Detail.INPUT_IMAGE),
    Bucket.CACHE_READ: (Detail.CACHE_READ_AUDIO, Detail.CACHE_READ_IMAGE),
    Bucket.OUTPUT: (Detail.OUTPUT_AUDIO, Detail.OUTPUT_IMAGE),
}
"""Bucket → the details that lie inside it."""
_INNER = tuple(detail for details in INSIDE.values() for detail in details)
_COSTS = tuple(COSTS)


@dataclass(slots=True, frozen=True)
class Rated:
    """What rating gives back: frames.CHARGES, one per call, and frames.LINES."""

    charges: pl.DataFrame
    lines: pl.DataFrame


def rate_calls(calls: pl.DataFrame, rates: pl.DataFrame) -> Rated:
    """Price every call with the rates in force when it ended, exactly.

    Shapes   frames.CALLS (n rows) × frames.RATES → n charges in the order of the calls, and their lines.
    Units    counts in tokens (or requests); prices in USD per million; costs in USD, scale 15, never rounded.
    Adds     costs, price_status, unpriced_reason, unpriced_tokens. Null cost = unknown, 0 = free. A call with one
             part that has no rate is unpriced as a whole; a part with nothing in it needs no rate.
    Raises   FrameSchemaError, OverlappingRates, PriceTooFine.
    Source   money rules P1–P3 and D2: half-open dated rates, the served tier, and the band of the total input
             (all input buckets) decide for all tokens of the call; audio and image parts leave their bucket
             only where they have a rate of their own. Where they have one and nobody tells how much of them
             was read from the cache, the call is unpriced: the two rates differ, and none is taken for both.
    """
    checked(calls, "calls", CALLS)
    cards = cards_of(rates, calls.select("price_provider", "price_model").unique())
    counts = [bucket.value for bucket in BUCKETS]
    table = (
        calls.select(list(CALLS))
        .with_row_index("row")
        .with_columns(
            pl.sum_horizontal(INPUT_BUCKETS).alias("total_input"),
            pl.sum_horizontal(counts).alias("tokens"),
            pl.all_horizontal(pl.col(counts).is_null()).alias("absent"),
            _tier().alias("tier"),
        )
    )
    table = table.with_columns(pl.when(pl.col("tokens") > 0).then(1).cast(pl.Int64).alias(REQUESTS))
    table = _with_card(table, cards)
    parts = _parts_in_use(table)
    wanted = [f"{name}_{part}" for part in parts for name in _CARD_COLUMNS]
    table = table.join(cards.prices.select("card", *wanted), on="card", how="left", maintain_order="left")
    table = table.with_columns(_quantity(part, parts).alias(f"quantity_{part}") for part in parts)
    table = table.with_columns(_reason(parts, cards).alias("unpriced_reason"))
    table = table.with_columns(pl.col("unpriced_reason").is_null().alias("priced"))
    table = table.with_columns(expression for part in parts for expression in _part_costs(part))
    return Rated(_charges(table, parts), _lines(table, parts))


_CARD_COLUMNS = (
    "rate",
    "price",
    "unit",
    "billed_rate",
    "billed_price",
    "billed_unit",
    "plain_unit",
    "assumption",
)


def _tier() -> pl.Expr:
    told = pl.col("service_tier").str.to_lowercase()
    return pl.when(told.is_null() | told.is_in(STANDARD_TIERS)).then(pl.lit(STANDARD_TIER)).otherwise(told)


def _with_card(table: pl.DataFrame, cards: RateCards) -> pl.DataFrame:
    """The card of each call: its key chooses the cells, its end, time of day and total input the one cell."""
    regional = cards.cells.select(CARD_KEYS).unique().rename({"region": "own_region"})
    narrow = table.select("row", "price_provider", "price_model", "tier", "region", "at", "total_input")
    narrow = narrow.join(
        regional.with_columns(pl.col("own_region").alias("region")),
        on=list(CARD_KEYS),
        how="left",
        maintain_order="left",
    ).with_columns(pl.col("own_region").fill_null(ANY_REGION).alias("region"), pl.col("at").dt.epoch("us"))
    day = pl.col("at").mod(86_400_000_000)
    fitting = (
        (pl.col("at") >= pl.col("at_from"))
        & (pl.col("at") < pl.col("at_to"))
        & (day >= pl.col("day_from"))
        & (day < pl.col("day_to"))
        & (pl.col("total_input") >= pl.col("band_from"))
        & (pl.col("total_input") < pl.col("band_to"))
    )
    cell = narrow.join(cards.cells, on=list(CARD_KEYS), how="inner").filter(fitting).select("row", "card")
    return table.join(cell, on="row", how="left", maintain_order="left")


def _parts_in_use(table: pl.DataFrame) -> list[str]:
    used = table.select((pl.col(part) != 0).any().alias(part) for part in PARTS).row(0, named=True)
    return [part for part in PARTS if used[part]]


def _quantity(part: str, parts: Sequence[str]) -> pl.Expr:
    """Tokens priced at the part's own rate: details leave their bucket where they have a rate, and only there."""
    own = pl.col(part)
    if part in _INNER:
        return pl.when(_is_apart(part)).then(own)
    if part == REQUESTS:
        return pl.when(pl.col(f"unit_{part}").is_not_null()).then(own)
    for detail in INSIDE.get(part, ()):
        if detail in parts:
            taken = pl.when(_is_apart(detail)).then(pl.col(detail).fill_null(0)).otherwise(0)
            own = own - taken
    return own


def _is_apart(detail: str) -> pl.Expr:
    """Whether a part leaves its bucket: it has a rate of its own, and how much of it lies there is known."""
    return pl.col(f"unit_{detail}").is_not_null() & ~_is_unsplit(detail)


def _is_unsplit(detail: str) -> pl.Expr:
    """Whether a part of the prompt lies in the fresh input and in the cached one, nobody tells how much in which."""
    if detail not in READ_FROM_CACHE:
        return pl.lit(False)
    cached = pl.col(READ_FROM_CACHE[Detail(detail)].value)
    return ((pl.col(detail) > 0) & (pl.col("cache_read") > 0) & cached.is_null()).fill_null(False)


def _reason(parts: Sequence[str], cards: RateCards) -> pl.Expr:
    """Why a call has no cost, or null: the first that holds, from what is least known to what is best known."""
    sku = pl.format("model {} of provider {}", pl.col("price_model"), pl.col("price_provider"))
    keys = [pl.col("price_provider"), pl.col("price_model")]
    known = cards.cells.select("price_provider", "price_model", "tier").unique()
    models = pl.struct(keys).is_in(known.select("price_provider", "price_model").to_struct().implode())
    tiers = pl.struct(*keys, "tier").is_in(known.to_struct().implode())
    nothing = pl.all_horizontal(pl.col(part).fill_null(0) == 0 for part in parts) if parts else pl.lit(True)
    below_zero = [pl.col(f"quantity_{part}").fill_null(0) < 0 for part in parts]
    reason = (
        pl.when(pl.col("absent"))
        .then(pl.lit("usage absent"))
        .when(nothing)
        .then(None)
        .when(pl.any_horizontal(below_zero) if parts else pl.lit(False))
        .then(pl.lit("a count is below zero, or a part exceeds its bucket"))
        .when(pl.col("price_provider").is_null() | pl.col("price_model").is_null())
        .then(pl.col("price_reason").fill_null("no provider or model named"))
        .when(~models)
        .then(pl.format("no price for {}", sku))
        .when(~tiers)
        .then(pl.format("no price for tier {} of {}", pl.col("tier"), sku))
        .when(pl.col("card").is_null())
        .then(pl.format("no price for {} in force on {}", sku, pl.col("at").dt.strftime("%Y-%m-%d")))
    )
    for part in parts:
        if part in READ_FROM_CACHE:
            unsplit = _is_unsplit(part) & pl.col(f"unit_{part}").is_not_null()
            untold = f"how much of {part} was read from the cache is not told, and it has a rate of its own"
            reason = reason.when(unsplit).then(pl.lit(untold))
        missing = (pl.col(f"quantity_{part}") > 0) & pl.col(f"unit_{part}").is_null()
        reason = reason.when(missing).then(pl.format(f"no {part} price for {{}}", sku))
    return reason.otherwise(None).cast(pl.String)


def _part_costs(part: str) -> list[pl.Expr]:
    # A count times the price of one token: both are exact, so is the product. Polars keeps the price's scale.
    units = {"list_cost": "unit", "billed_cost": "billed_unit", "effective_cost": "billed_unit"}
    units["cost_without_cache"] = "plain_unit"
    quantity = pl.col(f"quantity_{part}")
    return [
        pl.when(pl.col("priced") & (quantity > 0))
        .then(quantity * pl.col(f"{unit}_{part}"))
        .cast(USD)
        .alias(f"{cost}_{part}")
        for cost, unit in units.items()
    ]


def _charges(table: pl.DataFrame, parts: Sequence[str]) -> pl.DataFrame:
    def total(cost: str) -> pl.Expr:
        known = pl.col("priced")
        for part in parts:
            known = known & ((pl.col(f"quantity_{part}").fill_null(0) == 0) | pl.col(f"{cost}_{part}").is_not_null())
        cells = [pl.col(f"{cost}_{part}").fill_null(0) for part in parts]
        summed = sum(cells[1:], cells[0]) if cells else pl.lit(0)
        return pl.when(known).then(summed.cast(USD)).alias(cost)

    status = pl.when("priced").then(pl.lit(PriceStatus.PRICED.value)).otherwise(pl.lit(PriceStatus.UNPRICED.value))
    return table.select(
        *CALL_KEYS,
        *(total(cost) for cost in _COSTS),
        status.alias("price_status"),
        "unpriced_reason",
        pl.when("priced").then(0).otherwise("tokens").cast(pl.Int64).alias("unpriced_tokens"),
    ).match_to_schema(pl.Schema(CHARGES))


def _lines(table: pl.DataFrame, parts: Sequence[str]) -> pl.DataFrame:
    frames = [
        table.filter(pl.col(f"quantity_{part}") > 0).select(
            *CALL_KEYS,
            pl.lit(str(part)).alias("bucket"),
            pl.col(f"quantity_{part}").alias("quantity"),
            pl.col(f"rate_{part}").alias("rate_id"),
            pl.col(f"price_{part}").alias("price_per_m"),
            pl.col(f"billed_rate_{part}").alias("billed_rate_id"),
            pl.col(f"billed_price_{part}").alias("billed_price_per_m"),
            *(pl.col(f"{cost}_{part}").alias(cost) for cost in _COSTS),
            pl.col(f"assumption_{part}").alias("assumption"),
        )
        for part in parts
    ]
    return pl.concat(frames).select(list(LINES)) if frames else pl.DataFrame(schema=LINES)
