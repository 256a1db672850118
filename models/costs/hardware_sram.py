"""Timing of machines that keep weights and KV in on-chip memory (LPU, wafer): latency per layer sets the speed."""

import math

from models.core.errors import BadInput
from models.core.hardware import Accelerator, Architecture, Evidence, Replica
from models.costs.hardware_architecture import (
    active_parameters,
    checkpoint_bytes,
    kv_bytes,
    kv_bytes_per_token,
    pair_flops,
    peak_flops,
    weight_plan,
)
from models.costs.hardware_hbm import known
from models.costs.hardware_shape import Shape, Terms

LPU_LAYER_LATENCY_S = 50e-6
"""Measured on the first LPU generation; stands in for announced parts that publish none."""


def chips_needed(
    architecture: Architecture,
    accelerator: Accelerator,
    precision: str,
    kv_cache_bytes: float = 0.0,
) -> int:
    """Chips that hold the weights and so many bytes of KV.

    Raises   BadInput when the size of the on-chip memory is not published.
    Source   published deployments are whole multiples of the weights: 4 wafers for 70B in BF16, 42 for gpt-oss-120b
             with 1.78 TB of KV; the memory counts whole.
    """
    if accelerator.memory_bytes is None:
        raise BadInput(f"memory_bytes of {accelerator.id} is not published; add it in a catalogue file.")
    weights = checkpoint_bytes(architecture, weight_plan(architecture, accelerator, precision))
    return math.ceil((weights + kv_cache_bytes) / accelerator.memory_bytes.value)


def layer_latency(accelerator: Accelerator) -> float:
    """Seconds per layer and token: the accelerator's own, or that of the first LPU generation."""
    return accelerator.layer_latency_s.value if accelerator.layer_latency_s else LPU_LAYER_LATENCY_S


def sram_terms(replica: Replica, concurrency: float, shape: Shape) -> Terms:
    """The six coefficients of a pipeline of on-chip-memory machines.

    Units    chip-seconds per token; see Terms.
    Raises   BadInput when the weights do not fit or the memory's size or speed is not published.
    Source   a token passes all layers at a fixed latency each; every layer is a pipeline stage, so at most as many
             sequences as layers are in flight, and they share the machine equally.
    """
    architecture, factors, chips = replica.architecture, replica.factors, replica.chips
    plan = weight_plan(architecture, replica.accelerator, replica.precision)
    memory = known(replica, "memory_bytes").value * chips
    needed = chips_needed(architecture, replica.accelerator, replica.precision)
    if chips < needed:
        raise BadInput(
            f"{architecture.id} in {replica.precision} needs {needed} of {replica.accelerator.id}, {chips} were given.",
            [{"field": "chips", "reason": f"has to be at least {needed}"}],
        )
    sequence = kv_bytes(architecture, shape.decode_context, replica.kv_element_bytes)
    room = memory - checkpoint_bytes(architecture, plan)
    fits = max(1.0, room / max(sequence, 1.0))
    batch = min(concurrency, float(architecture.layers), fits)

    bandwidth = known(replica, "memory_bytes_per_second").value * factors.eta_memory
    experts, other = active_parameters(architecture)
    active_bytes = experts * plan.expert_bytes + other * plan.other_bytes
    latency = architecture.layers * layer_latency(replica.accelerator)
    compute = peak_flops(replica.accelerator, "bf16") * factors.eta_compute
    pair = pair_flops(architecture, decode=False) / compute
    linear = 2 * (experts + other - architecture.parameters.embedding) / compute
    window = architecture.sliding_layers * min(shape.decode_context, architecture.sliding_window)
    constant = (
        kv_bytes(architecture, shape.decode_context, replica.kv_element_bytes)
        - kv_bytes_per_token(architecture, replica.kv_element_bytes) * shape.decode_context
    )
    announced = replica.accelerator.announced or replica.accelerator.layer_latency_s is None
    return Terms(
        prefill_token=linear + pair * window,
        prefill_pair=pair * architecture.full_layers,
        step_share=chips * (latency + active_bytes / (chips * bandwidth)) / batch,
        context_read=kv_bytes_per_token(architecture, replica.kv_element_bytes) / bandwidth / batch,
        state_read=constant / bandwidth / batch,
        cache_reload=0.0,
        chips=chips,
        batch=batch,
        fill_seconds=latency,
        evidence=Evidence.CLAIM if announced else Evidence.HARDWARE_FIT,
    )
