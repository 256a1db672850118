"""Corrections: what re-pricing changes, and how a closed period takes it without a row of its own changing."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from models.core.errors import Conflict
from models.core.frames import USD, UTC_US, Schema, checked
from models.core.money import split_exactly

COST_NAMES = ("list_cost", "billed_cost", "effective_cost")
PRICED: Schema = {
    "charge_id": pl.Int64(),
    "at": UTC_US,
    "agent": pl.String(),
    "team": pl.String(),
    "sku": pl.String(),
    **dict.fromkeys(COST_NAMES, USD),
}
"""Charges before and after re-pricing, paired by charge_id. `at` is the end of the call."""


@dataclass(slots=True, frozen=True)
class Repricing:
    """The outcome of re-pricing, not yet written."""

    replacements: pl.DataFrame
    """Charges of open months that differ: charge_id and the new costs."""
    corrections: pl.DataFrame
    """For closed months: day, agent, team, sku, part (`reversal` or `rebooking`) and costs; two rows per group."""
    now_unpriced: int
    """Charges that had a cost and would have none; they are never booked as 0, the dry run must show them."""


def repricing_diff(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """What re-pricing changes, by month, team and SKU: the dry run.

    Shapes   PRICED × PRICED (the same charges) → month, team, sku, calls, old, new, delta, became_priced,
             became_unpriced; only groups with a difference.
    Units    USD of effective cost; old and new sum the charges known on both sides and those known on one.
             delta = Σ new − Σ old, exactly.
    Raises   FrameSchemaError; Conflict when the two do not hold the same charges.
    Source   money rule P4.
    """
    pairs = _paired(before, after)
    old, new = pl.col("effective_cost"), pl.col("effective_cost_after")
    return (
        pairs.filter(old.ne_missing(new))
        .group_by(pl.col("at").dt.strftime("%Y-%m").alias("month"), "team", "sku")
        .agg(
            pl.len().cast(pl.Int64).alias("calls"),
            old.sum().alias("old"),
            new.sum().alias("new"),
            (new.sum() - old.sum()).alias("delta"),
            (old.is_null() & new.is_not_null()).sum().cast(pl.Int64).alias("became_priced"),
            (old.is_not_null() & new.is_null()).sum().cast(pl.Int64).alias("became_unpriced"),
        )
        .sort("month", "team", "sku")
    )


def reprice(before: pl.DataFrame, after: pl.DataFrame, closed_months: frozenset[str]) -> Repricing:
    """Turn new prices into replacements (open months) and corrections (closed months).

    Shapes   PRICED × PRICED × months `YYYY-MM` → Repricing.
    Adds     per closed day × agent × team × SKU one reversal (− what was booked) and one re-booking (+ the new
             cost) of the charges that differ. Their sum over all groups is the dry run's delta exactly.
             A late call whose old cost was unknown is re-booked with nothing to reverse (no row of 0).
    Raises   FrameSchemaError; Conflict when the two do not hold the same charges.
    Source   money rules P4, P6, C1 and C2.
    """
    pairs = _paired(before, after)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_after")) for name in COST_NAMES)
    lost = pl.col("effective_cost").is_not_null() & pl.col("effective_cost_after").is_null()
    changed = pairs.filter(differs)
    closed = pl.col("at").dt.strftime("%Y-%m").is_in(list(closed_months))
    replacements = changed.filter(~closed).select(
        "charge_id", *(pl.col(f"{name}_after").alias(name) for name in COST_NAMES)
    )
    # A cost that would become unknown stays booked: only a person may write it off.
    amended = changed.filter(closed & ~lost)
    corrections = pl.concat([_part(amended, "reversal", "", -1), _part(amended, "rebooking", "_after", 1)])
    return Repricing(
        replacements,
        corrections.sort("day", "agent", "team", "sku", "part"),
        changed.select(lost.sum()).item(),
    )


def document_amounts(costs: Mapping[str, Decimal], digits: int = 2) -> dict[str, Decimal]:
    """Costs as a document prints them: the total is rounded once, then split so that the parts sum to it.

    Units    currency; `digits` of the currency's minor unit (2 for USD, 0 for JPY, 3 for KWD). Costs of mixed sign
             are split by sign, so that each part stays within one unit of exact.
    Source   money rules M3 and M4 (half to even, largest remainder).
    """
    quantum = Decimal(1).scaleb(-digits)
    total = sum(costs.values(), Decimal(0)).quantize(quantum)
    positive = {key: cost for key, cost in costs.items() if cost > 0}
    negative = {key: -cost for key, cost in costs.items() if cost < 0}
    credit = sum(negative.values(), Decimal(0)).quantize(quantum)
    if not positive:
        credit = -total
    parts = {key: Decimal(0).quantize(quantum) for key in costs}
    if positive:
        parts |= split_exactly(total + credit, positive, digits)
    if negative:
        parts |= split_exactly(-credit, negative, digits)
    return parts


def _paired(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    checked(before, "charges before", PRICED)
    checked(after, "charges after", PRICED)
    fresh = after.select("charge_id", *(pl.col(name).alias(f"{name}_after") for name in COST_NAMES))
    pairs = before.join(fresh, on="charge_id", how="inner", validate="1:1")
    if not pairs.height == before.height == after.height:
        raise Conflict(
            f"{before.height} charges before and {after.height} after re-pricing, {pairs.height} in both. "
            "Price the same charges again."
        )
    return pairs


def _part(amended: pl.DataFrame, part: str, suffix: str, sign: int) -> pl.DataFrame:
    return (
        amended.filter(pl.col(f"effective_cost{suffix}").is_not_null())
        .group_by(pl.col("at").dt.date().alias("day"), "agent", "team", "sku")
        .agg(
            pl.lit(part).alias("part"),
            pl.len().cast(pl.Int64).alias("calls"),
            *((pl.col(f"{name}{suffix}").sum() * sign).cast(USD).alias(name) for name in COST_NAMES),
        )
    )
