"""Real calls on hardware of one's own: occupied chip-seconds at a price per hour, by phase."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from models.core.errors import BadInput
from models.core.hardware import Evidence, HardwareCatalogue, Replica
from models.core.vocabulary import Bucket
from models.costs.hardware_estimate import (
    accelerator_named,
    architecture_named,
    chip_seconds_cost,
    kv_element_bytes,
)
from models.costs.hardware_shape import Shape, Terms
from models.costs.hardware_terms import terms_of, weakest
from models.costs.whatif_scenario import Machine, Scenario

CACHED = (Bucket.CACHE_READ,)
UNCACHED = tuple(bucket for bucket in Bucket if bucket not in (*CACHED, Bucket.OUTPUT, Bucket.REASONING))
GENERATED = (Bucket.OUTPUT, Bucket.REASONING)


@dataclass(slots=True, frozen=True)
class Served:
    """Cost by phase, and what it rests on."""

    lines: Sequence[tuple[str, Decimal]]
    assumptions: Sequence[str]
    evidence: Evidence


def on_hardware(calls: pl.DataFrame, scenario: Scenario, catalogue: HardwareCatalogue) -> Served:
    """What calls would have cost on machines of one's own.

    Shapes   frames.CALLS → two lines (prefill, decode) that sum to the cost.
    Units    USD; time that is paid for but not occupied is included through `utilisation`.
    Raises   NotFound for ids the catalogue lacks; BadInput where the model does not fit.
    Source   the six-term form with the mean request as its shape; writing to a cache costs what reading the
             prompt costs, and reasoning tokens are output.
    """
    if scenario.machine is None:
        raise BadInput("a deployment scenario needs accelerator, chips and usd_per_chip_hour.")
    tokens = calls.select(
        pl.sum_horizontal(UNCACHED).cast(pl.Float64).alias("u"),
        pl.sum_horizontal(CACHED).cast(pl.Float64).alias("c"),
        pl.sum_horizontal(GENERATED).cast(pl.Float64).alias("o"),
    )
    means = [float(tokens[name].sum()) / max(tokens.height, 1) for name in ("u", "c", "o")]
    shape = Shape(*means)
    first = _terms(scenario.machine, scenario, catalogue, shape)
    second = first if scenario.decode_machine is None else _terms(scenario.decode_machine, scenario, catalogue, shape)
    u, c, o = pl.col("u"), pl.col("c"), pl.col("o")
    seconds = tokens.select(
        (first.prefill_token * u + first.prefill_pair * u * (c + u / 2) + first.cache_reload * c)
        .sum()
        .alias("prefill"),
        ((second.step_share + second.state_read) * o + second.context_read * o * (c + u + o / 2)).sum().alias("decode"),
    ).row(0, named=True)
    decode_machine = scenario.decode_machine or scenario.machine
    lines = [
        (f"prefill on {scenario.machine.accelerator}", _cost(seconds["prefill"], scenario.machine, scenario)),
        (f"decode on {decode_machine.accelerator}", _cost(seconds["decode"], decode_machine, scenario)),
    ]
    evidence = weakest([first.evidence, second.evidence])
    return Served(lines, _assumptions(scenario, catalogue, second, shape), evidence)


def _terms(machine: Machine, scenario: Scenario, catalogue: HardwareCatalogue, shape: Shape) -> Terms:
    replica = Replica(
        accelerator=accelerator_named(catalogue, machine.accelerator),
        architecture=architecture_named(catalogue, scenario.model or ""),
        chips=machine.chips,
        precision=scenario.precision,
        kv_element_bytes=kv_element_bytes(scenario.kv_precision),
        factors=catalogue.prior,
    )
    return terms_of(replica, scenario.concurrency, shape)


def _cost(seconds: float, machine: Machine, scenario: Scenario) -> Decimal:
    cost = chip_seconds_cost(seconds / float(scenario.utilisation), machine.usd_per_chip_hour)
    assert cost is not None  # the price is given
    return cost


def _assumptions(scenario: Scenario, catalogue: HardwareCatalogue, decode: Terms, shape: Shape) -> list[str]:
    machines = [machine for machine in (scenario.machine, scenario.decode_machine) if machine is not None]
    notes = [
        f"{machine.chips} × {machine.accelerator} at {machine.usd_per_chip_hour} USD an hour" for machine in machines
    ]
    notes += [
        f"the calls are served by {scenario.model} in {scenario.precision}, with the tokens they have now",
        f"{scenario.concurrency} calls at a time, of which {decode.batch:.0f} run together; the mean call reads "
        f"{shape.uncached:.0f} new and {shape.cached:.0f} cached tokens and writes {shape.generated:.0f}",
        f"{scenario.utilisation:%} of the paid time is occupied",
        "cache hits as now, read from the accelerator's memory; this part is not validated against measurements",
        "band: 10th to 90th percentile of the model's error on 1,155 published points",
    ]
    for machine in machines:
        if catalogue.accelerators[machine.accelerator].announced:
            notes.append(f"{machine.accelerator} is announced, not shipping: its figures are claims")
    if scenario.decode_machine is not None:
        notes.append("the KV cache moves between the pools on the network; the fabric is not priced")
    return notes
