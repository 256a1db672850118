"""The cost of 910 recorded calls, computed from their tokens, equals what was recorded to the printed digit."""

import csv
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from models.core.frames import CALLS
from models.costs.rating import rate_calls
from models.prices.genai import shipped_rates
from models.prices.skus import with_price_keys

RECORDED = Path(__file__).parent / "pi_sessions" / "billed_calls.csv"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with RECORDED.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def charges(rows: list[dict[str, str]]) -> pl.DataFrame:
    calls = [
        dict.fromkeys(CALLS)
        | {
            "project_id": 1,
            "origin_id": row["file"].encode(),
            "span_id": row["line"].encode(),
            "at": datetime.fromisoformat(row["timestamp"]),
            "provider": row["provider"],
            "model": row["model"],
            "input": int(row["input"]),
            "cache_read": int(row["cache_read"]),
            "cache_write_unknown": int(row["cache_write"]),
            "output": int(row["output"]),
        }
        for row in rows
    ]
    return rate_calls(with_price_keys(pl.DataFrame(calls, schema=CALLS)).select(list(CALLS)), shipped_rates()).charges


def test_every_recorded_cost_is_reproduced(rows: list[dict[str, str]], charges: pl.DataFrame) -> None:
    recorded = [float(row["cost_total"]) for row in rows]
    ours = [float(cost) for cost in charges["list_cost"]]
    # The agent added four floats per call; twelve digits are what such a sum keeps.
    assert [f"{cost:.12f}" for cost in ours] == [f"{cost:.12f}" for cost in recorded]
    assert len(ours) == 910


@pytest.mark.parametrize(
    ("file", "total"), [("large-session.jsonl", "30.3302"), ("before-compaction.jsonl", "42.5959")]
)
def test_session_totals(rows: list[dict[str, str]], charges: pl.DataFrame, file: str, total: str) -> None:
    costs = [cost for row, cost in zip(rows, charges["list_cost"], strict=True) if row["file"] == file]
    assert f"{sum(costs, Decimal(0)):.4f}" == total
