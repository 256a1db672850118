"""An hour of capacity becomes costs: of each call, of each of its lines, and of what nobody used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from models.core.errors import BadInput
from models.core.frames import CALL_KEYS, USD, Schema, checked
from models.core.hardware import Replica, Role
from models.core.vocabulary import BUCKETS, OUTPUT_BUCKETS, Bucket
from models.costs.hardware_reconcile import BILLS, share_capacity, units_as_money
from models.costs.hardware_shape import Shape
from models.costs.hardware_terms import Cell, coefficient_frame, cost_in_seconds

COUNTS = tuple(bucket.value for bucket in BUCKETS)
CACHED = (Bucket.CACHE_READ.value,)
GENERATED = tuple(bucket.value for bucket in OUTPUT_BUCKETS)
UNCACHED = tuple(name for name in COUNTS if name not in (*CACHED, *GENERATED))
USED_CALLS: Schema = {
    **CALL_KEYS,
    "deployment": pl.String(),
    "hour": pl.Datetime("us", "UTC"),
    **dict.fromkeys(COUNTS, pl.Int64()),
    "line_buckets": pl.List(pl.String()),
    "line_quantities": pl.List(pl.Int64()),
}
"""Calls on deployments in one hour, with the lines of their charges."""
LINE_WEIGHT = 1e12
"""Weights of a call's lines are counted in this many units of its heaviest: times 10²⁴ it still fits 128 bits."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Served:
    """What a deployment serves with: its chips and model, the load a replica carries, and the phases it takes."""

    replica: Replica
    concurrency: int
    role: Role = Role.AGGREGATED


@dataclass(slots=True, frozen=True)
class Shared:
    """The outcome for one hour. Costs in USD, scale 15."""

    calls: pl.DataFrame
    """One row per call in the order given: call keys, deployment, effective_cost, line_costs (List of USD, one per
    line, summing to it), problem. Cost and lines are null together, with the problem."""
    hours: pl.DataFrame
    """One row per deployment with a bill or calls: deployment, hour, calls, uncached_tokens, cached_tokens,
    generated_tokens, chip_seconds, prefill_chip_seconds, decode_chip_seconds, bill, prefill_cost, decode_cost,
    idle_cost, scale_factor, evidence, problem; prefill_cost + decode_cost + idle_cost = bill."""


def charge_hour(calls: pl.DataFrame, bills: pl.DataFrame, deployments: Mapping[str, Served | str]) -> Shared:
    """Share the capacity bills of one hour among its calls and their lines.

    Shapes   USED_CALLS (n rows) × BILLS (m rows), all of one hour; deployments by the name used in both, or in
             words why one cannot be calculated.
    Units    USD, scale 15; chip-seconds.
    Raises   FrameSchemaError, CapacityTwice, BillTooLarge. What one deployment cannot be calculated for is a
             problem of its calls, and the others go on.
    Source   Σ calls + idle = the bill (share_capacity); a call's lines get its cost by chip-seconds: prefill by
             fresh tokens, decode by generated ones, cached tokens what reloading them occupied.
    """
    checked(calls, "used calls", USED_CALLS)
    checked(bills, "bills", BILLS)
    used = _with_tokens(calls, deployments)
    cells, problems = _cells(used, deployments)
    coefficients = coefficient_frame(cells)
    timed = cost_in_seconds(used, coefficients).join(
        coefficients.select("deployment", "cache_reload"), on="deployment", how="left", maintain_order="left"
    )
    timed = _by_role(timed, deployments)
    priced, lines = share_capacity(timed, bills)
    known = bills.select("deployment", pl.col("cost").alias("bill"), pl.lit(True).alias("provisioned"))
    told = priced.join(known, on="deployment", how="left", maintain_order="left").with_columns(
        pl.when(pl.col("effective_cost").is_not_null())
        .then(None)
        .when(pl.col("deployment").is_in(list(problems)))
        .then(pl.col("deployment").replace_strict(problems, default=None, return_dtype=pl.String))
        .when(pl.col("uncached").is_null())
        .then(pl.lit("usage absent"))
        .when(pl.col("provisioned").is_null())
        .then(pl.lit("no capacity was entered for this hour of the deployment"))
        .otherwise(pl.lit("no price of a chip-hour is in force for the deployment"))
        .alias("problem")
    )
    split = _split_lines(told)
    answered = told.join(split, on="row", how="left", maintain_order="left")
    columns = [*CALL_KEYS, "deployment", "effective_cost", "line_costs", "problem"]
    return Shared(answered.select(columns), _hours(answered, bills, lines))


def _with_tokens(calls: pl.DataFrame, deployments: Mapping[str, Served | str]) -> pl.DataFrame:
    loads = {name: served.concurrency for name, served in deployments.items() if isinstance(served, Served)}
    absent = pl.all_horizontal(pl.col(COUNTS).is_null())

    def told(names: Sequence[str], into: str) -> pl.Expr:
        return pl.when(~absent).then(pl.sum_horizontal(names)).cast(pl.Int64).alias(into)

    return calls.with_row_index("row").with_columns(
        told(UNCACHED, "uncached"),
        told(CACHED, "cached"),
        told(GENERATED, "generated"),
        pl.col("deployment").replace_strict(loads, default=None, return_dtype=pl.Int64).alias("concurrency"),
    )


def _cells(used: pl.DataFrame, deployments: Mapping[str, Served | str]) -> tuple[list[Cell], dict[str, str]]:
    """One cell per deployment with calls, at its declared load; and why some have none."""
    cells: list[Cell] = []
    problems: dict[str, str] = {}
    means = used.group_by("deployment", "hour").agg(pl.col("uncached", "cached", "generated").mean()).sort("deployment")
    for row in means.iter_rows(named=True):
        served = deployments.get(row["deployment"], "the deployment is not known")
        if isinstance(served, str):
            problems[row["deployment"]] = served
            continue
        if row["uncached"] is None:
            continue
        shape = Shape(row["uncached"], row["cached"], row["generated"])
        cell = Cell(row["deployment"], row["hour"], served.concurrency, served.replica, shape)
        try:
            coefficient_frame([cell])
        except BadInput as fault:
            problems[row["deployment"]] = str(fault)
            continue
        cells.append(cell)
    return cells, problems


def _by_role(timed: pl.DataFrame, deployments: Mapping[str, Served | str]) -> pl.DataFrame:
    """Chip-seconds of the phases that each deployment takes; the other phase is not its work."""
    roles = {name: served.role for name, served in deployments.items() if isinstance(served, Served)}
    without_prefill = [name for name, role in roles.items() if role is Role.DECODE]
    without_decode = [name for name, role in roles.items() if role is Role.PREFILL]
    name = pl.col("deployment")
    return timed.with_columns(
        pl.when(name.is_in(without_prefill)).then(0.0).otherwise("prefill_chip_seconds").alias("prefill_chip_seconds"),
        pl.when(name.is_in(without_decode)).then(0.0).otherwise("decode_chip_seconds").alias("decode_chip_seconds"),
    ).with_columns(accelerator_seconds=pl.col("prefill_chip_seconds") + pl.col("decode_chip_seconds"))


def _split_lines(calls: pl.DataFrame) -> pl.DataFrame:
    """row → line_costs and the cost of its decode lines. Largest remainder in units of 10⁻¹⁵ within each call."""
    reload = pl.min_horizontal(pl.col("cache_reload").fill_null(0.0) * pl.col("cached"), "prefill_chip_seconds")
    lines = (
        calls.filter(pl.col("effective_cost").is_not_null())
        .select(
            "row",
            "line_buckets",
            "line_quantities",
            (pl.col("prefill_chip_seconds") - reload).alias("prefill"),
            reload.alias("reload"),
            pl.col("decode_chip_seconds").alias("decode"),
            pl.col("effective_cost").to_physical().cast(pl.Int128).alias("cost"),
        )
        .explode("line_buckets", "line_quantities", empty_as_null=False)
        .with_columns(_phase(pl.col("line_buckets")).alias("phase"), pl.int_range(pl.len()).over("row").alias("place"))
    )
    of_phase = pl.col("line_quantities").sum().over("row", "phase")
    seconds = (
        pl.when(pl.col("phase") == "prefill")
        .then("prefill")
        .when(pl.col("phase") == "reload")
        .then("reload")
        .when(pl.col("phase") == "decode")
        .then("decode")
        .otherwise(0.0)
    )
    lines = lines.with_columns((seconds * pl.col("line_quantities") / of_phase).fill_nan(0.0).alias("seconds"))
    heaviest = pl.col("seconds").max().over("row")
    lines = lines.with_columns(
        # Where no line occupied anything, the first one takes what there is: at most the rounding of the bill.
        pl.when(heaviest > 0)
        .then((pl.col("seconds") / heaviest * LINE_WEIGHT).round())
        .otherwise((pl.col("place") == 0).cast(pl.Float64))
        .cast(pl.Int128)
        .alias("weight"),
        pl.when(pl.col("cost") < 0).then(-1).otherwise(1).cast(pl.Int128).alias("sign"),
    )
    product = pl.col("cost") * pl.col("sign") * pl.col("weight")
    total = pl.col("weight").sum().over("row")
    lines = lines.with_columns((product // total).alias("units"), (product % total).alias("remainder"))
    lines = lines.with_columns(
        (pl.col("cost") * pl.col("sign") - pl.col("units").sum().over("row")).alias("spare")
    ).sort("row", "remainder", "weight", "place", descending=[False, True, True, False])
    extra = (pl.int_range(pl.len()).over("row") < pl.col("spare")).cast(pl.Int128)
    lines = lines.with_columns(((pl.col("units") + extra) * pl.col("sign")).alias("units"))
    return (
        lines.with_columns(units_as_money("units").alias("line_cost"))
        .sort("row", "place")
        .group_by("row", maintain_order=True)
        .agg(
            pl.col("line_cost").alias("line_costs"),
            pl.col("line_cost").filter(pl.col("phase") == "decode").sum().cast(USD).alias("decode_cost"),
        )
    )


def _phase(bucket: pl.Expr) -> pl.Expr:
    """Which work a line stands for. Audio and images go with the bucket they lie in; requests occupy nothing."""
    return (
        pl.when(bucket.is_in([*GENERATED, "output_audio", "output_image"]))
        .then(pl.lit("decode"))
        .when(bucket.is_in([*CACHED, "cache_read_audio", "cache_read_image"]))
        .then(pl.lit("reload"))
        .when(bucket.str.ends_with("requests"))
        .then(pl.lit("none"))
        .otherwise(pl.lit("prefill"))
    )


def _hours(answered: pl.DataFrame, bills: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    used = answered.group_by("deployment", "hour").agg(
        pl.len().cast(pl.Int64).alias("calls"),
        pl.col("uncached").sum().alias("uncached_tokens"),
        pl.col("cached").sum().alias("cached_tokens"),
        pl.col("generated").sum().alias("generated_tokens"),
        pl.col("prefill_chip_seconds").sum(),
        pl.col("decode_chip_seconds").sum(),
        pl.col("decode_cost").sum().cast(USD),
        pl.col("evidence").drop_nulls().first(),
        pl.col("problem").drop_nulls().first(),
    )
    counts = ("calls", "uncached_tokens", "cached_tokens", "generated_tokens")
    whole = lines.select(
        "deployment", "hour", "chip_seconds", pl.col("cost").alias("bill"), "idle_cost", "scale_factor"
    )
    unbilled = used.join(bills, on=["deployment", "hour"], how="anti").select("deployment", "hour")
    return (
        pl.concat([whole, unbilled], how="diagonal")
        .join(used, on=["deployment", "hour"], how="left", maintain_order="left")
        .with_columns(
            # No call at all is none, and that is known.
            *(pl.col(name).fill_null(0) for name in counts),
            *(pl.col(name).fill_null(0.0) for name in ("prefill_chip_seconds", "decode_chip_seconds")),
            pl.when(pl.col("bill").is_not_null()).then(pl.col("decode_cost").fill_null(0)).alias("decode_cost"),
        )
        .with_columns((pl.col("bill") - pl.col("idle_cost") - pl.col("decode_cost")).alias("prefill_cost"))
    )


def hour_of(moment: datetime) -> datetime:
    """The UTC hour a moment lies in."""
    return moment.replace(minute=0, second=0, microsecond=0)
