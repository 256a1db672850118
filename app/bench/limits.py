"""What the machine allows at best, measured in the same run: decoding alone, COPY alone, one commit alone."""

import time
from collections.abc import Sequence

import polars as pl
import psycopg
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

ROWS = {512: 40_960, 64: 20_480, 1: 1_000}
"""Rows per commit → rows copied in all."""
ROW_BYTES = 400
JOINED = 1_000_000


def bare_decode(bodies: Sequence[bytes], spans: int) -> float:
    """Spans per CPU-second of the C decoder alone, without looking at a single attribute."""
    began = time.process_time()
    for body in bodies:
        TracesData.FromString(body)
    return spans / (time.process_time() - began)


def bare_copy(url: str) -> dict[str, float]:
    """Rows per second of binary COPY into a plain table without an index, by rows per commit; a commit's p99."""
    row = (bytes(16), bytes(8), bytes(ROW_BYTES), 1)
    found: dict[str, float] = {}
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute("create table bare_copy (trace_id bytea, span_id bytea, body bytea, end_ns bigint)")
        connection.commit()
        for batch, rows in ROWS.items():
            took: list[float] = []
            for _ in range(rows // batch):
                began = time.perf_counter()
                with connection.cursor().copy("copy bare_copy from stdin (format binary)") as copy:
                    copy.set_types(("bytea", "bytea", "bytea", "int8"))
                    for _ in range(batch):
                        copy.write_row(row)
                connection.commit()
                took.append(time.perf_counter() - began)
            found[f"limit: bare COPY {batch} a commit, rows/s"] = rows // batch * batch / sum(took)
            if batch == 64:
                found["limit: bare COPY and commit of 64, p99 ms"] = sorted(took)[int(len(took) * 0.99)] * 1000
        connection.execute("drop table bare_copy")
        connection.commit()
    return found


def bare_join() -> float:
    """Rows per second of a hash join of integers with a price and one product, in polars, on the threads of rating."""
    calls = pl.select(sku=pl.int_range(JOINED) % 2_000, tokens=pl.int_range(JOINED) % 9_000)
    prices = pl.select(sku=pl.int_range(2_000), price=pl.int_range(2_000) + 1)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        calls.join(prices, on="sku", how="left").with_columns(pl.col("tokens") * pl.col("price"))
        best = min(best, time.perf_counter() - began)
    return JOINED / best
