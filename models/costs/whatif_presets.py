"""Scenarios that the hardware page puts beside what a deployment costs: other machines, hosts and cache policies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from models.core.errors import BadInput
from models.core.hardware import Accelerator, HardwareCatalogue, PriceRange, Replica
from models.costs.hardware_architecture import KV_ELEMENT_BYTES
from models.costs.hardware_estimate import accelerator_named, architecture_named
from models.costs.hardware_shape import Shape
from models.costs.hardware_terms import terms_of

MOST_CHIPS = 4096
USUAL_SHAPE = Shape(4_000, 8_000, 500)
"""The request by which a replica is sized: that of an agent in the middle of its work."""


HOSTED: Mapping[str, Mapping[str, str]] = {
    "gpt-oss-120b": {"groq": "openai/gpt-oss-120b", "cerebras": "gpt-oss-120b"},
    "gpt-oss-20b": {"groq": "openai/gpt-oss-20b"},
    "llama-3.1-8b": {"groq": "llama-3.1-8b-instant", "cerebras": "llama3.1-8b"},
    "llama-3.1-70b": {"groq": "llama-3.3-70b-versatile", "cerebras": "llama-3.3-70b"},
}
"""Architecture → what hosts on other hardware call a model of this shape."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Assumptions:
    """What the scenarios of own hardware have in common, and prices of chips that the catalogue does not know."""

    model: str
    precision: str = "fp8"
    concurrency: int = 16
    utilisation: Decimal = Decimal("0.6")
    gpu: str = "h200_sxm"
    gpu_chips: int | None = None
    """Chips of a replica; None: the fewest that hold the model."""
    gpu_price: Decimal | None = None
    lpu_price: Decimal | None = None
    wafer_price: Decimal | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class Preset:
    """A scenario with its name; `fault` says what has to be given before it can be answered."""

    key: str
    name: str
    document: Mapping[str, Any]
    announced: bool = False
    fault: str = ""


def presets(wanted: Assumptions, catalogue: HardwareCatalogue) -> Sequence[Preset]:
    """The scenarios, the present one first.

    Raises   NotFound for ids the catalogue lacks.
    """
    architecture_named(catalogue, wanted.model)
    gpu = _machine(catalogue, wanted, wanted.gpu, wanted.gpu_price)
    if gpu.chips is not None and wanted.gpu_chips is not None:
        gpu = replace(gpu, chips=max(gpu.chips, wanted.gpu_chips))
    other = _machine(catalogue, wanted, "b200_sxm" if wanted.gpu != "b200_sxm" else "h100_sxm", None)
    lpu = _machine(catalogue, wanted, "groq_lpu_v1", wanted.lpu_price)
    wafer = _machine(catalogue, wanted, "cerebras_wse3", wanted.wafer_price)
    announced = _machine(catalogue, wanted, "vera_rubin_nvl72", None)
    return [
        Preset(key="same", name="As it is", document={"kind": "same"}),
        *(_served(key, each, wanted) for key, each in (("gpu", gpu), ("other-gpu", other), ("lpu", lpu))),
        _served("wafer", wafer, wanted),
        _served("split", gpu, wanted, lpu),
        _served("announced", announced, wanted),
        *_hosted(wanted.model),
        Preset(key="no-cache", name="List prices, no cache", document={"kind": "cache", "policy": "none"}),
        Preset(key="half", name="Half of every list price", document={"kind": "price_book", "multiplier": "0.5"}),
    ]


def _hosted(model: str) -> Sequence[Preset]:
    """The model at hosts that serve it on LPU and wafer, at their list price."""
    return [
        Preset(
            key=host,
            name=f"{name} at list price",
            document={"kind": "route", "provider": host, "model": hosted},
        )
        for host, name in (("groq", "LPU host (Groq)"), ("cerebras", "Wafer host (Cerebras)"))
        if (hosted := HOSTED.get(model, {}).get(host)) is not None
    ]


@dataclass(slots=True, frozen=True)
class _Machine:
    accelerator: Accelerator
    chips: int | None
    price: Decimal | None

    @property
    def fault(self) -> str:
        if self.chips is None:
            return f"the model does not fit {MOST_CHIPS:,} chips of {self.accelerator.id}, or figures are unpublished"
        return "" if self.price is not None else f"no price of an hour of {self.accelerator.id} is published: give one"

    @property
    def document(self) -> dict[str, Any]:
        return {
            "accelerator": self.accelerator.id,
            "chips": self.chips,
            "usd_per_chip_hour": None if self.price is None else str(self.price),
        }


def _served(key: str, machine: _Machine, wanted: Assumptions, decode: _Machine | None = None) -> Preset:
    machines = [machine, *([decode] if decode is not None else [])]
    fault = next((each.fault for each in machines if each.fault), "")
    document: dict[str, Any] = {
        "kind": "deployment",
        "model": wanted.model,
        "precision": wanted.precision,
        "concurrency": wanted.concurrency,
        "utilisation": str(wanted.utilisation),
        **machine.document,
    }
    name = f"{machine.chips or '?'} × {machine.accelerator.id}"
    if decode is not None:
        document["decode"] = decode.document
        name = f"{machine.accelerator.id} prefill, {decode.accelerator.id} decode"
    announced = any(each.accelerator.announced for each in machines)
    return Preset(key=key, name=name, document=document, announced=announced, fault=fault)


def _machine(catalogue: HardwareCatalogue, wanted: Assumptions, name: str, price: Decimal | None) -> _Machine:
    accelerator = accelerator_named(catalogue, name)
    return _Machine(accelerator, fitting_chips(catalogue, wanted, accelerator), price or hourly_price(accelerator))


def fitting_chips(catalogue: HardwareCatalogue, wanted: Assumptions, accelerator: Accelerator) -> int | None:
    """The smallest power of two of chips that holds the model and a usual request; None where none does."""
    chips = 1
    while chips <= MOST_CHIPS:
        replica = Replica(
            accelerator=accelerator,
            architecture=architecture_named(catalogue, wanted.model),
            chips=chips,
            precision=wanted.precision,
            kv_element_bytes=KV_ELEMENT_BYTES["bf16"],
            factors=catalogue.prior,
        )
        try:
            terms_of(replica, 1, USUAL_SHAPE)
        except BadInput:
            chips *= 2
        else:
            return chips
    return None


def hourly_price(accelerator: Accelerator) -> Decimal | None:
    """A chip-hour's price in the catalogue: rented for years where known, else the lower end on demand, else any."""
    for name in ("rental_3yr_commit", "ondemand_range", *accelerator.usd_per_chip_hour):
        price = accelerator.usd_per_chip_hour.get(name)
        if price is not None:
            return Decimal(repr(price.low if isinstance(price, PriceRange) else price.value))
    return None
