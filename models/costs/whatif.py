"""What-if: real calls under other prices, another cache, another model or other hardware. No I/O, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from models.core.errors import BadInput
from models.core.frames import CALLS, USD, checked
from models.core.hardware import HardwareCatalogue
from models.core.money import EXACT, plain
from models.core.vocabulary import Bucket
from models.costs.rating import rate_calls
from models.costs.whatif_cache import with_cache
from models.costs.whatif_hardware import on_hardware
from models.costs.whatif_scenario import Scenario

ROUTE_TOKEN_BAND = Decimal("0.2")
"""Tokenizers and verbosity differ between models; a route without a measured ratio is shown ± 20 %."""
HIT_RATE_BAND = Decimal("0.05")
"""A hit rate chosen rather than measured is shown five points either way."""
COUNTED = [bucket.value for bucket in Bucket]


@dataclass(slots=True, frozen=True, kw_only=True)
class WhatIf:
    """The answer: costs of the calls that both sides can price, in USD. None: no call can."""

    actual: Decimal | None
    scenario: Decimal | None
    low: Decimal | None
    high: Decimal | None
    calls: int
    left_out: int
    assumptions: Sequence[str]
    evidence: str
    lines: Sequence[tuple[str, Decimal]] = ()
    """Parts of the scenario by name, such as prefill and decode on different hardware; they sum to it."""

    @property
    def delta(self) -> Decimal | None:
        """Scenario less actual."""
        return None if self.actual is None or self.scenario is None else self.scenario - self.actual

    def as_json(self) -> dict[str, Any]:
        """The answer as API and command line show it; money as decimal strings."""
        return {
            "actual": plain(self.actual),
            "scenario": plain(self.scenario),
            "delta": plain(self.delta),
            "low": plain(self.low),
            "high": plain(self.high),
            "calls": self.calls,
            "left_out": self.left_out,
            "lines": [{"name": name, "cost": plain(cost)} for name, cost in self.lines],
            "assumptions": list(self.assumptions),
            "evidence": self.evidence,
        }


def run_scenario(calls: pl.DataFrame, scenario: Scenario, rates: pl.DataFrame, catalogue: HardwareCatalogue) -> WhatIf:
    """Replay calls under a scenario.

    Shapes   frames.CALLS with effective_cost (n rows) × frames.RATES → one answer.
             `rates` are those in force, or those of the book that a price_book scenario names.
    Units    USD.
    Raises   FrameSchemaError, BadInput, NotFound.
    Source   only calls that both sides can price are compared; how many were left out is said. Kind `same` compares
             the cost with itself, so its delta is exactly 0.
    """
    checked(calls, "calls", {**CALLS, "effective_cost": USD})
    if calls.is_empty():
        raise BadInput("no calls in the period and filter; widen them, or send telemetry first.")
    if scenario.kind == "same":
        known = calls.filter(pl.col("effective_cost").is_not_null())
        cost = _total(known, "effective_cost")
        return _answer(calls, known, cost, cost, cost, ["nothing is different"], "actual charges")
    if scenario.kind == "deployment":
        return _deployment(calls, scenario, catalogue)
    if scenario.kind == "price_book":
        return _price_book(calls, scenario, rates)
    if scenario.kind == "cache":
        return _cache(calls, scenario, rates)
    return _route(calls, scenario, rates)


def _price_book(calls: pl.DataFrame, scenario: Scenario, rates: pl.DataFrame) -> WhatIf:
    if scenario.multiplier is not None:
        rates = rates.with_columns((pl.col("price_per_m") * scenario.multiplier).round(9).cast(USD))
        note = f"every price times {scenario.multiplier}"
    else:
        note = f"prices of book {scenario.book}"
    both = _rated(calls, rates)
    cost = _total(both, "scenario_cost")
    notes = [note, "the same tokens at other prices"]
    return _answer(calls, both, cost, cost, cost, notes, "real tokens at given prices")


def _cache(calls: pl.DataFrame, scenario: Scenario, rates: pl.DataFrame) -> WhatIf:
    policy, hit_rate = scenario.policy or "none", scenario.hit_rate
    both = _rated(with_cache(calls, policy, hit_rate), rates)
    cost = _total(both, "scenario_cost")
    low = high = cost
    notes = ["no cache: cached tokens are plain input" if policy == "none" else f"writes live for {policy}"]
    evidence = "real tokens at prices in force"
    if hit_rate is not None and policy != "none":
        around = [
            _rated(with_cache(calls, policy, min(max(hit_rate + step, Decimal(0)), Decimal(1))), rates)
            for step in (-HIT_RATE_BAND, HIT_RATE_BAND)
        ]
        costs = [found for frame in around if (found := _total(frame, "scenario_cost")) is not None]
        if cost is not None:
            low, high = min([*costs, cost]), max([*costs, cost])
        notes += [
            f"{hit_rate:%} of all input is read from the cache, the rest written to it",
            "band: hit rate ± 5 points",
        ]
        evidence = "claim: the hit rate is an input, not a measurement"
    elif policy != "none":
        notes.append("the same reads and writes; a longer life would turn some writes into reads, which is not assumed")
    return _answer(calls, both, cost, low, high, notes, evidence)


def _route(calls: pl.DataFrame, scenario: Scenario, rates: pl.DataFrame) -> WhatIf:
    def routed(ratio: Decimal) -> pl.DataFrame:
        # Whole tokens: the ratio in parts per million, multiplied before it is divided.
        scaled = [(pl.col(name) * int(ratio * 1_000_000) // 1_000_000).alias(name) for name in COUNTED]
        moved = calls.with_columns(
            pl.lit(scenario.provider).alias("price_provider"),
            pl.lit(scenario.model).alias("price_model"),
            pl.lit(None, pl.String).alias("service_tier"),
            pl.lit(None, pl.String).alias("region"),
            *(scaled if ratio != 1 else []),
        )
        return _rated(moved, rates)

    both = routed(scenario.token_ratio)
    sides = [routed(scenario.token_ratio * (1 + step)) for step in (-ROUTE_TOKEN_BAND, ROUTE_TOKEN_BAND)]
    low, high = (_total(frame, "scenario_cost") for frame in sides)
    notes = [
        f"every call is served by {scenario.model} of {scenario.provider} at standard tier",
        f"{scenario.token_ratio} tokens of it for each token now, and the same cache hits",
        "as many calls as now: quality and retries are not modelled",
        "band: tokens ± 20 %",
    ]
    cost = _total(both, "scenario_cost")
    return _answer(calls, both, cost, low, high, notes, "claim: real tokens at prices of another model")


def _deployment(calls: pl.DataFrame, scenario: Scenario, catalogue: HardwareCatalogue) -> WhatIf:
    known = calls.filter(
        pl.col("effective_cost").is_not_null() & pl.any_horizontal(pl.col(name).is_not_null() for name in COUNTED)
    )
    served = on_hardware(known, scenario, catalogue)
    cost = sum((line for _, line in served.lines), Decimal(0)) if known.height else None
    low_ratio, high_ratio = (Decimal(str(ratio)) for ratio in catalogue.error_band)
    low = None if cost is None else EXACT.divide(cost, high_ratio).quantize(Decimal("1e-15"), context=EXACT)
    high = None if cost is None else EXACT.divide(cost, low_ratio).quantize(Decimal("1e-15"), context=EXACT)
    answer = _answer(calls, known, cost, low, high, served.assumptions, served.evidence.value)
    return WhatIf(
        actual=answer.actual,
        scenario=answer.scenario,
        low=low,
        high=high,
        calls=answer.calls,
        left_out=answer.left_out,
        assumptions=answer.assumptions,
        evidence=answer.evidence,
        lines=served.lines,
    )


def _rated(calls: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
    """The calls that have a cost on both sides, with scenario_cost."""
    priced = rate_calls(calls.select(list(CALLS)), rates).charges
    return calls.with_columns(priced["effective_cost"].alias("scenario_cost")).filter(
        pl.col("effective_cost").is_not_null() & pl.col("scenario_cost").is_not_null()
    )


def _total(frame: pl.DataFrame, column: str) -> Decimal | None:
    if frame.is_empty():
        return None
    return sum(frame[column].to_list(), Decimal(0))


def _answer(
    calls: pl.DataFrame,
    compared: pl.DataFrame,
    cost: Decimal | None,
    low: Decimal | None,
    high: Decimal | None,
    assumptions: Sequence[str],
    evidence: str,
) -> WhatIf:
    left_out = calls.height - compared.height
    notes = list(assumptions)
    if left_out:
        notes.append(
            f"{left_out} of {calls.height} calls have no known cost on one of the sides and are left out of both"
        )
    return WhatIf(
        actual=_total(compared, "effective_cost"),
        scenario=cost,
        low=low,
        high=high,
        calls=compared.height,
        left_out=left_out,
        assumptions=notes,
        evidence=evidence,
    )
