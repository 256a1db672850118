"""FOCUS rows: what a validator asks of every row, checked on the bytes that leave."""

import csv
import io
import json
import re
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from models.core.errors import BadInput
from models.costs.focus import DAILY_SUMS, FocusRows, conserved, focus_rows
from models.costs.focus_table import FOCUS, focus_csv, focus_parquet

START, END = date(2026, 10, 1), date(2026, 11, 1)


def daily(**facts: Any) -> dict[str, Any]:
    row = dict.fromkeys(DAILY_SUMS) | {
        "kind": "tokens", "day": START, "account_id": "anthropic:org-1", "account_name": "Acme", "project": "default",
        "team": "care", "agent": "refunds", "provider": "anthropic", "model": "claude-sonnet-4-5", "tier": "standard",
        "price_version": "17",
    } | facts  # fmt: skip
    return {
        name: Decimal(value) if DAILY_SUMS[name] == pl.Decimal(38, 15) and value else value
        for name, value in row.items()
    }


def costs(amount: str) -> dict[str, str]:
    return dict.fromkeys(("list_cost", "contracted_cost", "billed_cost", "effective_cost"), amount)


ROWS = (
    daily(bucket="input", quantity="384000000", list_price="3", billed_price="3", **costs("1152")),
    daily(bucket="cache_read", quantity="1048576", list_price="0.3", billed_price="0.3", **costs("0.3145728")),
    daily(bucket="output", quantity="1", list_price="15", billed_price="15", **costs("0.000015")),
    daily(
        kind="hardware", model="h100_sxm", provider="gpu-cloud", account_id="gpu-cloud:1", capacity_id="block-1",
        quantity="12.5", list_price="2", billed_price="2", list_cost="25", contracted_cost="25", billed_cost="0.0",
        effective_cost="25",
    ),
    daily(
        kind="idle", model="h100_sxm", provider="gpu-cloud", account_id="gpu-cloud:1", capacity_id="block-1",
        agent=None, team="platform", quantity="11.5", list_price="2", billed_price="2", list_cost="23",
        contracted_cost="23", billed_cost="0.0", effective_cost="23",
    ),
    daily(kind="correction", day=date(2026, 9, 30), bucket="input", corrects_charge_id="abc", **costs("-0.25")),
    daily(bucket="cache_write_1h", quantity="77"),
)  # fmt: skip


@pytest.fixture(scope="module")
def sums() -> pl.DataFrame:
    return pl.DataFrame(list(ROWS), schema=DAILY_SUMS)


@pytest.fixture(scope="module")
def made(sums: pl.DataFrame) -> FocusRows:
    return focus_rows(sums, START, END, "INV-1")


@pytest.fixture(scope="module")
def written(made: FocusRows) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(focus_csv(made.rows).decode())))


def test_every_known_cost_is_in_and_the_unknown_is_counted(sums: pl.DataFrame, made: FocusRows) -> None:
    assert (made.rows.height, made.left_out, made.left_out_quantity) == (6, 1, 77)
    assert conserved(sums, made.rows) == []
    assert conserved(sums, made.rows[1:]) != []


def test_price_times_quantity_is_the_cost_exactly(written: list[dict[str, str]]) -> None:
    usage = [row for row in written if row["ChargeClass"] == ""]
    assert len(usage) == 5
    for row in usage:
        for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
            assert Decimal(row[price]) * Decimal(row["PricingQuantity"]) == Decimal(row[cost])
        assert row["SkuId"]
        assert row["SkuPriceId"].startswith(row["SkuId"])


def test_numbers_are_plain_with_a_point_and_times_are_utc(written: list[dict[str, str]]) -> None:
    numbers = [name for name, kind in FOCUS.items() if kind == pl.Decimal(38, 15)]
    for row in written:
        assert all(re.fullmatch(r"-?\d+\.\d+", row[name]) for name in numbers if row[name])
        assert row["ChargePeriodStart"].endswith("T00:00:00Z")
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]
    assert "384.0" in [row["PricingQuantity"] for row in written]


def test_units_and_quantities_come_in_pairs_and_idle_consumes_nothing(written: list[dict[str, str]]) -> None:
    for row in written:
        assert bool(row["ConsumedQuantity"]) == bool(row["ConsumedUnit"])
        assert bool(row["PricingQuantity"]) == bool(row["PricingUnit"])
        assert bool(row["CommitmentDiscountId"]) == bool(row["CommitmentDiscountStatus"])
    idle = next(row for row in written if row["CommitmentDiscountStatus"] == "Unused")
    assert (idle["ConsumedQuantity"], idle["PricingQuantity"], idle["EffectiveCost"]) == ("", "11.5", "23.0")


def test_json_is_flat_and_own_columns_come_last(written: list[dict[str, str]]) -> None:
    for row in written:
        for name in ("Tags", "SkuPriceDetails"):
            assert all(isinstance(value, str) for value in json.loads(row[name]).values())
    names = list(written[0])
    assert names == sorted(names[: -len([n for n in names if n.startswith("x_")])]) + [
        n for n in names if n[:2] == "x_"
    ]


def test_a_correction_keeps_its_day_and_is_billed_now(written: list[dict[str, str]]) -> None:
    row = next(row for row in written if row["ChargeClass"] == "Correction")
    assert (row["ChargePeriodStart"][:10], row["BillingPeriodStart"][:10]) == ("2026-09-30", "2026-10-01")
    assert (row["x_CorrectsChargeId"], row["BilledCost"]) == ("abc", "-0.25")


def test_the_same_sums_in_any_order_give_the_same_bytes(sums: pl.DataFrame, made: FocusRows) -> None:
    again = focus_rows(sums.reverse(), START, END, "INV-1")
    assert focus_csv(again.rows) == focus_csv(made.rows)
    assert focus_parquet(again.rows) == focus_parquet(made.rows)
    assert pl.read_parquet(focus_parquet(made.rows)).schema == pl.Schema(FOCUS)


def test_charge_ids_are_unique_and_the_same_charge_twice_is_refused(made: FocusRows) -> None:
    assert made.rows["x_ChargeId"].n_unique() == made.rows.height
    twice = pl.DataFrame([ROWS[0], ROWS[0]], schema=DAILY_SUMS)
    with pytest.raises(BadInput, match="same charge"):
        focus_rows(twice, START, END)


@pytest.mark.parametrize(("kind", "day"), [("tokens", END), ("correction", START)])
def test_days_on_the_wrong_side_of_the_period_are_refused(kind: str, day: date) -> None:
    row = daily(kind=kind, day=day, bucket="input", **costs("1"))
    with pytest.raises(BadInput, match=str(day)):
        focus_rows(pl.DataFrame([row], schema=DAILY_SUMS), START, END)


def test_texts_are_ascii_tags_keep_every_letter_and_invoices_are_provisional_until_known() -> None:
    row = daily(bucket="input", project="Zürich 名 2 × H100", team="équipe", **costs("1"))
    [made] = focus_rows(pl.DataFrame([row], schema=DAILY_SUMS), START, END).rows.to_dicts()
    assert made["SubAccountName"] == r"Zurich \u540d 2 x H100"
    assert made["InvoiceId"] == "provisional-anthropic-2026-10"
    assert json.loads(made["Tags"])["team"] == "équipe"
