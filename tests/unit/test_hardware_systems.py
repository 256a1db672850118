"""Systems of the field, one by one: what each has to mean for cost."""

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.core.errors import BadInput, NotFound
from models.core.hardware import Evidence, Replica
from models.costs.hardware_architecture import kv_byte_hours, kv_bytes
from models.costs.hardware_estimate import EstimateRequest, estimate
from models.costs.hardware_pools import attention_ffn_step, hybrid_terms
from models.costs.hardware_shape import Shape
from models.costs.hardware_terms import (
    USED,
    Cell,
    accelerator_seconds,
    coefficient_frame,
    cost_in_seconds,
    terms_of,
)
from models.prices.hardware_catalogue import shipped_catalogue

CATALOGUE = shipped_catalogue()
HOUR = datetime(2026, 3, 1, 10, tzinfo=UTC)


def replica(hardware: str, model: str, chips: int, precision: str = "fp8", kv: float = 1.0, groups: int = 1) -> Replica:
    return Replica(
        accelerator=CATALOGUE.accelerators[hardware],
        architecture=CATALOGUE.architectures[model],
        chips=chips,
        precision=precision,
        kv_element_bytes=kv,
        attention_groups=groups,
    )


def asked(**changes: object) -> EstimateRequest:
    values: dict[str, object] = {
        "accelerator": "h100_sxm",
        "chips": 2,
        "model": "llama-3.1-70b",
        "precision": "fp8",
        "concurrency": 25,
        "input_tokens": 5000,
        "output_tokens": 500,
        "usd_per_chip_hour": Decimal("2"),
    }
    return EstimateRequest(**{**values, **changes})  # type: ignore[arg-type]


def test_gpu_h100_writes_about_50_tokens_a_second_of_a_70b_model() -> None:
    # Two H100 in FP8, one request: the vendor's tables say 51.7 tokens/s for 5000 in, 500 out.
    alone = estimate(asked(concurrency=1), CATALOGUE)
    seconds = alone.prefill_seconds + 500 * alone.decode_seconds_per_token
    assert 500 / seconds == pytest.approx(51.7, rel=0.15)
    assert alone.accelerator_seconds == pytest.approx(2 * seconds)
    assert alone.evidence is Evidence.PRIOR


def test_gpu_share_is_chips_times_prefill_plus_output_steps_over_concurrency() -> None:
    found = estimate(asked(), CATALOGUE)
    share = 2 * (found.prefill_seconds + 500 * found.decode_seconds_per_token / found.batch)
    assert found.accelerator_seconds == pytest.approx(share)
    assert found.usd == pytest.approx(Decimal(share) * 2 / 3600)


def test_lpu_speed_does_not_follow_its_bandwidth() -> None:
    # 24 times the bandwidth of an H100, but four to five times the speed: latency per layer decides.
    lpu = estimate(asked(accelerator="groq_lpu_v1", chips=576, concurrency=1), CATALOGUE)
    gpu = estimate(asked(concurrency=1), CATALOGUE)
    assert 3 < gpu.decode_seconds_per_token / lpu.decode_seconds_per_token < 7


def test_lpu_with_too_few_chips_is_refused_with_the_number_needed() -> None:
    with pytest.raises(BadInput, match="needs 307"):
        estimate(asked(accelerator="groq_lpu_v1", chips=64), CATALOGUE)


def test_wse_3_by_the_hour_has_a_cost_and_more_requests_make_each_cheaper() -> None:
    rate = Decimal("41.96")
    alone = estimate(
        asked(accelerator="cerebras_wse3", chips=5, precision="bf16", concurrency=1, usd_per_chip_hour=rate), CATALOGUE
    )
    busy = estimate(
        asked(accelerator="cerebras_wse3", chips=5, precision="bf16", concurrency=8, usd_per_chip_hour=rate), CATALOGUE
    )
    assert alone.usd is not None
    assert busy.usd is not None
    assert 0 < busy.usd < alone.usd


def test_hybrid_prefill_and_decode_are_two_lines_on_two_kinds_of_hardware() -> None:
    shape = Shape(8000, 0, 500)
    gpu, lpu = replica("h200_sxm", "llama-3.1-70b", 2), replica("groq_lpu_v1", "llama-3.1-70b", 576)
    both = hybrid_terms(gpu, lpu, 8, shape)
    assert both.prefill == terms_of(gpu, 8, shape)
    assert both.decode == terms_of(lpu, 8, shape)
    # 8000 tokens × 80 layers × 2 × 8 heads × 128 × 1 byte over 50 GB/s.
    assert both.transfer_seconds == pytest.approx(8000 * 163_840 / 50e9)


def test_hybrid_pools_of_different_models_are_refused() -> None:
    with pytest.raises(BadInput, match="differ"):
        hybrid_terms(replica("h200_sxm", "llama-3.1-70b", 2), replica("h200_sxm", "qwen3-32b", 2), 8, Shape(1, 0, 1))


def test_attention_ffn_pipeline_runs_at_its_slowest_stage() -> None:
    # Two layers, three micro-batches, stages of 2, 5 and 1: 2·3·5 and one fill of 2 + 1.
    assert attention_ffn_step(2, 3, 2.0, 5.0, 1.0) == 33.0


def test_kv_quantisation_halves_byte_hours_and_leaves_the_token_cost_alone() -> None:
    model = CATALOGUE.architectures["llama-3.1-70b"]
    assert kv_byte_hours(model, 96_000, 3600, 1.0) * 2 == kv_byte_hours(model, 96_000, 3600, 2.0)
    wide, narrow = asked(kv_precision="bf16", output_tokens=0), asked(kv_precision="fp8", output_tokens=0)
    assert estimate(narrow, CATALOGUE).kv_bytes * 2 == estimate(wide, CATALOGUE).kv_bytes
    assert estimate(narrow, CATALOGUE).usd == estimate(wide, CATALOGUE).usd


def decode_speed(model: str, context: int, groups: int) -> float:
    """Tokens a second of eight H200 filled to the brim with sequences of this context."""
    terms = terms_of(replica("h200_sxm", model, 8, groups=groups), 4096, Shape(context, 0, 1024))
    return terms.batch / terms.step_seconds(context + 512)


@pytest.mark.parametrize(("context", "low", "high"), [(32_768, 2.0, 4.5), (262_144, 2.0, 6.0)])
@pytest.mark.parametrize("groups", [1, 8])
def test_gated_deltanet_decodes_faster_at_long_context(context: int, low: float, high: float, groups: int) -> None:
    ratio = decode_speed("qwen3.5-397b-a17b", context, groups) / decode_speed("qwen3-235b-a22b", context, groups)
    assert low < ratio < high


def test_gated_deltanet_keeps_a_constant_state_in_three_of_four_layers() -> None:
    model = CATALOGUE.architectures["qwen3.5-397b-a17b"]
    growth = kv_bytes(model, 200_000, 2.0) - kv_bytes(model, 100_000, 2.0)
    assert growth == 100_000 * 15 * 2 * 2 * 256 * 2
    assert kv_bytes(model, 0, 2.0) == model.linear_state_bytes


def test_announced_hardware_is_a_claim_and_says_so() -> None:
    found = estimate(asked(accelerator="vera_rubin_nvl72"), CATALOGUE)
    assert found.evidence is Evidence.CLAIM
    assert found.announced
    assert any("announced" in note for note in found.assumptions)


def test_cost_without_a_price_is_unknown_not_free() -> None:
    assert estimate(asked(usd_per_chip_hour=None), CATALOGUE).usd is None


@pytest.mark.parametrize(
    ("changes", "fault", "says"),
    [
        ({"accelerator": "h1000"}, NotFound, "no accelerator 'h1000'"),
        ({"model": "gpt-17"}, NotFound, "no model 'gpt-17'"),
        ({"precision": "fp3"}, BadInput, "precision 'fp3'"),
        ({"kv_precision": "fp3"}, BadInput, "kv_precision 'fp3'"),
        ({"chips": 0}, BadInput, "chips is 0"),
        ({"concurrency": 0.5}, BadInput, "concurrency is 0.5"),
        ({"chips": 1, "precision": "bf16"}, BadInput, "at least 2 chips"),
        ({"accelerator": "sambanova_sn40l", "chips": 16}, BadInput, "memory_bytes_per_second of sambanova_sn40l"),
    ],
)
def test_what_cannot_be_estimated_is_refused_by_name(changes: dict[str, object], fault: type, says: str) -> None:
    with pytest.raises(fault, match=says):
        estimate(asked(**changes), CATALOGUE)


TOKENS = st.integers(0, 200_000)


@settings(max_examples=80, deadline=None)
@given(
    u=TOKENS,
    c=TOKENS,
    o=st.integers(0, 20_000),
    model=st.sampled_from(["llama-3.1-70b", "qwen3.5-397b-a17b", "gpt-oss-120b", "deepseek-v3.2"]),
    concurrency=st.integers(1, 256),
)
def test_vectorised_form_is_the_form_of_one_request(u: int, c: int, o: int, model: str, concurrency: int) -> None:
    served = replica("h200_sxm", model, 8)
    shape = Shape(max(u, 1), c, max(o, 1))
    cell = Cell("d", HOUR, concurrency, served, shape)
    used = pl.DataFrame([("d", HOUR, concurrency, u, c, o)], schema=USED, orient="row")
    row = cost_in_seconds(used, coefficient_frame([cell])).row(0, named=True)
    expected = accelerator_seconds(terms_of(served, concurrency, shape), u, c, o)
    assert row["accelerator_seconds"] == pytest.approx(expected)
    assert row["prefill_chip_seconds"] + row["decode_chip_seconds"] == pytest.approx(expected)


def test_unknown_tokens_and_unknown_deployments_have_unknown_seconds() -> None:
    cell = Cell("d", HOUR, 8, replica("h200_sxm", "llama-3.1-8b", 1), Shape(1000, 0, 100))
    used = pl.DataFrame([("d", HOUR, 8, None, 0, 5), ("e", HOUR, 8, 10, 0, 5)], schema=USED, orient="row")
    assert cost_in_seconds(used, coefficient_frame([cell]))["accelerator_seconds"].to_list() == [None, None]
