"""Bytes and FLOPs of a model by its architecture: weights, KV cache, attention pairs. Pure arithmetic, no timing."""

from dataclasses import dataclass

from models.core.errors import BadInput
from models.core.hardware import Accelerator, Architecture

WEIGHT_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625, "int4": 0.5625, "mxfp4": 0.53125}
"""Bytes per weight with block scales: NVFP4 and INT4 in groups carry 1/16 byte of scale, MXFP4 1/32."""
KV_ELEMENT_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.53125}
"""Bytes per element of the KV cache; INT4 with its scales."""
FP4_CLASSES = ("blackwell", "blackwell_ultra", "blackwell_nvl", "blackwell_ultra_nvl", "cdna4", "rubin")
"""Hardware classes that compute FP4 weights at their FP8 rate or better; others widen them to BF16 first."""


@dataclass(slots=True, frozen=True)
class WeightPlan:
    """Bytes per weight and precision of the products, for routed experts and for everything else."""

    expert_bytes: float
    other_bytes: float
    expert_compute: str
    other_compute: str


def weight_plan(architecture: Architecture, accelerator: Accelerator, precision: str) -> WeightPlan:
    """How a precision is applied to the parts of a model.

    Raises   BadInput when the precision is unknown.
    Source   published checkpoints: FP4 models keep attention at FP8; gpt-oss ships MXFP4 experts and BF16 for the rest.
    """
    if precision not in WEIGHT_BYTES:
        known = ", ".join(WEIGHT_BYTES)
        raise BadInput(
            f"precision {precision!r} is unknown. Use one of {known}.",
            [{"field": "precision", "reason": f"has to be one of {known}"}],
        )
    if architecture.weight_format == "mxfp4" or precision == "mxfp4":
        compute = "fp8" if accelerator.hardware_class in FP4_CLASSES else "bf16"
        return WeightPlan(WEIGHT_BYTES["mxfp4"], 2.0, compute, "bf16")
    width = WEIGHT_BYTES[precision]
    if precision == "fp4":
        return WeightPlan(width, 1.0, "fp4", "fp8") if architecture.experts else WeightPlan(width, width, "fp4", "fp4")
    if precision == "int4":
        return WeightPlan(width, 2.0, "bf16", "bf16")
    compute = "fp8" if width == 1.0 else "bf16"
    return WeightPlan(width, width, compute, compute)


def weight_bytes(architecture: Architecture, plan: WeightPlan, batch: float | None = None) -> float:
    """Bytes of the weights; with a batch, only of the experts that a step of so many tokens touches.

    Source   random routing: a step of B tokens touches E·(1 − (1 − k/E)^B) experts.
    """
    groups = architecture.parameters
    other = (groups.attention + groups.dense_and_shared + groups.embedding) * plan.other_bytes
    if batch is None or not architecture.experts:
        return other + groups.experts * plan.expert_bytes
    missed = (1 - architecture.experts_per_token / architecture.experts) ** batch
    return other + groups.experts * (1 - missed) * plan.expert_bytes


def checkpoint_bytes(architecture: Architecture, plan: WeightPlan) -> float:
    """Bytes that all weights occupy in memory: the token table and the output head both count."""
    return weight_bytes(architecture, plan) + architecture.parameters.embedding * plan.other_bytes


def active_parameters(architecture: Architecture) -> tuple[float, float]:
    """Parameters that one token is multiplied with: (routed experts, everything else with the output head)."""
    groups = architecture.parameters
    experts = groups.one_expert * architecture.experts_per_token if architecture.experts else 0
    return float(experts), float(groups.attention + groups.dense_and_shared + groups.embedding)


def kv_layer_bytes(architecture: Architecture, element_bytes: float) -> float:
    """KV bytes that one token leaves in one attention layer."""
    if architecture.mla is not None:
        return (architecture.mla.kv_lora_rank + architecture.mla.qk_rope) * element_bytes
    return 2 * architecture.kv_heads * architecture.head_dim * element_bytes


def kv_bytes_per_token(architecture: Architecture, element_bytes: float) -> float:
    """KV bytes that every further token of a long context adds: full layers and their index.

    Units    bytes per token. Sliding-window and linear layers add a constant instead (`kv_bytes`).
    """
    index = architecture.sparse_index.dim if architecture.sparse_index else 0
    return architecture.full_layers * (kv_layer_bytes(architecture, element_bytes) + index)


def kv_bytes(architecture: Architecture, context_tokens: float, element_bytes: float) -> float:
    """Bytes one sequence of so many tokens holds: full layers, windows, and the state of linear layers."""
    window = min(context_tokens, architecture.sliding_window)
    sliding = architecture.sliding_layers * kv_layer_bytes(architecture, element_bytes) * window
    growing = kv_bytes_per_token(architecture, element_bytes) * context_tokens
    return growing + sliding + architecture.linear_state_bytes


def kv_byte_hours(
    architecture: Architecture, context_tokens: float, held_seconds: float, element_bytes: float
) -> float:
    """Residency of one sequence: bytes × hours."""
    return kv_bytes(architecture, context_tokens, element_bytes) * held_seconds / 3600


def pair_flops(architecture: Architecture, *, decode: bool) -> float:
    """FLOPs of one query on one key in one layer.

    Source   latent attention multiplies with the compressed rank while decoding, with full heads in prefill.
    """
    if architecture.mla is None:
        return 4.0 * architecture.query_heads * architecture.head_dim
    ranks = architecture.mla
    if decode:
        return 2.0 * architecture.query_heads * (2 * ranks.kv_lora_rank + ranks.qk_rope)
    return 2.0 * architecture.query_heads * (ranks.qk_nope + ranks.qk_rope + ranks.v_dim)


def peak_flops(accelerator: Accelerator, precision: str) -> float:
    """Dense peak for a precision; where it is not published, that of the wider precision the products run in.

    Units    FLOP/s.
    Raises   BadInput when no peak of the accelerator is known.
    """
    peaks = {name: figure.value for name, figure in accelerator.peak_dense_flops.items()}
    wide = peaks.get("bf16") or peaks.get("fp16")
    if wide is None:
        # Announced parts publish their narrowest rate only; halving per doubling of width is the cautious reading.
        narrow = (("fp8", 2), ("int8", 2), ("fp4", 8))
        wide = next((peaks[name] / divisor for name, divisor in narrow if name in peaks), None)
    if wide is None:
        raise BadInput(f"{accelerator.id} has no published compute rate; add one in a catalogue file.")
    fp8 = peaks.get("fp8") or wide
    return {"fp8": fp8, "int8": fp8, "fp4": peaks.get("fp4") or fp8}.get(precision, wide)
