"""Prefill and decode on hardware of their own: two rates, two lines, a transfer; and pools sized from throughput."""

from dataclasses import dataclass
from decimal import Decimal

from models.core.errors import BadInput
from models.core.hardware import Evidence, Replica
from models.core.money import EXACT
from models.costs.hardware_architecture import kv_bytes_per_token
from models.costs.hardware_shape import Shape, Terms
from models.costs.hardware_terms import terms_of, weakest

DEFAULT_LINK_BYTES_PER_SECOND = 50e9
"""400 Gb/s, what the nodes of measured disaggregated deployments have."""


@dataclass(slots=True, frozen=True, kw_only=True)
class HybridTerms:
    """Coefficients of both pools. Prefill takes the prefill terms of one, decode the decode terms of the other."""

    prefill: Terms
    decode: Terms
    transfer_seconds: float
    """Time the KV of the mean request needs on the link; it occupies the network, not the chips."""
    evidence: Evidence


def hybrid_terms(
    prefill: Replica,
    decode: Replica,
    concurrency: float,
    shape: Shape,
    link_bytes_per_second: float = DEFAULT_LINK_BYTES_PER_SECOND,
) -> HybridTerms:
    """Terms of a request whose prompt is read by one replica and whose answer is written by another.

    Units    chip-seconds of the respective hardware; seconds for the transfer.
    Raises   BadInput where a model does not fit, or the two replicas serve different models.
    """
    if prefill.architecture.id != decode.architecture.id:
        raise BadInput(
            f"prefill serves {prefill.architecture.id}, decode {decode.architecture.id}: their KV caches differ. "
            "Give both the same model."
        )
    first, second = terms_of(prefill, concurrency, shape), terms_of(decode, concurrency, shape)
    moved = kv_bytes_per_token(decode.architecture, decode.kv_element_bytes) * (shape.uncached + shape.cached)
    return HybridTerms(
        prefill=first,
        decode=second,
        transfer_seconds=moved / link_bytes_per_second,
        evidence=weakest([first.evidence, second.evidence]),
    )


def attention_ffn_step(
    layers: int, micro_batches: int, attention_seconds: float, ffn_seconds: float, link_seconds: float
) -> float:
    """Decode step when attention and feed-forward layers run on pools of their own.

    Units    seconds per layer and micro-batch in, seconds per step out.
    Source   a pipeline runs at its slowest stage and is filled once per step; formula only, nothing measured.
    """
    slowest = max(attention_seconds, ffn_seconds, link_seconds)
    return layers * micro_batches * slowest + attention_seconds + ffn_seconds + link_seconds - slowest


def pool_chip_hours(tokens: float, tokens_per_second_per_node: float, chips_per_node: int) -> float:
    """Chip-hours that a pool needs for so many tokens at a node throughput."""
    return tokens / tokens_per_second_per_node * chips_per_node / 3600


def pool_bill(chip_hours: Decimal, usd_per_chip_hour: Decimal) -> Decimal:
    """USD of chip-hours, exactly."""
    return EXACT.multiply(chip_hours, usd_per_chip_hour)
