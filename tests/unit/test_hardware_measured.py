"""The cost model against what was published: serving runs, a disclosed day, speeds and sizes of SRAM machines."""

import json
import statistics
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from models.core.hardware import Replica
from models.costs.hardware_architecture import active_parameters
from models.costs.hardware_pools import pool_bill, pool_chip_hours
from models.costs.hardware_shape import Shape
from models.costs.hardware_sram import chips_needed
from models.costs.hardware_terms import accelerator_seconds, terms_of
from models.prices.hardware_catalogue import shipped_catalogue

GOLDEN = Path(__file__).parents[1] / "golden" / "hardware"
CATALOGUE = shipped_catalogue()
PUBLISHED = json.loads((GOLDEN / "published.json").read_text(encoding="utf-8"))


def kv_element_bytes(point: dict[str, object]) -> float:
    """The runs do not state it: TensorRT-LLM keeps FP8 KV with FP8/FP4 weights, gpt-oss too, the others 16 bit."""
    narrow = point["engine"] == "trtllm" and point["precision"] in ("fp8", "fp4")
    return 1.0 if narrow or point["model"] == "gpt-oss-120b" else 2.0


def ratios() -> list[float]:
    """Predicted over measured accelerator-seconds of every point, prior only."""
    found: list[float] = []
    for point in pl.read_csv(GOLDEN / "measured_points.csv").iter_rows(named=True):
        replica = Replica(
            accelerator=CATALOGUE.accelerators[point["accelerator"]],
            architecture=CATALOGUE.architectures[point["model"]],
            chips=point["chips"],
            precision=point["precision"],
            kv_element_bytes=kv_element_bytes(point),
            factors=CATALOGUE.prior,
        )
        shape = Shape(point["input_tokens"], 0, point["output_tokens"])
        terms = terms_of(replica, point["concurrency"], shape)
        predicted = accelerator_seconds(terms, shape.uncached, 0, shape.generated)
        # Little's law in a closed loop: the chips are busy for all requests at once.
        seconds = point["ttft_s"] + (point["output_tokens"] - 1) * point["tpot_s"]
        found.append(predicted / (point["chips"] * seconds / point["concurrency"]))
    return found


def test_gpu_prior_meets_the_measured_points() -> None:
    found = ratios()
    assert len(found) == 1155
    assert statistics.median(abs(ratio - 1) for ratio in found) <= 0.20
    assert sum(0.5 < ratio < 2 for ratio in found) / len(found) >= 0.95


def test_the_error_band_of_estimates_is_the_one_measured() -> None:
    deciles = statistics.quantiles(ratios(), n=10)
    assert CATALOGUE.error_band == pytest.approx((deciles[0], deciles[-1]), abs=0.02)


def test_deepseek_day_adds_up_in_nodes_and_dollars() -> None:
    day = PUBLISHED["deepseek_day"]
    prefill = pool_chip_hours(day["input_tokens"], day["prefill_tok_s_per_node_incl_hits"], day["gpus_per_node"])
    decode = pool_chip_hours(day["output_tokens"], day["decode_tok_s_per_node"], day["gpus_per_node"])
    nodes = (prefill + decode) / day["gpus_per_node"] / 24
    assert nodes == pytest.approx(day["avg_nodes"], rel=0.001)
    chip_hours = Decimal(str(day["avg_nodes"])) * day["gpus_per_node"] * 24
    assert pool_bill(chip_hours, Decimal("2")) == Decimal(87_072)


@pytest.mark.parametrize(
    ("model", "hardware", "precision", "kv_cache_bytes", "chips"),
    [
        pytest.param("llama-3.1-70b", "groq_lpu_v1", "fp8", 0, 307, id="LPU-70B-weights-alone"),
        pytest.param("llama-3.1-8b", "cerebras_wse3", "bf16", 0, 1, id="WSE-3-8B-one-wafer"),
        pytest.param("llama-3.1-70b", "cerebras_wse3", "bf16", 0, 4, id="WSE-3-70B-four-wafers"),
        pytest.param("llama-3.1-405b", "cerebras_wse3", "bf16", 0, 19, id="WSE-3-405B-19-of-published-19-to-22"),
        pytest.param("gpt-oss-120b", "cerebras_wse3", "mxfp4", 1.78e12, 42, id="WSE-3-gpt-oss-with-1.78-TB-KV"),
    ],
)
def test_lpu_and_wse3_counts_are_the_published_ones(
    model: str, hardware: str, precision: str, kv_cache_bytes: float, chips: int
) -> None:
    architecture, accelerator = CATALOGUE.architectures[model], CATALOGUE.accelerators[hardware]
    assert chips_needed(architecture, accelerator, precision, kv_cache_bytes) == chips


def sram_speed(hardware: str, model: str, precision: str, chips: int) -> float:
    replica = Replica(
        accelerator=CATALOGUE.accelerators[hardware],
        architecture=CATALOGUE.architectures[model],
        chips=chips,
        precision=precision,
    )
    terms = terms_of(replica, 1, Shape(1000, 0, 500))
    return 1 / terms.step_seconds(1250)


@pytest.mark.parametrize(
    ("model", "chips", "tokens_per_second"), [("llama-3.1-70b", 576, 250), ("llama-3.1-8b", 64, 751)]
)
def test_lpu_speed_is_latency_per_layer(model: str, chips: int, tokens_per_second: float) -> None:
    assert sram_speed("groq_lpu_v1", model, "fp8", chips) == pytest.approx(tokens_per_second, rel=0.20)


@pytest.mark.parametrize(
    ("model", "chips", "tokens_per_second"), [("llama-3.1-70b", 4, 445), ("llama-3.1-8b", 1, 1837)]
)
def test_wse3_speed_is_within_30_percent_of_the_launch_figures(
    model: str, chips: int, tokens_per_second: float
) -> None:
    assert sram_speed("cerebras_wse3", model, "bf16", chips) == pytest.approx(tokens_per_second, rel=0.30)


@pytest.mark.parametrize(
    ("model", "total", "active"),
    [
        ("deepseek-v3-r1", 671.0, 36.6),
        ("qwen3-235b-a22b", 235.1, 21.6),
        ("qwen3.5-397b-a17b", 396.3, 16.3),
        ("gpt-oss-120b", 116.8, 5.1),
    ],
)
def test_parameters_computed_from_shapes_are_the_published_ones(model: str, total: float, active: float) -> None:
    architecture = CATALOGUE.architectures[model]
    assert architecture.parameters.total / 1e9 == pytest.approx(total, abs=0.06)
    assert sum(active_parameters(architecture)) / 1e9 == pytest.approx(active, abs=0.06)
