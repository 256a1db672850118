"""Rating speed: buckets priced per second, beside genai-prices pricing the same calls one by one.

Run `POLARS_MAX_THREADS=1 python -m app.bench.rating [CALLS]`; both are timed in this one process.
"""

import random
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
from genai_prices import Usage, calc_price

from models.core.frames import CALLS
from models.costs.rating import rate_calls
from models.prices.genai import shipped_rates
from models.prices.skus import with_price_keys

MODELS = (
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("openai", "gpt-4o"),
    ("openai", "gpt-4.1"),
    ("google", "gemini-2.5-pro"),
)
PEER_CALLS = 2000


def measure(count: int) -> tuple[float, float]:
    """Buckets per second of `rate_calls` (best of 5) and of genai-prices, which must agree on every cost.

    Raises   ArithmeticError where they do not.
    """
    chosen = random.Random(1)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    pairs = [chosen.choice(MODELS) for _ in range(count)]
    # The same four buckets for both sides; sums below prove that they priced the same thing.
    columns = {name: [chosen.randint(1, top) for _ in range(count)] for name, top in _TOPS.items()}
    frame = pl.DataFrame(
        {
            "project_id": [1] * count,
            "origin_id": [number.to_bytes(16, "big") for number in range(count)],
            "span_id": [number.to_bytes(8, "big") for number in range(count)],
            "at": [start + timedelta(seconds=number) for number in range(count)],
            "provider": [provider for provider, _ in pairs],
            "model": [model for _, model in pairs],
            **columns,
        }
    )
    absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in CALLS.items() if name not in frame.columns]
    calls = frame.with_columns(absent).select(list(CALLS)).cast({"at": CALLS["at"]})
    rates = shipped_rates()
    best, rated = float("inf"), None
    for _ in range(5):
        begun = time.perf_counter()
        rated = rate_calls(with_price_keys(calls).select(list(CALLS)), rates)
        best = min(best, time.perf_counter() - begun)
    assert rated is not None
    begun = time.perf_counter()
    peer = [
        calc_price(
            Usage(
                input_tokens=columns["input"][n] + columns["cache_read"][n],
                cache_read_tokens=columns["cache_read"][n],
                output_tokens=columns["output"][n] + columns["reasoning"][n],
            ),
            model_ref=pairs[n][1],
            provider_id=pairs[n][0],
            genai_request_timestamp=start + timedelta(seconds=n),
        ).total_price
        for n in range(PEER_CALLS)
    ]
    peer_seconds = time.perf_counter() - begun
    ours = rated.charges["list_cost"].head(PEER_CALLS).to_list()
    if [Decimal(cost) for cost in ours] != peer:
        raise ArithmeticError("rate_calls and genai-prices price different costs")
    return rated.lines.height / best, PEER_CALLS * len(_TOPS) / peer_seconds


def main(count: int) -> None:
    """Print both speeds and their ratio."""
    ours, peer = measure(count)
    sys.stdout.write(
        f"rate_calls    {ours:12,.0f} buckets/s  ({count:,} calls, best of 5)\n"
        f"genai-prices  {peer:12,.0f} buckets/s\nratio         {ours / peer:12.1f}\n"
    )


_TOPS = {"input": 60_000, "cache_read": 150_000, "output": 4_000, "reasoning": 2_000}

if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
