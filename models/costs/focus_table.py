"""The columns of a FOCUS 1.2 export, and its bytes as CSV and Parquet."""

import io
from decimal import Decimal

import polars as pl

from models.core.frames import USD, UTC_US, Schema

COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
NUMBERS = (*COSTS, "ConsumedQuantity", "ContractedUnitPrice", "ListUnitPrice", "PricingQuantity")
NUMBERS += ("CommitmentDiscountQuantity", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost")
NUMBERS += ("PricingCurrencyListUnitPrice",)
MOMENTS = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
_TEXTS = [
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "CommitmentDiscountUnit",
    "ConsumedUnit",
    "InvoiceId",
    "InvoiceIssuerName",
    "PricingCategory",
    "PricingCurrency",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
]
_OWN = [
    "x_AgentId",
    "x_ChargeId",
    "x_CorrectsChargeId",
    "x_CostBasis",
    "x_CostCenter",
    "x_PriceVersion",
    "x_ServiceTier",
    "x_TeamId",
    "x_TokenBucket",
]
FOCUS: Schema = {
    **{
        name: USD if name in NUMBERS else UTC_US if name in MOMENTS else pl.String()
        for name in sorted([*NUMBERS, *MOMENTS, *_TEXTS])
    },
    **dict.fromkeys(_OWN, pl.String()),
}
"""Columns of the export: FOCUS 1.2 in alphabetical order, own columns (`x_`) last."""


def focus_csv(rows: pl.DataFrame) -> bytes:
    """FOCUS rows as CSV: plain decimals with at least one digit after the point, so that none is read as an integer."""
    told = {
        name: [None if value is None else _plain(value) for value in rows[name].to_list()]
        for name, kind in FOCUS.items()
        if kind == USD
    }
    texts = rows.with_columns(
        *(pl.Series(name, values, dtype=pl.String) for name, values in told.items()),
        *(pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in MOMENTS),
    )
    return texts.select(list(FOCUS)).write_csv(line_terminator="\n").encode()


def focus_parquet(rows: pl.DataFrame) -> bytes:
    """FOCUS rows as Parquet: decimal(38, 15), UTC timestamps in microseconds, zstd."""
    buffer = io.BytesIO()
    rows.select(list(FOCUS)).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _plain(value: Decimal) -> str:
    text = f"{value:f}".rstrip("0") if "." in f"{value:f}" else f"{value:f}."
    return f"{text}0" if text.endswith(".") else text
