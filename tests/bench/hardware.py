"""Costing a million calls on own hardware, against the two seconds it may take: `python -P tests/bench/hardware.py`."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[2]))

from models.core.hardware import Replica
from models.costs.hardware_shape import Shape
from models.costs.hardware_terms import USED, Cell, coefficient_frame, cost_in_seconds
from models.prices.hardware_catalogue import shipped_catalogue

CALLS = 1_000_000
LIMIT_SECONDS = 2.0
HOUR = datetime(2026, 11, 20, 10, tzinfo=UTC)


def main() -> None:
    """Print the seconds, and their ratio to the limit."""
    catalogue = shipped_catalogue()
    served = Replica(
        accelerator=catalogue.accelerators["h200_sxm"],
        architecture=catalogue.architectures["llama-3.1-70b"],
        chips=2,
        precision="fp8",
        kv_element_bytes=1.0,
        attention_groups=1,
    )
    cells = [Cell(name, HOUR, batch, served, Shape(4000, 9000, 400)) for name in "abc" for batch in (1, 8, 32)]
    row = pl.int_range(CALLS, eager=True)
    used = pl.DataFrame(
        {
            "deployment": pl.Series(["a", "b", "c"]).gather(row % 3),
            "hour": pl.Series([HOUR], dtype=USED["hour"]).gather(row * 0),
            "concurrency": pl.Series([1, 8, 32], dtype=pl.Int64).gather(row // 3 % 3),
            "uncached": row % 9000,
            "cached": row % 70_000,
            "generated": row % 900,
        }
    )
    started = time.perf_counter()
    costed = cost_in_seconds(used, coefficient_frame(cells))
    seconds = time.perf_counter() - started
    assert costed["accelerator_seconds"].null_count() == 0
    print(f"{CALLS:,} calls in {seconds:.2f} s: {seconds / LIMIT_SECONDS:.2f} × the limit of {LIMIT_SECONDS} s")


if __name__ == "__main__":
    main()
