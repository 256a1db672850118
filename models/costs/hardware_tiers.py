"""KV cache in tiers: reading, recomputing, holding. Formulas only; nothing of this is validated by measurements."""

from dataclasses import dataclass

from models.core.errors import BadInput
from models.core.hardware import Replica, StorageTier
from models.costs.hardware_architecture import kv_bytes_per_token
from models.costs.hardware_shape import Terms

SECONDS_PER_MONTH = 730 * 3600
GB = 1e9


@dataclass(slots=True, frozen=True, kw_only=True)
class Reload:
    """Cached tokens read from a tier: time on the link, the part of it that stalls the chips, and the fee."""

    seconds: float
    stall_seconds: float
    stall_chip_seconds: float
    usd: float


def reload(replica: Replica, tier: StorageTier, tokens: float, hidden_seconds: float = 0.0, devices: int = 1) -> Reload:
    """Read cached tokens from a tier.

    Units    `hidden_seconds` of other work that layer-wise prefetch covers; `devices` links or drives in parallel.
    Raises   BadInput when the tier's speed is not known.
    Source   HBM hits load nothing; what attention reads of them is part of the decode step.
    """
    if tier.id == "hbm":
        return Reload(seconds=0.0, stall_seconds=0.0, stall_chip_seconds=0.0, usd=0.0)
    if tier.bytes_per_second is None:
        raise BadInput(f"the speed of tier {tier.id} is not published; add bytes_per_second in a catalogue file.")
    size = tokens * kv_bytes_per_token(replica.architecture, replica.kv_element_bytes)
    seconds = size / (tier.bytes_per_second.value * devices)
    stall = max(0.0, seconds - hidden_seconds)
    fee = tier.usd_per_gb_get.value if tier.usd_per_gb_get else 0.0  # tiers without a read fee are free to read
    return Reload(seconds=seconds, stall_seconds=stall, stall_chip_seconds=stall * replica.chips, usd=size / GB * fee)


def reload_beats_recompute(replica: Replica, terms: Terms, tier: StorageTier, devices: int = 1) -> bool:
    """Whether a token is read from the tier faster than its prefill computes it again (linear layers only)."""
    return reload(replica, tier, 1, devices=devices).seconds < terms.prefill_token / terms.chips


def holding_usd(tier: StorageTier, size_bytes: float, seconds: float) -> float | None:
    """USD of holding bytes for a time; None where the tier has no known price."""
    if tier.usd_per_gb_month is None:
        return None
    return size_bytes / GB * tier.usd_per_gb_month.value * seconds / SECONDS_PER_MONTH


def worth_holding_seconds(tier: StorageTier, size_bytes: float, recompute_usd: float) -> float | None:
    """How long one expected reuse pays for holding; None where the tier has no known price."""
    price = holding_usd(tier, size_bytes, 1.0)
    return None if price is None else recompute_usd / price
