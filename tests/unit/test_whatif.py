"""What-if scenarios over real calls: figures a person can work out, and the laws they keep."""

import re
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.core.errors import BadInput, FrameSchemaError
from models.core.frames import CALLS, RATES, USD
from models.costs.rating import rate_calls
from models.costs.whatif import WhatIf, run_scenario
from models.costs.whatif_cache import with_cache
from models.costs.whatif_scenario import scenario_of
from models.prices.hardware_catalogue import shipped_catalogue

HARDWARE_DOCS = Path(__file__).parents[2] / "docs" / "hardware.md"
AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
PRICES = {
    ("anthropic", "large"): {
        "input": 3,
        "cache_read": "0.3",
        "cache_write_5m": "3.75",
        "cache_write_1h": 6,
        "output": 15,
    },
    ("openai", "small"): {"input": 1, "cache_read": "0.1", "cache_write_5m": 1, "cache_write_1h": 1, "output": 4},
}


def rates() -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for (provider, model), prices in PRICES.items():
        for bucket, price in prices.items():
            row: dict[str, Any] = dict.fromkeys(RATES)
            row |= {"rate_id": len(rows), "kind": "list", "priority": 0, "tier": "standard", "context_from": 0}
            row |= {"price_provider": provider, "price_model": model, "bucket": bucket, "source": "list"}
            rows.append({**row, "price_per_m": Decimal(price)})
    return pl.DataFrame(rows, schema=RATES)


def calls(*counts: dict[str, int], model: str = "large") -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for index, tokens in enumerate(counts):
        row: dict[str, Any] = dict.fromkeys(CALLS)
        row |= {"project_id": 1, "origin_id": bytes([index]), "span_id": b"s", "at": AT, "model": model}
        row |= {"provider": "anthropic", "price_provider": "anthropic", "price_model": model, **tokens}
        rows.append(row)
    frame = pl.DataFrame(rows, schema=CALLS)
    return frame.with_columns(rate_calls(frame, rates()).charges["effective_cost"])


CACHED = {"input": 1_000_000, "cache_read": 8_000_000, "cache_write_5m": 1_000_000, "output": 1_000_000}
# 3 + 8 × 0.3 + 3.75 + 15
CACHED_COST = Decimal("24.15")


def run(frame: pl.DataFrame, **scenario: Any) -> WhatIf:
    return run_scenario(frame, scenario_of(scenario), rates(), shipped_catalogue())


def test_the_same_as_now_differs_by_exactly_nothing() -> None:
    answer = run(calls(CACHED, {"input": 7, "output": 3}), kind="same").as_json()
    assert answer["delta"] == "0"
    assert answer["actual"] == answer["scenario"] == answer["low"] == answer["high"]


def test_half_the_prices_are_half_the_cost() -> None:
    answer = run(calls(CACHED), kind="price_book", multiplier="0.5")
    assert answer.actual == CACHED_COST
    assert answer.scenario == CACHED_COST / 2
    assert answer.delta == -CACHED_COST / 2


def test_without_a_cache_everything_cached_is_plain_input() -> None:
    answer = run(calls(CACHED), kind="cache", policy="none")
    assert answer.scenario == 10 * Decimal(3) + 15


def test_one_hour_writes_cost_twice_the_input() -> None:
    answer = run(calls(CACHED), kind="cache", policy="1h")
    assert answer.delta == Decimal(6) - Decimal("3.75")


@pytest.mark.parametrize(
    ("policy", "share_of_uncached", "times"),
    [pytest.param("5m", "0.1575", "6.35", id="5m-writes"), pytest.param("1h", "0.195", "5.13", id="1h-writes")],
)
def test_prompt_caching_at_95_percent_hits(policy: str, share_of_uncached: str, times: str) -> None:
    tokens = {"input": 0, "cache_read": 19_000_000, "cache_write_5m": 1_000_000, "output": 0}
    with_hits = run(calls(tokens), kind="cache", policy=policy, hit_rate="0.95")
    without = run(calls(tokens), kind="cache", policy="none")
    assert with_hits.scenario is not None
    assert without.scenario == 60
    assert with_hits.scenario / without.scenario == Decimal(share_of_uncached)
    assert round(without.scenario / with_hits.scenario, 2) == Decimal(times)
    assert with_hits.low is not None
    assert with_hits.high is not None
    assert with_hits.low < with_hits.scenario < with_hits.high


def test_another_model_prices_the_same_tokens_with_a_band() -> None:
    answer = run(calls({"input": 1_000_000, "output": 1_000_000}), kind="route", model="small", provider="openai")
    assert answer.scenario == 5
    assert (answer.low, answer.high) == (4, 6)
    assert "claim" in answer.evidence


def test_calls_that_cannot_be_priced_are_left_out_of_both_sides_and_said() -> None:
    known, unknown = calls(CACHED), calls(CACHED, model="unheard-of").with_columns(pl.lit(b"x").alias("origin_id"))
    answer = run(pl.concat([known, unknown]), kind="price_book", multiplier=2)
    assert answer.actual == CACHED_COST
    assert (answer.calls, answer.left_out) == (1, 1)
    assert any("1 of 2 calls" in note for note in answer.assumptions)


def test_nothing_that_can_be_priced_is_unknown_not_zero() -> None:
    answer = run(calls(CACHED, model="unheard-of"), kind="price_book", multiplier=2).as_json()
    assert answer["actual"] is None
    assert answer["delta"] is None


MACHINES = {
    "gpu": {"accelerator": "h200_sxm", "chips": 2, "usd_per_chip_hour": "2.5"},
    "lpu": {"accelerator": "groq_lpu_v1", "chips": 576, "usd_per_chip_hour": "0.5"},
    "wafer": {"accelerator": "cerebras_wse3", "chips": 4, "usd_per_chip_hour": "41.96"},
}


@pytest.mark.parametrize("machine", MACHINES)
def test_hardware_of_ones_own_gives_a_cost_in_a_band(machine: str) -> None:
    frame = calls({"input": 2000, "cache_read": 6000, "output": 400})
    answer = run(frame, kind="deployment", model="llama-3.1-70b", concurrency=8, **MACHINES[machine])
    assert answer.scenario is not None
    assert answer.low is not None
    assert answer.high is not None
    assert 0 < answer.low < answer.scenario < answer.high
    assert sum(cost for _, cost in answer.lines) == answer.scenario


def test_gpu_prefill_and_lpu_decode_are_both_visible() -> None:
    frame = calls({"input": 2000, "output": 400})
    common = {"kind": "deployment", "model": "llama-3.1-70b", "concurrency": 8}
    gpu, lpu = run(frame, **common, **MACHINES["gpu"]), run(frame, **common, **MACHINES["lpu"])
    both = run(frame, **common, **MACHINES["gpu"], decode=MACHINES["lpu"])
    assert both.lines == [gpu.lines[0], lpu.lines[1]]


def test_time_that_is_paid_but_not_occupied_costs_as_well() -> None:
    frame = calls({"input": 2000, "output": 400})
    common = {"kind": "deployment", "model": "llama-3.1-70b", "concurrency": 8, **MACHINES["gpu"]}
    full, half = run(frame, **common), run(frame, **common, utilisation="0.5")
    assert float(half.scenario or 0) == pytest.approx(2 * float(full.scenario or 0))


def test_announced_hardware_is_a_claim() -> None:
    machine = {**MACHINES["gpu"], "accelerator": "vera_rubin_nvl72"}
    answer = run(calls({"input": 2000, "output": 400}), kind="deployment", model="llama-3.1-70b", **machine)
    assert answer.evidence == "claim"


@pytest.mark.parametrize(
    ("scenario", "field"),
    [
        ({}, "scenario.kind"),
        ({"kind": "magic"}, "scenario.kind"),
        ({"kind": "cache"}, "scenario.policy"),
        ({"kind": "cache", "policy": "5m", "hit_rate": 95}, "scenario.hit_rate"),
        ({"kind": "price_book"}, "scenario.book"),
        ({"kind": "route", "model": "m"}, "scenario.provider"),
        ({"kind": "deployment", "model": "m", "accelerator": "a", "usd_per_chip_hour": 1}, "scenario.chips"),
        ({"kind": "deployment", "decode": 7}, "scenario.decode"),
        ({"kind": "same", "hit_rate": 1}, "scenario.hit_rate"),
    ],
)
def test_a_scenario_that_cannot_be_read_names_the_field(scenario: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        scenario_of(scenario)
    assert field in [fault["field"] for fault in caught.value.errors]


def test_the_example_of_the_docs_can_be_read_as_it_stands() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", HARDWARE_DOCS.read_text(), re.DOTALL)
    scenario = scenario_of(tomllib.loads(example)["scenario"])
    assert scenario.machine is not None
    assert scenario.machine.accelerator in shipped_catalogue().accelerators
    assert scenario.model in shipped_catalogue().architectures


def test_no_calls_at_all_is_said() -> None:
    with pytest.raises(BadInput, match="no calls"):
        run(calls(CACHED).clear(), kind="same")


def test_a_frame_without_costs_is_refused() -> None:
    with pytest.raises(FrameSchemaError, match="effective_cost"):
        run(calls(CACHED).drop("effective_cost"), kind="same")


COUNTS = st.fixed_dictionaries(
    {name: st.integers(0, 10**7) for name in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")}
)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(COUNTS, min_size=1, max_size=5),
    policy=st.sampled_from(["none", "5m", "1h"]),
    hit_rate=st.one_of(st.none(), st.integers(0, 100).map(lambda percent: Decimal(percent) / 100)),
)
def test_a_cache_policy_moves_tokens_and_loses_none(
    counts: list[dict[str, int]], policy: str, hit_rate: Decimal | None
) -> None:
    before = calls(*counts)
    after = with_cache(before, policy, hit_rate)
    names = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_unknown"]
    total = pl.sum_horizontal(names).alias("total")
    assert after.select(total).equals(before.select(total))
    assert after["output"].equals(before["output"])
    assert after["effective_cost"].dtype == USD
