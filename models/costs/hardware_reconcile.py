"""Capacity bills shared among the calls that used them: Σ calls + idle = the bill, to the last digit."""

from decimal import Decimal

import polars as pl

from models.core.errors import JevonsError
from models.core.frames import CALL_KEYS, USD, Schema, checked
from models.core.money import SCALE

BILL_KEYS = ("project_id", "deployment", "hour")
OCCUPIED: Schema = {
    **CALL_KEYS,
    "deployment": pl.String(),
    "hour": pl.Datetime("us", "UTC"),
    "accelerator_seconds": pl.Float64(),
}
"""Calls on deployments with the chip-seconds they occupied; null where that is unknown."""
BILLS: Schema = {
    "project_id": pl.Int64(),
    "deployment": pl.String(),
    "hour": pl.Datetime("us", "UTC"),
    "chip_seconds": pl.Float64(),
    "cost": USD,
}
"""Capacity of a deployment in an hour: chips × seconds provisioned, and what they cost."""

NANOSECONDS = 1e9
WIDEST_QUANTA = 10**24
"""Largest bill of one deployment-hour in units of 10⁻¹⁵ USD; times 10¹⁴ chip-nanoseconds it still fits 128 bits."""
WIDEST_WEIGHT = 10**14
"""28 chip-hours in nanoseconds. Larger weights are counted in coarser units, the same for a whole bill."""


class BillTooLarge(JevonsError):
    """A bill of one deployment-hour that 128-bit arithmetic cannot share exactly."""

    code = "bill_too_large"
    status = 422

    def __init__(self, deployment: str, cost: Decimal) -> None:
        super().__init__(
            f"the capacity of {deployment} costs {cost} USD in one hour, above the limit of 10⁹ USD. "
            "Check the price per chip-hour and the number of chips."
        )


class CapacityTwice(JevonsError):
    """Two bills for one deployment and hour."""

    code = "capacity_twice"
    status = 409

    def __init__(self, deployment: str, hour: object, count: int) -> None:
        super().__init__(f"{deployment} has {count} capacity rows for {hour}. Merge them into one.")


def share_capacity(occupied: pl.DataFrame, bills: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Share every capacity bill among its calls by occupied chip-seconds; what nobody occupied is idle.

    Shapes   OCCUPIED (n rows) × BILLS (m rows) → (n rows in the same order, m rows in the same order).
    Units    USD, scale 15.
    Adds     calls: effective_cost; null where the chip-seconds are unknown or the hour has no bill.
             bills: used_chip_seconds, scale_factor (below 1 where the model claims more than there was),
             used_cost, idle_cost; used_cost + idle_cost = cost and Σ effective_cost = used_cost, exactly.
    Raises   FrameSchemaError, CapacityTwice, BillTooLarge.
    Source   largest remainder in units of 10⁻¹⁵ USD; ties go to the larger use, then to the smaller call key,
             to idle last. A bill without any use, or without chips, is idle as a whole.
    """
    checked(occupied, "occupied", OCCUPIED)
    checked(bills, "bills", BILLS)
    _check_bills(bills)
    priced = bills.filter(pl.col("cost").is_not_null()).select(
        *BILL_KEYS,
        pl.col("chip_seconds").alias("_capacity"),
        # A decimal of scale 15 is stored as the whole number of its units.
        pl.col("cost").to_physical().cast(pl.Int128).alias("_quanta"),
    )
    calls = occupied.with_row_index("_row")
    used = calls.filter(pl.col("accelerator_seconds").is_not_null()).join(priced, on=list(BILL_KEYS), how="inner")
    claims = pl.concat(
        [
            used.select("_row", *CALL_KEYS, "deployment", "hour", pl.col("accelerator_seconds").alias("_seconds")),
            _idle_claims(used, priced),
        ]
    ).join(priced.select(*BILL_KEYS, "_quanta"), on=list(BILL_KEYS), how="left")
    shared = _largest_remainder(claims)
    costs = shared.filter(pl.col("_row").is_not_null()).select("_row", "_units")
    answered = (
        calls.join(costs, on="_row", how="left", maintain_order="left")
        .with_columns(units_as_money("_units").alias("effective_cost"))
        .drop("_row", "_units")
    )
    idle = shared.filter(pl.col("_row").is_null()).select(*BILL_KEYS, pl.col("_units").alias("_idle"))
    sums = used.group_by(BILL_KEYS).agg(pl.col("accelerator_seconds").sum().alias("used_chip_seconds"))
    lines = (
        bills.join(idle, on=list(BILL_KEYS), how="left", maintain_order="left")
        .join(sums, on=list(BILL_KEYS), how="left", maintain_order="left")
        .with_columns(
            pl.col("used_chip_seconds").fill_null(0.0),  # no call in the hour: nothing was used, and that is known
            units_as_money("_idle").alias("idle_cost"),
        )
        .with_columns(
            scale_factor=pl.when(pl.col("used_chip_seconds") > pl.col("chip_seconds"))
            .then(pl.col("chip_seconds") / pl.col("used_chip_seconds"))
            .otherwise(1.0),
            used_cost=pl.col("cost") - pl.col("idle_cost"),
        )
        .drop("_idle")
    )
    return answered, lines


def _check_bills(bills: pl.DataFrame) -> None:
    twice = bills.group_by(BILL_KEYS).len().filter(pl.col("len") > 1).sort(BILL_KEYS)
    if twice.height:
        first = twice.row(0, named=True)
        raise CapacityTwice(first["deployment"], first["hour"], first["len"])
    too_large = bills.filter(pl.col("cost").abs() > Decimal(WIDEST_QUANTA).scaleb(-SCALE))
    if too_large.height:
        first = too_large.row(0, named=True)
        raise BillTooLarge(first["deployment"], first["cost"])


def _idle_claims(used: pl.DataFrame, priced: pl.DataFrame) -> pl.DataFrame:
    sums = used.group_by(BILL_KEYS).agg(pl.col("accelerator_seconds").sum().alias("_used"))
    left = (pl.col("_capacity") - pl.col("_used").fill_null(0.0)).clip(lower_bound=0.0)
    return (
        priced.join(sums, on=list(BILL_KEYS), how="left")
        .with_columns(
            # Nothing used and nothing provisioned still costs what it costs: all of it is idle.
            pl.when(pl.col("_used").fill_null(0.0) <= 0).then(1.0).otherwise(left).alias("_seconds")
        )
        .select(
            pl.lit(None, pl.UInt32).alias("_row"),
            "project_id",
            pl.lit(None, pl.Binary).alias("origin_id"),
            pl.lit(None, pl.Binary).alias("span_id"),
            "deployment",
            "hour",
            "_seconds",
        )
    )


def _largest_remainder(claims: pl.DataFrame) -> pl.DataFrame:
    """Adds _units: each claim's whole units of its bill's _quanta, summing to them exactly."""
    keys = list(BILL_KEYS)
    largest = pl.col("_seconds").max().over(keys) * NANOSECONDS / WIDEST_WEIGHT
    weighted = claims.with_columns(
        (pl.col("_seconds") * NANOSECONDS / largest.clip(lower_bound=1.0)).round().cast(pl.Int128).alias("_weight"),
        pl.when(pl.col("_quanta") < 0).then(-1).otherwise(1).cast(pl.Int128).alias("_sign"),
    )
    # Uses below half a unit all round to nothing; then idle takes the bill, as nobody measurably used it.
    nobody = pl.col("_weight").sum().over(keys) == 0
    weighted = weighted.with_columns(
        pl.when(nobody & pl.col("_row").is_null()).then(pl.lit(1, pl.Int128)).otherwise("_weight").alias("_weight")
    ).with_columns(
        pl.col("_weight").sum().over(keys).alias("_total"), (pl.col("_quanta") * pl.col("_sign")).alias("_q")
    )
    product = pl.col("_q") * pl.col("_weight")
    divided = weighted.with_columns(
        (product // pl.col("_total")).alias("_units"), (product % pl.col("_total")).alias("_remainder")
    )
    divided = divided.with_columns((pl.col("_q") - pl.col("_units").sum().over(keys)).alias("_spare"))
    order = ["_remainder", "_weight", "origin_id", "span_id"]
    ranked = divided.sort(order, descending=[True, True, False, False], nulls_last=True).with_columns(
        pl.int_range(pl.len()).over(keys).alias("_rank")
    )
    extra = (pl.col("_rank") < pl.col("_spare")).cast(pl.Int128)
    return ranked.with_columns(((pl.col("_units") + extra) * pl.col("_sign")).alias("_units"))


def units_as_money(column: str) -> pl.Expr:
    """Whole units of 10⁻¹⁵ as money; split at 10¹⁵ because a decimal of 38 digits holds 23 before the point."""
    whole = pl.col(column) // 10**SCALE
    rest = pl.col(column) % 10**SCALE
    return whole.cast(USD) + rest.cast(pl.Decimal(38, 0)).cast(USD) * Decimal("1e-15")
