"""The six-term form: accelerator-seconds of a request as a linear function of its tokens, vectorised over frames."""

from dataclasses import dataclass

import polars as pl

from models.core.errors import BadInput
from models.core.frames import Schema, checked
from models.core.hardware import Evidence, Replica
from models.costs.hardware_hbm import hbm_terms
from models.costs.hardware_shape import Shape, Terms
from models.costs.hardware_sram import sram_terms

CELL = ("deployment", "hour", "concurrency")
COEFFICIENTS = (
    "prefill_token",
    "prefill_pair",
    "step_share",
    "context_read",
    "state_read",
    "cache_reload",
)
USED: Schema = {
    "deployment": pl.String(),
    "hour": pl.Datetime("us", "UTC"),
    "concurrency": pl.Int64(),
    "uncached": pl.Int64(),
    "cached": pl.Int64(),
    "generated": pl.Int64(),
}
"""Tokens of calls on deployments. `concurrency` is the bucket of the cell, not of the call."""


@dataclass(slots=True, frozen=True)
class Cell:
    """A deployment in an hour at a concurrency, with the mean request it served: what coefficients hold for."""

    deployment: str
    hour: object
    concurrency: int
    replica: Replica
    shape: Shape


def terms_of(replica: Replica, concurrency: float, shape: Shape) -> Terms:
    """The six coefficients of a replica under a load.

    Units    chip-seconds per token (and per token pair).
    Raises   BadInput where the model does not fit or the hardware's figures are not published.
    """
    if concurrency < 1:
        raise BadInput(
            f"concurrency {concurrency} is below 1; a request that runs is at least one.",
            [{"field": "concurrency", "reason": "has to be at least 1"}],
        )
    terms = sram_terms if replica.accelerator.is_sram else hbm_terms
    return terms(replica, concurrency, shape)


def accelerator_seconds(terms: Terms, uncached: float, cached: float, generated: float) -> float:
    """Chip-seconds one request occupied: its prefill, and its share of every decode step.

    Source   continuous batching: A = chips × (prefill + output × step ÷ concurrency).
    """
    context = cached + uncached + generated / 2
    return (
        terms.prefill_token * uncached
        + terms.prefill_pair * uncached * (cached + uncached / 2)
        + (terms.step_share + terms.state_read) * generated
        + terms.context_read * generated * context
        + terms.cache_reload * cached
    )


def coefficient_frame(cells: list[Cell]) -> pl.DataFrame:
    """Coefficients of cells as a frame to join; a handful of thousands of cells at most, computed one by one."""
    rows: list[tuple[object, ...]] = []
    for cell in cells:
        terms = terms_of(cell.replica, cell.concurrency, cell.shape)
        figures = (getattr(terms, name) for name in COEFFICIENTS)
        rows.append((cell.deployment, cell.hour, cell.concurrency, *figures, terms.evidence.value))
    kinds = dict.fromkeys(COEFFICIENTS, pl.Float64())
    schema = {name: USED[name] for name in CELL} | kinds | {"evidence": pl.String()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def cost_in_seconds(used: pl.DataFrame, coefficients: pl.DataFrame) -> pl.DataFrame:
    """Chip-seconds of every call: one join and one expression.

    Shapes   USED (n rows) × coefficient_frame (one per cell) → n rows in the same order.
    Units    chip-seconds. Null where a count is unknown or the cell has no coefficients.
    Adds     accelerator_seconds, prefill_chip_seconds, decode_chip_seconds, evidence.
    Raises   FrameSchemaError.
    """
    checked(used, "used", USED)
    uncached, cached, generated = (pl.col(name).cast(pl.Float64) for name in ("uncached", "cached", "generated"))
    # Pairs are products of token counts: in floats, because 10⁵ × 10⁵ times a coefficient needs no exactness.
    prefill = (
        pl.col("prefill_token") * uncached
        + pl.col("prefill_pair") * uncached * (cached + uncached / 2)
        + pl.col("cache_reload") * cached
    )
    decode = (pl.col("step_share") + pl.col("state_read")) * generated + pl.col("context_read") * generated * (
        cached + uncached + generated / 2
    )
    joined = used.join(coefficients, on=list(CELL), how="left", maintain_order="left", validate="m:1")
    return (
        joined.with_columns(prefill_chip_seconds=prefill, decode_chip_seconds=decode)
        .with_columns(accelerator_seconds=pl.col("prefill_chip_seconds") + pl.col("decode_chip_seconds"))
        .drop(COEFFICIENTS)
    )


def weakest(evidence: list[Evidence]) -> Evidence:
    """The weakest of several kinds of evidence: what a figure made of them rests on."""
    order = list(Evidence)
    return min(evidence, key=order.index)
