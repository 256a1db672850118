"""The hardware catalogue: shipped figures, and files of the user that add to them or replace entries by id."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from models.core.errors import BadInput
from models.core.hardware import (
    Accelerator,
    Architecture,
    Evidence,
    Factors,
    HardwareCatalogue,
    MultiHeadLatent,
    Parameters,
    PriceRange,
    Sourced,
    SparseIndex,
    StorageTier,
)
from models.prices.catalogue_fields import Fields

SHIPPED = Path(__file__).with_name("hardware")
KINDS = ("hbm_gpu", "hbm_asic", "sram_multi_chip", "wafer_sram", "sram_hbm")
STATUSES = ("shipping", "announced")
ATTENTIONS = ("gqa", "mla")
PRECISIONS = ("fp32", "bf16", "fp16", "fp8", "int8", "fp4", "int4")
SECTIONS = ("accelerators", "architectures", "storage_tiers")


@cache
def shipped_catalogue() -> HardwareCatalogue:
    """The catalogue as shipped; every figure with source and confidence."""
    calibration = json.loads((SHIPPED / "calibration.json").read_text(encoding="utf-8"))
    empty = HardwareCatalogue(
        accelerators={},
        architectures={},
        storage_tiers={},
        prior=_factors(calibration["prior"], Evidence.PRIOR),
        fitted={name: _factors(fit, Evidence.HARDWARE_FIT) for name, fit in calibration["fitted"].items()},
        error_band=(calibration["error_band"]["low"], calibration["error_band"]["high"]),
    )
    catalogue = empty
    for section in SECTIONS:
        path = SHIPPED / f"{section}.json"
        catalogue = extended(catalogue, json.loads(path.read_text(encoding="utf-8")), path.name)
    return catalogue


def load_catalogue(files: Sequence[Path] = ()) -> HardwareCatalogue:
    """The shipped catalogue with the user's TOML or JSON files on top, later files over earlier ones.

    Raises   BadInput naming file, entry, field and reason of everything wrong in one file.
    """
    catalogue = shipped_catalogue()
    for path in files:
        catalogue = extended(catalogue, _read(path), path.name)
    return catalogue


def extended(catalogue: HardwareCatalogue, document: Any, origin: str) -> HardwareCatalogue:
    """The catalogue with the entries of a document; an entry replaces the one of the same id whole.

    Raises   BadInput naming field and reason of each fault.
    """
    faults: list[dict[str, str]] = []
    made: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    makers = {"accelerators": _accelerator, "architectures": _architecture, "storage_tiers": _storage_tier}
    if not isinstance(document, Mapping):
        raise BadInput(f"{origin}: the top level has to be a table with {', '.join(SECTIONS)}.")
    for section in document:
        if section not in SECTIONS:
            faults.append({"field": section, "reason": f"unknown section; known are {', '.join(SECTIONS)}"})
    for section, make in makers.items():
        entries = document.get(section, [])
        if not isinstance(entries, list):
            faults.append({"field": section, "reason": "has to be a list of tables"})
            continue
        for index, entry in enumerate(entries):
            fields = Fields(entry, f"{section}[{index}]", faults)
            thing = make(fields)
            fields.finish()
            made[section][thing.id] = thing
    if faults:
        listed = "; ".join(f"{fault['field']}: {fault['reason']}" for fault in faults[:5])
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise BadInput(f"{origin} has {len(faults)} faults: {listed}{more}. Mend them and load it again.", faults)
    return replace(
        catalogue,
        accelerators={**catalogue.accelerators, **made["accelerators"]},
        architectures={**catalogue.architectures, **made["architectures"]},
        storage_tiers={**catalogue.storage_tiers, **made["storage_tiers"]},
    )


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as fault:
        raise BadInput(f"{path.name} cannot be read as {path.suffix.lstrip('.') or 'JSON'}: {fault}.") from fault


def _factors(fit: Mapping[str, float], evidence: Evidence) -> Factors:
    return Factors(
        eta_memory=fit["eta_mem"],
        eta_compute=fit["eta_compute"],
        layer_latency_s=fit["layer_latency_s"],
        eta_link=fit["eta_comm"],
        evidence=evidence,
    )


def _accelerator(fields: Fields) -> Accelerator:
    flops_fields = fields.needed_table("peak_dense_flops")
    flops: dict[str, Sourced] = {}
    for precision in list(flops_fields.entry):
        if precision not in PRECISIONS:
            continue
        figure = flops_fields.sourced(precision)
        if figure is not None:
            flops[precision] = figure
    flops_fields.finish()
    if not flops:
        fields.fault("peak_dense_flops", f"needs at least one of {', '.join(PRECISIONS)}")
    prices_fields = fields.table("usd_per_chip_hour")
    prices: dict[str, Sourced | PriceRange] = {}
    for term in list(prices_fields.entry) if prices_fields else []:
        inner = prices_fields.table(term) if prices_fields else None
        if inner is not None:
            prices[term] = inner.as_price()
    world = fields.entry.get("scale_up_world")
    return Accelerator(
        id=fields.text("id"),
        hardware_class=fields.text("hardware_class"),
        kind=fields.text("kind", among=KINDS),
        status=fields.text("status", among=STATUSES),
        peak_dense_flops=flops,
        memory_bytes=fields.sourced("memory_bytes"),
        memory_bytes_per_second=fields.sourced("memory_bytes_per_second"),
        tdp_w=fields.sourced("tdp_w"),
        scale_up_bytes_per_second=fields.sourced("scale_up_bytes_per_second"),
        scale_up_world=None if world is None else fields.count("scale_up_world", least=1),
        scale_out_bytes_per_second=fields.sourced("scale_out_bytes_per_second"),
        host_link_bytes_per_second=fields.sourced("host_link_bytes_per_second"),
        layer_latency_s=fields.sourced("layer_latency_s"),
        provisioned_kw=fields.sourced("provisioned_kw"),
        capex_usd=fields.sourced("capex_usd"),
        usd_per_chip_hour=prices,
        note=fields.text("note", ""),
    )


def _architecture(fields: Fields) -> Architecture:
    layers = fields.needed_table("layers")
    full, sliding, linear = (layers.count(kind, 0) for kind in ("full", "sliding", "linear"))
    layers.finish()
    if full + sliding + linear == 0:
        layers.fault("", "needs at least one layer")
    groups = fields.needed_table("parameters")
    parameters = Parameters(
        attention=groups.count("attention"),
        dense_and_shared=groups.count("dense_and_shared"),
        experts=groups.count("experts", 0),
        one_expert=groups.count("one_expert", 0),
        embedding=groups.count("embedding"),
    )
    groups.finish()
    attention = fields.text("attention", "gqa", ATTENTIONS)
    ranks = fields.table("mla")
    mla = None
    if ranks is not None:
        names = ("kv_lora_rank", "qk_nope", "qk_rope", "v_dim")
        mla = MultiHeadLatent(**{name: ranks.count(name, least=1) for name in names})
        ranks.finish()
    elif attention == "mla":
        fields.fault("mla", "is missing; attention is mla")
    sparse = fields.table("sparse_index")
    index = None
    if sparse is not None:
        index = SparseIndex(topk=sparse.count("topk", least=1), dim=sparse.count("dim", least=1))
        sparse.finish()
    window = fields.count("sliding_window", 0)
    if sliding and not window:
        fields.fault("sliding_window", "is missing; there are sliding layers")
    published = fields.table("published_parameters")
    if published is not None:
        for name in ("total", "active"):
            published.number(name, published.entry.pop(name, None))
        published.finish()
    return Architecture(
        id=fields.text("id"),
        full_layers=full,
        sliding_layers=sliding,
        linear_layers=linear,
        hidden=fields.count("hidden", least=1),
        query_heads=fields.count("query_heads", least=1),
        kv_heads=fields.count("kv_heads", least=1),
        head_dim=fields.count("head_dim", least=1),
        parameters=parameters,
        context=fields.count("context", least=1),
        attention=attention,
        sliding_window=window,
        mla=mla,
        sparse_index=index,
        linear_kind=fields.text("linear_kind", "") or None,
        linear_state_bytes=fields.count("linear_state_bytes", 0),
        experts=fields.count("experts", 0),
        experts_per_token=fields.count("experts_per_token", 0),
        weight_format=fields.text("weight_format", "") or None,
        published_as=fields.text("published_as", ""),
        source=fields.text("source"),
        confidence=fields.text("confidence"),
    )


def _storage_tier(fields: Fields) -> StorageTier:
    return StorageTier(
        id=fields.text("id"),
        name=fields.text("name"),
        bytes_per_second=fields.sourced("bytes_per_second"),
        usd_per_gb_month=fields.sourced("usd_per_gb_month"),
        usd_per_gb_get=fields.sourced("usd_per_gb_get"),
        usd_per_gb_put=fields.sourced("usd_per_gb_put"),
        note=fields.text("note", ""),
    )
