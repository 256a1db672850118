"""FOCUS 1.2 Cost and Usage rows from daily sums: tokens, hardware and what of it was idle, corrections."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from unicodedata import normalize

import polars as pl

from models.core.errors import BadInput
from models.core.frames import USD, Schema, checked
from models.core.money import EXACT, PER_MILLION
from models.core.reported import AI_CREDITS
from models.core.vocabulary import INPUT_BUCKETS, Bucket
from models.costs.focus_table import FOCUS


class RowKind(StrEnum):
    """What a daily sum is about."""

    TOKENS = "tokens"
    HARDWARE = "hardware"
    IDLE = "idle"
    PURCHASE = "purchase"
    CORRECTION = "correction"


DAILY_SUMS: Schema = {
    "kind": pl.String(),
    "day": pl.Date(),
    "account_id": pl.String(),
    "account_name": pl.String(),
    "project": pl.String(),
    "team": pl.String(),
    "cost_center": pl.String(),
    "environment": pl.String(),
    "agent": pl.String(),
    "provider": pl.String(),
    "model": pl.String(),
    "tier": pl.String(),
    "region": pl.String(),
    "bucket": pl.String(),
    "context_from": pl.Int64(),
    "capacity_id": pl.String(),
    "quantity": USD,
    "list_price": USD,
    "billed_price": USD,
    "price_version": pl.String(),
    "list_cost": USD,
    "contracted_cost": USD,
    "billed_cost": USD,
    "effective_cost": USD,
    "corrects_charge_id": pl.String(),
}
"""One row per day × account × payer × agent × SKU × price. `quantity` counts tokens (requests) or GPU-hours; prices are
USD per million of a token bucket and per GPU-hour. For hardware `model` names the accelerator and `bucket` is null."""


@dataclass(slots=True, frozen=True)
class FocusRows:
    """The export, and what it could not hold: FOCUS has no row without a cost."""

    rows: pl.DataFrame
    left_out: int
    left_out_quantity: Decimal


def focus_rows(sums: pl.DataFrame, period_start: date, period_end: date, invoice_id: str | None = None) -> FocusRows:
    """Daily sums as FOCUS rows of one billing period.

    Shapes   DAILY_SUMS (any order) → FOCUS, ordered by x_ChargeId's facts: the same sums give the same bytes.
    Units    costs in USD; PricingQuantity in millions for tokens and in GPU-hours for hardware.
    Raises   FrameSchemaError; BadInput where a usage day lies outside the period, a correction inside it, or two
             sums are the same charge.
    Source   FOCUS 1.2, Cost and Usage. Idle capacity is usage of a commitment with status Unused and nothing
             consumed; a correction keeps the day of the usage and is billed in the open period.
    """
    checked(sums, "daily sums", DAILY_SUMS)
    costs = ("list_cost", "contracted_cost", "billed_cost", "effective_cost")
    known = pl.all_horizontal(pl.col(name).is_not_null() for name in costs)
    left_out = sums.filter(~known)
    something = pl.any_horizontal(*(pl.col(name) != 0 for name in costs), pl.col("quantity").fill_null(0) != 0)
    built = [_row(row, period_start, period_end, invoice_id) for row in sums.filter(known & something).to_dicts()]
    built.sort(key=lambda row: tuple(str(row[name] or "") for name in _ORDER))
    seen: set[str] = set()
    for row in built:
        if row["x_ChargeId"] in seen:
            raise BadInput(f"two daily sums are the same charge: {row['ChargeDescription']} on "
                           f"{row['ChargePeriodStart']:%Y-%m-%d}. Sum them first.")  # fmt: skip
        seen.add(row["x_ChargeId"])
    quantity = sum((count for count in left_out["quantity"].to_list() if count is not None), Decimal(0))
    return FocusRows(pl.DataFrame(built, schema=FOCUS), left_out.height, quantity)


_ORDER = ("ChargePeriodStart", "BillingAccountId", "SubAccountId", "SkuPriceId", "x_TeamId", "x_AgentId", "x_ChargeId")


def _row(row: Mapping[str, Any], period_start: date, period_end: date, invoice_id: str | None) -> dict[str, Any]:
    kind = RowKind(row["kind"])
    inside = period_start <= row["day"] < period_end
    if inside == (kind is RowKind.CORRECTION):
        told = "belongs to an earlier, closed period" if inside else f"lies outside of {period_start} to {period_end}"
        raise BadInput(f"{kind} of {row['day']} for {row['model']}: a charge of this kind {told}.")
    provider, tokens = row["provider"] or "unknown", row["bucket"] is not None
    out: dict[str, Any] = dict.fromkeys(FOCUS)
    out |= {name: row[key] for name, key in _COPIED.items()}
    out |= {
        "BillingAccountType": "Organization",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _midnight(period_start),
        "BillingPeriodEnd": _midnight(period_end),
        "ChargePeriodStart": _midnight(row["day"]),
        "ChargePeriodEnd": _midnight(row["day"] + timedelta(days=1)),
        "ChargeCategory": "Purchase" if kind is RowKind.PURCHASE else "Usage",
        "ChargeClass": "Correction" if kind is RowKind.CORRECTION else None,
        "ChargeFrequency": "Recurring" if kind is RowKind.PURCHASE else "Usage-Based",
        # FOCUS knows provisional invoices; the provider's number takes its place once the bill is reconciled.
        "InvoiceId": invoice_id or f"provisional-{provider}-{period_start:%Y-%m}",
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingCurrencyEffectiveCost": row["effective_cost"],
        "RegionName": row["region"],
        **_service(provider, row["bucket"]),
        "SubAccountType": "Project" if row["project"] else None,
        "Tags": _flat({name: row[name] for name in ("agent", "team", "cost_center", "environment")}),
        "x_CostBasis": _basis(kind, row["bucket"]),
    }
    out |= _sku(row, tokens) | _quantities(row, kind, tokens)
    if row["capacity_id"] and not tokens:
        out |= _commitment(row, kind)
    texts = ((name, value) for name, value in out.items() if isinstance(value, str) and name not in _FREE_TEXT)
    out |= {name: _ascii(value) for name, value in texts}
    facts = [str(row[name]) for name in DAILY_SUMS if name not in _MEASURES]
    out["x_ChargeId"] = hashlib.sha256("\x1f".join([str(period_start), *facts]).encode()).hexdigest()[:32]
    return out


def _service(provider: str, bucket: str | None) -> dict[str, str]:
    if bucket == AI_CREDITS:
        category, subcategory, name = "Developer Tools", "Development Environments", f"{provider} Copilot"
    elif bucket is not None:
        category, subcategory, name = "AI and Machine Learning", "Generative AI", f"{provider} API"
    else:
        category, subcategory, name = "Compute", "Virtual Machines", f"{provider} accelerators"
    return {"ServiceCategory": category, "ServiceSubcategory": subcategory, "ServiceName": name}


def _basis(kind: RowKind, bucket: str | None) -> str:
    if kind is RowKind.CORRECTION:
        return "correction"
    if kind is RowKind.PURCHASE or bucket == AI_CREDITS:
        return "invoiced"
    return "amortised" if bucket is None else "metered"


_MEASURES = ("quantity", "list_cost", "contracted_cost", "billed_cost", "effective_cost", "account_name")
_COPIED = {
    "BilledCost": "billed_cost",
    "ContractedCost": "contracted_cost",
    "EffectiveCost": "effective_cost",
    "ListCost": "list_cost",
    "BillingAccountId": "account_id",
    "BillingAccountName": "account_name",
    "SubAccountId": "project",
    "SubAccountName": "project",
    "RegionId": "region",
    "x_AgentId": "agent",
    "x_CorrectsChargeId": "corrects_charge_id",
    "x_CostCenter": "cost_center",
    "x_PriceVersion": "price_version",
    "x_ServiceTier": "tier",
    "x_TeamId": "team",
    "x_TokenBucket": "bucket",
}


def _sku(row: Mapping[str, Any], tokens: bool) -> dict[str, Any]:
    part, tier = row["bucket"] or "gpu-hours", row["tier"] or "standard"
    band = f"/from-{row['context_from']}" if row["context_from"] else ""
    place = f"/{row['region']}" if row["region"] else ""
    details: dict[str, Any] = {"x_ModelId": row["model"], "x_ServiceTier": tier}
    if tokens and part in tuple(Bucket):
        details["x_TokenDirection"] = "Input" if part in INPUT_BUCKETS else "Output"
        if part in INPUT_BUCKETS:
            cache = "Read" if part == Bucket.CACHE_READ else "Write" if part.startswith("cache_write") else "Uncached"
            details["x_TokenCacheAction"] = cache
    meter = part.replace("_", " ").capitalize()
    agent = f", agent {row['agent']}" if row["agent"] else ""
    return {
        "SkuId": f"{row['provider']}/{row['model']}/{part}",
        "SkuPriceId": f"{row['provider']}/{row['model']}/{part}/{tier}{band}{place}",
        "SkuMeter": meter,
        "SkuPriceDetails": _flat(details),
        "ChargeDescription": f"{meter} of {row['model']} ({tier} tier){agent}",
    }


def _quantities(row: Mapping[str, Any], kind: RowKind, tokens: bool) -> dict[str, Any]:
    # Credits are kept in millionths, so that a price per million is the price of one.
    in_units = row["bucket"] == AI_CREDITS
    requests = tokens and row["bucket"].endswith("requests")
    unit = "Credits" if in_units else "Requests" if requests else "Tokens" if tokens else "GPU-Hours"
    out: dict[str, Any] = {"ListUnitPrice": row["list_price"], "ContractedUnitPrice": row["billed_price"]}
    out["PricingCurrencyListUnitPrice"] = row["list_price"]
    out["PricingCurrencyContractedUnitPrice"] = row["billed_price"]
    if row["quantity"] is not None:
        out["PricingQuantity"] = EXACT.divide(row["quantity"], PER_MILLION) if tokens else row["quantity"]
        out["PricingUnit"] = f"1000000 {unit}" if tokens and not in_units else unit
        if kind not in (RowKind.IDLE, RowKind.PURCHASE):
            consumed = out["PricingQuantity"] if in_units else row["quantity"]
            out |= {"ConsumedQuantity": consumed, "ConsumedUnit": unit}
    return out


def _commitment(row: Mapping[str, Any], kind: RowKind) -> dict[str, Any]:
    statuses = {RowKind.IDLE: "Unused", RowKind.PURCHASE: None}
    return {
        "CommitmentDiscountId": row["capacity_id"],
        "CommitmentDiscountName": row["capacity_id"],
        "CommitmentDiscountCategory": "Usage",
        "CommitmentDiscountType": "Capacity",
        "CommitmentDiscountStatus": statuses.get(kind, "Used"),
        "CommitmentDiscountQuantity": row["quantity"],
        "CommitmentDiscountUnit": "GPU-Hours",
        "PricingCategory": "Standard" if kind is RowKind.PURCHASE else "Committed",
        "ResourceId": row["capacity_id"],
        "ResourceName": row["capacity_id"],
        "ResourceType": "Accelerator",
    }


def _flat(facts: Mapping[str, str | None]) -> str | None:
    known = {name: value for name, value in sorted(facts.items()) if value is not None}
    return json.dumps(known, separators=(",", ":"), ensure_ascii=False) if known else None


_FREE_TEXT = ("Tags", "SkuPriceDetails")


def _ascii(text: str) -> str:
    """A text as FOCUS's string handling takes it: ASCII, accents dropped, other letters as escapes; own columns too."""
    if text.isascii():
        return text
    plain = normalize("NFKD", text.replace("×", "x")).encode("ascii", "backslashreplace").decode()
    return re.sub(r"\\u03(?:0[0-9a-f]|[1-6][0-9a-f])", "", plain)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def conserved(sums: pl.DataFrame, rows: pl.DataFrame) -> Sequence[str]:
    """The cost columns whose sum over the rows differs from their sum over the known daily sums; empty is right."""
    pairs = {"BilledCost": "billed_cost", "EffectiveCost": "effective_cost"}
    pairs |= {"ListCost": "list_cost", "ContractedCost": "contracted_cost"}
    known = sums.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in pairs.values()))
    return [name for name, cost in pairs.items() if rows[name].sum() != known[cost].sum()]
