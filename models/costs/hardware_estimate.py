"""One request on one piece of hardware: time, memory, accelerator-seconds, dollars, and what they rest on."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from models.core.errors import BadInput, NotFound
from models.core.hardware import Accelerator, Architecture, Evidence, Factors, HardwareCatalogue, Replica
from models.core.money import EXACT, plain
from models.costs.hardware_architecture import KV_ELEMENT_BYTES, kv_bytes
from models.costs.hardware_shape import Shape
from models.costs.hardware_terms import accelerator_seconds, terms_of

SECONDS_PER_HOUR = Decimal(3600)


@dataclass(slots=True, frozen=True, kw_only=True)
class EstimateRequest:
    """What `/api/v1/hardware/estimate` asks: a request and the hardware it would run on. Ids as in the catalogue."""

    accelerator: str
    chips: int
    model: str
    precision: str
    concurrency: float
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    usd_per_chip_hour: Decimal | None = None
    kv_precision: str = "bf16"
    calibration: str = "prior"
    """`prior`, or `hardware_fit` for factors fitted on published runs of this accelerator."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Estimate:
    """The answer. `input_tokens` of the request are the uncached ones."""

    accelerator_seconds: float
    prefill_seconds: float
    decode_seconds_per_token: float
    kv_bytes: int
    batch: float
    usd: Decimal | None
    usd_low: Decimal | None
    usd_high: Decimal | None
    evidence: Evidence
    announced: bool
    assumptions: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The estimate as API and command line show it; money as decimal strings."""
        return {
            "accelerator_seconds": self.accelerator_seconds,
            "prefill_seconds": self.prefill_seconds,
            "decode_seconds_per_token": self.decode_seconds_per_token,
            "kv_bytes": self.kv_bytes,
            "batch": self.batch,
            "usd": plain(self.usd),
            "usd_low": plain(self.usd_low),
            "usd_high": plain(self.usd_high),
            "evidence": self.evidence.value,
            "announced": self.announced,
            "assumptions": list(self.assumptions),
        }


def estimate(request: EstimateRequest, catalogue: HardwareCatalogue) -> Estimate:
    """Cost of one request on a replica under a steady load.

    Units    seconds; accelerator_seconds in chips × seconds; KV bytes at the end of the answer; USD.
    Raises   NotFound for an id the catalogue lacks; BadInput for figures that cannot be.
    Source   A = chips × (prefill + output × step ÷ concurrency).
    """
    _check(request)
    accelerator = accelerator_named(catalogue, request.accelerator)
    architecture = architecture_named(catalogue, request.model)
    replica = Replica(
        accelerator=accelerator,
        architecture=architecture,
        chips=request.chips,
        precision=request.precision,
        kv_element_bytes=kv_element_bytes(request.kv_precision),
        factors=factors_for(catalogue, accelerator, request.calibration),
    )
    u, c, o = request.input_tokens, request.cache_read_tokens, request.output_tokens
    shape = Shape(u, c, o)
    terms = terms_of(replica, request.concurrency, shape)
    seconds = accelerator_seconds(terms, u, c, o)
    low, high = catalogue.error_band
    return Estimate(
        accelerator_seconds=seconds,
        prefill_seconds=terms.prefill_seconds(u, c),
        decode_seconds_per_token=terms.step_seconds(shape.decode_context),
        kv_bytes=round(kv_bytes(architecture, u + c + o, replica.kv_element_bytes)),
        batch=terms.batch,
        usd=chip_seconds_cost(seconds, request.usd_per_chip_hour),
        # Predicted ÷ measured lies in [low, high], so what is measured lies between predicted ÷ high and ÷ low.
        usd_low=chip_seconds_cost(seconds / high, request.usd_per_chip_hour),
        usd_high=chip_seconds_cost(seconds / low, request.usd_per_chip_hour),
        evidence=terms.evidence,
        announced=accelerator.announced,
        assumptions=tuple(_assumptions(request, accelerator, terms.batch)),
    )


def chip_seconds_cost(chip_seconds: float, usd_per_chip_hour: Decimal | None) -> Decimal | None:
    """USD of accelerator-seconds at a rate, scale 15; None where no rate is known."""
    if usd_per_chip_hour is None:
        return None
    exact = EXACT.divide(EXACT.multiply(Decimal(repr(chip_seconds)), usd_per_chip_hour), SECONDS_PER_HOUR)
    return exact.quantize(Decimal("1e-15"), context=EXACT)


def kv_element_bytes(precision: str) -> float:
    """Bytes per KV element of a precision.

    Raises   BadInput for a precision the cache cannot have.
    """
    if precision not in KV_ELEMENT_BYTES:
        known = ", ".join(KV_ELEMENT_BYTES)
        raise BadInput(
            f"kv_precision {precision!r} is unknown. Use one of {known}.",
            [{"field": "kv_precision", "reason": f"has to be one of {known}"}],
        )
    return KV_ELEMENT_BYTES[precision]


def factors_for(catalogue: HardwareCatalogue, accelerator: Accelerator, calibration: str) -> Factors:
    """The factors asked for; accelerators without a fit of their own take the prior.

    Raises   BadInput for an unknown calibration.
    """
    if calibration not in ("prior", "hardware_fit"):
        raise BadInput(
            f"calibration {calibration!r} is unknown. Use prior or hardware_fit.",
            [{"field": "calibration", "reason": "has to be prior or hardware_fit"}],
        )
    fitted = catalogue.fitted.get(accelerator.id)
    return fitted if calibration == "hardware_fit" and fitted is not None else catalogue.prior


def accelerator_named(catalogue: HardwareCatalogue, name: str) -> Accelerator:
    """The accelerator of an id.

    Raises   NotFound with the ids there are.
    """
    if name not in catalogue.accelerators:
        raise NotFound(f"no accelerator {name!r} in the catalogue. It has {', '.join(sorted(catalogue.accelerators))}.")
    return catalogue.accelerators[name]


def architecture_named(catalogue: HardwareCatalogue, name: str) -> Architecture:
    """The model architecture of an id.

    Raises   NotFound with the ids there are.
    """
    if name not in catalogue.architectures:
        raise NotFound(f"no model {name!r} in the catalogue. It has {', '.join(sorted(catalogue.architectures))}.")
    return catalogue.architectures[name]


def _check(request: EstimateRequest) -> None:
    errors: list[dict[str, str]] = []
    for name, least in (("chips", 1), ("input_tokens", 0), ("cache_read_tokens", 0), ("output_tokens", 0)):
        value = getattr(request, name)
        if value < least:
            errors.append({"field": name, "reason": f"is {value}; has to be at least {least}"})
    if request.concurrency < 1:
        errors.append({"field": "concurrency", "reason": f"is {request.concurrency}; has to be at least 1"})
    rate = request.usd_per_chip_hour
    if rate is not None and (not rate.is_finite() or rate < 0):
        errors.append({"field": "usd_per_chip_hour", "reason": f"is {rate}; has to be 0 or more"})
    if errors:
        listed = "; ".join(f"{error['field']} {error['reason']}" for error in errors)
        raise BadInput(f"{listed}. Correct the request and send it again.", errors)


def _assumptions(request: EstimateRequest, accelerator: Accelerator, batch: float) -> list[str]:
    notes = [f"steady load of {request.concurrency:g} requests on the replica; KV cache in {request.kv_precision}"]
    if batch < request.concurrency:
        notes.append(f"{batch:.1f} of them run together, the rest wait: memory or pipeline is full")
    if request.cache_read_tokens:
        notes.append("cached tokens are read from the accelerator's own memory; not validated against measurements")
    if accelerator.announced:
        notes.append(f"{accelerator.id} is announced, not shipping: its figures are claims")
    if accelerator.is_sram and accelerator.layer_latency_s is None:
        notes.append("latency per layer not published: that of the first LPU generation")
    if request.usd_per_chip_hour is None:
        notes.append("no price per chip-hour given, so the cost is unknown")
    return notes
