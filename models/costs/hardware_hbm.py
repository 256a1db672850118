"""Timing of accelerators with external memory (GPU, TPU, Trainium): roofline per phase plus a latency per layer."""

from models.core.errors import BadInput
from models.core.hardware import Evidence, Replica, Sourced
from models.costs.hardware_architecture import (
    WeightPlan,
    active_parameters,
    checkpoint_bytes,
    kv_bytes,
    kv_layer_bytes,
    pair_flops,
    peak_flops,
    weight_bytes,
    weight_plan,
)
from models.costs.hardware_shape import Shape, Terms

USABLE_MEMORY = 0.9
"""Share of memory that engines give to weights and KV by default."""
RUNTIME_BYTES = 3e9
"""Activations, CUDA graphs and workspaces of one chip."""
LEAST_KV_BYTES = 1e9
PCIE_BYTES_PER_SECOND = 64e9
"""One direction of PCIe 5 ×16: the link of chips without a scale-up fabric."""
NETWORK_BYTES_PER_SECOND = 50e9
"""400 Gb/s per chip: the network where none is published."""
ACTIVATION_BYTES = 2
ROUTED_DESTINATIONS = 4
"""Nodes a token's experts are limited to by node-limited routing."""
DISPATCH_AND_COMBINE_BYTES = 3
"""Per element of the hidden state: FP8 to the expert, BF16 back."""


def hbm_terms(replica: Replica, concurrency: float, shape: Shape) -> Terms:
    """The six coefficients of a replica of HBM accelerators.

    Units    chip-seconds per token; see Terms.
    Raises   BadInput when the weights do not fit or the memory's size or speed is not published.
    Source   prefill: compute of linear layers and attention pairs. Decode step: max(weights, compute) shared by the
             batch, max(KV read, attention compute) per sequence, communication, latency per layer.
    """
    architecture, factors, chips = replica.architecture, replica.factors, replica.chips
    plan = weight_plan(architecture, replica.accelerator, replica.precision)
    bandwidth = known(replica, "memory_bytes_per_second").value * factors.eta_memory
    batch = effective_batch(replica, concurrency, shape)
    layers = architecture.layers

    expert_params, other_params = active_parameters(architecture)
    expert_rate = peak_flops(replica.accelerator, plan.expert_compute) * factors.eta_compute
    other_rate = peak_flops(replica.accelerator, plan.other_compute) * factors.eta_compute
    attention_rate = peak_flops(replica.accelerator, "bf16") * factors.eta_compute

    # Prefill. The output head runs for emitted tokens only, the embedding is a look-up.
    head = architecture.parameters.embedding
    linear = 2 * ((other_params - head) / other_rate + expert_params / expert_rate)
    pair = pair_flops(architecture, decode=False) / attention_rate
    earlier = shape.cached + shape.uncached / 2
    near = architecture.sliding_layers * min(shape.cached + shape.uncached, architecture.sliding_window)
    growing = float(architecture.full_layers)
    if architecture.sparse_index is not None:
        near += architecture.full_layers * min(earlier, architecture.sparse_index.topk)
        growing = 0.0
    per_token_link, link_share = _link_seconds_per_token(replica)

    # Decode. Fixed: needed by every member of the batch, so shared equally.
    weights = weight_bytes(architecture, plan, batch) + _replicated_attention_bytes(replica, plan)
    compute = 2 * batch * (other_params / other_rate + expert_params / expert_rate)
    fixed = max(weights / (chips * bandwidth), compute / chips)
    fixed += layers * factors.layer_latency_s + per_token_link * batch * link_share

    # Private: what each sequence reads and multiplies for itself.
    layer_bytes = kv_layer_bytes(architecture, replica.kv_element_bytes)
    read_rate = kv_shards(replica) * bandwidth
    context = shape.decode_context
    window = architecture.sliding_layers * min(context, architecture.sliding_window)
    slope, constant = float(architecture.full_layers), window
    index_bytes = 0.0
    if architecture.sparse_index is not None:
        slope, constant = 0.0, window + architecture.full_layers * min(context, architecture.sparse_index.topk)
        index_bytes = float(architecture.full_layers * architecture.sparse_index.dim)
    read = (slope * layer_bytes + index_bytes) / read_rate, constant * layer_bytes / read_rate
    decode_pair = pair_flops(architecture, decode=True) / attention_rate / chips
    multiply = slope * decode_pair, constant * decode_pair
    rising, level = max(read, multiply, key=lambda side: side[0] * context + side[1])
    state = 2 * architecture.linear_state_bytes / (chips * bandwidth)

    return Terms(
        prefill_token=linear + pair * near + chips * per_token_link * _prefill_link_share(replica),
        prefill_pair=pair * growing,
        step_share=chips * fixed / batch,
        context_read=chips * rising,
        state_read=chips * (level + state),
        cache_reload=0.0,
        chips=chips,
        batch=batch,
        fill_seconds=0.0,
        evidence=Evidence.CLAIM if replica.accelerator.announced else factors.evidence,
    )


def effective_batch(replica: Replica, concurrency: float, shape: Shape) -> float:
    """Sequences that fit in memory at once, at most the concurrency; the rest queue and cost nothing extra.

    Raises   BadInput when the weights alone exceed the memory of the chips.
    """
    plan = weight_plan(replica.architecture, replica.accelerator, replica.precision)
    memory = known(replica, "memory_bytes").value
    weights = checkpoint_bytes(replica.architecture, plan)
    if weights > memory * replica.chips:
        least = int(-(-weights // memory))
        raise BadInput(
            f"{replica.architecture.id} in {replica.precision} is {weights / 1e9:.1f} GB and does not fit into "
            f"{replica.chips} × {memory / 1e9:.0f} GB of {replica.accelerator.id}. Give it at least {least} chips.",
            [{"field": "chips", "reason": f"has to be at least {least}"}],
        )
    room = max(memory * USABLE_MEMORY - weights / replica.chips - RUNTIME_BYTES, LEAST_KV_BYTES)
    sequence = kv_bytes(replica.architecture, shape.decode_context, replica.kv_element_bytes)
    return min(concurrency, max(1.0, room * kv_shards(replica) / max(sequence, 1.0)))


def kv_shards(replica: Replica) -> int:
    """Parts the KV cache is cut into: KV heads bound it, latent attention keeps a copy on every chip of a group."""
    if replica.architecture.mla is not None:
        return replica.attention_groups
    return min(replica.chips, replica.architecture.kv_heads * replica.attention_groups)


def known(replica: Replica, name: str) -> Sourced:
    """A figure of the accelerator that a formula cannot do without.

    Raises   BadInput naming the figure that is not published.
    """
    figure = getattr(replica.accelerator, name)
    if figure is None:
        raise BadInput(
            f"{name} of {replica.accelerator.id} is not published, so nothing can be timed on it. "
            "Add the figure with its source in a catalogue file.",
            [{"field": "accelerator", "reason": f"{name} is unknown"}],
        )
    return figure


def _replicated_attention_bytes(replica: Replica, plan: WeightPlan) -> float:
    copies = replica.attention_groups - 1
    return replica.architecture.parameters.attention * plan.other_bytes * copies


def _link_seconds_per_token(replica: Replica) -> tuple[float, float]:
    """Seconds on the links per token of a step, and the share of the batch's tokens each chip moves."""
    chips, architecture = replica.chips, replica.architecture
    published = replica.accelerator.scale_up_bytes_per_second
    link = published.value if published else PCIE_BYTES_PER_SECOND
    if replica.attention_groups == 1:
        # Two ring all-reduces per layer, each 2(n−1)/n of the activations.
        volume = 2 * architecture.layers * 2 * (chips - 1) / chips * architecture.hidden * ACTIVATION_BYTES
        return volume / (link * replica.factors.eta_link), 1.0
    routed = architecture.experts_per_token
    if chips > 8 and replica.accelerator.scale_up_world in (8, None):
        network = replica.accelerator.scale_out_bytes_per_second
        link, routed = network.value if network else NETWORK_BYTES_PER_SECOND, min(routed, ROUTED_DESTINATIONS)
    volume = architecture.layers * routed * architecture.hidden * DISPATCH_AND_COMBINE_BYTES
    return volume / link, 1.0 / chips


def _prefill_link_share(replica: Replica) -> float:
    return 1.0 if replica.attention_groups == 1 else 1.0 / replica.chips
