"""Hardware in values: accelerators, model architectures, storage tiers, replicas and the factors of the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Evidence(StrEnum):
    """What a hardware figure rests on, strongest last."""

    CLAIM = "claim"
    PRIOR = "prior"
    HARDWARE_FIT = "hardware_fit"
    MEASURED_CURVE = "measured_curve"
    OWN_MEASUREMENT = "own_measurement"


class Role(StrEnum):
    """Which phase of a request a deployment serves."""

    AGGREGATED = "aggregated"
    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(slots=True, frozen=True)
class Sourced:
    """A figure with where it was read and how far it can be trusted."""

    value: float
    source: str
    confidence: str


@dataclass(slots=True, frozen=True)
class PriceRange:
    """Posted prices of one accelerator-hour, lowest and highest."""

    low: float
    high: float
    source: str
    confidence: str
    date: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class Accelerator:
    """One chip (GPU, TPU chip, LPU, wafer). Units: FLOP/s dense, bytes, bytes/s, W, s, USD. None: not published."""

    id: str
    hardware_class: str
    kind: str
    """`hbm_gpu`, `hbm_asic`, `sram_multi_chip`, `wafer_sram` or `sram_hbm`."""
    status: str
    """`shipping`, or `announced`: nothing measured, every figure a claim."""
    peak_dense_flops: Mapping[str, Sourced]
    memory_bytes: Sourced | None = None
    memory_bytes_per_second: Sourced | None = None
    tdp_w: Sourced | None = None
    scale_up_bytes_per_second: Sourced | None = None
    scale_up_world: int | None = None
    scale_out_bytes_per_second: Sourced | None = None
    host_link_bytes_per_second: Sourced | None = None
    layer_latency_s: Sourced | None = None
    provisioned_kw: Sourced | None = None
    capex_usd: Sourced | None = None
    usd_per_chip_hour: Mapping[str, Sourced | PriceRange] = field(default_factory=dict[str, Sourced | PriceRange])
    note: str = ""

    @property
    def announced(self) -> bool:
        """Whether the hardware is not shipping yet."""
        return self.status == "announced"

    @property
    def is_sram(self) -> bool:
        """Whether weights and KV live in on-chip memory, so that latency per layer sets the speed."""
        return self.kind in ("sram_multi_chip", "wafer_sram")


@dataclass(slots=True, frozen=True, kw_only=True)
class MultiHeadLatent:
    """Ranks of multi-head latent attention."""

    kv_lora_rank: int
    qk_nope: int
    qk_rope: int
    v_dim: int


@dataclass(slots=True, frozen=True, kw_only=True)
class SparseIndex:
    """Sparse attention: every query reads `topk` keys, found through an index of `dim` bytes per token and layer."""

    topk: int
    dim: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Parameters:
    """Parameter counts by group; `one_expert` is one routed expert in all layers."""

    attention: int
    dense_and_shared: int
    experts: int
    one_expert: int
    embedding: int

    @property
    def total(self) -> int:
        """All parameters. The embedding counts twice: the table and the output head."""
        return self.attention + self.dense_and_shared + self.experts + 2 * self.embedding


@dataclass(slots=True, frozen=True, kw_only=True)
class Architecture:
    """The shape of a model, as far as bytes and FLOPs depend on it."""

    id: str
    full_layers: int
    sliding_layers: int
    linear_layers: int
    hidden: int
    query_heads: int
    kv_heads: int
    head_dim: int
    parameters: Parameters
    context: int
    attention: str = "gqa"
    sliding_window: int = 0
    mla: MultiHeadLatent | None = None
    sparse_index: SparseIndex | None = None
    linear_kind: str | None = None
    linear_state_bytes: int = 0
    experts: int = 0
    experts_per_token: int = 0
    weight_format: str | None = None
    """A format the weights are published in whatever the deployment's precision (`mxfp4`)."""
    published_as: str = ""
    source: str = ""
    confidence: str = ""

    @property
    def layers(self) -> int:
        """All layers."""
        return self.full_layers + self.sliding_layers + self.linear_layers


@dataclass(slots=True, frozen=True, kw_only=True)
class StorageTier:
    """A place KV blocks can lie in. Units: bytes/s, USD per GB (10⁹ bytes)."""

    id: str
    name: str
    bytes_per_second: Sourced | None = None
    usd_per_gb_month: Sourced | None = None
    usd_per_gb_get: Sourced | None = None
    usd_per_gb_put: Sourced | None = None
    note: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class Factors:
    """What separates silicon from its data sheet: shares of bandwidth and compute reached, latency per layer."""

    eta_memory: float = 0.75
    eta_compute: float = 0.60
    layer_latency_s: float = 80e-6
    eta_link: float = 0.30
    evidence: Evidence = Evidence.PRIOR


@dataclass(slots=True, frozen=True, kw_only=True)
class Replica:
    """A model on chips that work as one: what a figure of the cost model is about."""

    accelerator: Accelerator
    architecture: Architecture
    chips: int
    precision: str
    kv_element_bytes: float = 2.0
    attention_groups: int = 1
    """Data-parallel attention groups; 1 is plain tensor parallelism."""
    factors: Factors = Factors()


@dataclass(slots=True, frozen=True, kw_only=True)
class HardwareCatalogue:
    """Everything known about hardware, by id."""

    accelerators: Mapping[str, Accelerator]
    architectures: Mapping[str, Architecture]
    storage_tiers: Mapping[str, StorageTier]
    prior: Factors
    fitted: Mapping[str, Factors]
    error_band: tuple[float, float]
    """10th and 90th percentile of predicted ÷ measured accelerator-seconds with the prior."""
