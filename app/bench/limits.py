"""What the machine allows at best, measured in the same run: decoding alone, and COPY alone."""

import time
from collections.abc import Sequence

import psycopg
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

COPY_ROWS = 20_000
ROW_BYTES = 400


def bare_decode(bodies: Sequence[bytes], spans: int) -> float:
    """Spans per CPU-second of the C decoder alone, without looking at a single attribute."""
    began = time.process_time()
    for body in bodies:
        TracesData.FromString(body)
    return spans / (time.process_time() - began)


def bare_copy(url: str) -> float:
    """Rows per second of binary COPY into a plain table without an index, committed every 512 rows."""
    row = (bytes(16), bytes(8), bytes(ROW_BYTES), 1)
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute("create table bare_copy (trace_id bytea, span_id bytea, body bytea, end_ns bigint)")
        connection.commit()
        began = time.perf_counter()
        for _ in range(COPY_ROWS // 512):
            with connection.cursor().copy("copy bare_copy from stdin (format binary)") as copy:
                copy.set_types(("bytea", "bytea", "bytea", "int8"))
                for _ in range(512):
                    copy.write_row(row)
            connection.commit()
        seconds = time.perf_counter() - began
        connection.execute("drop table bare_copy")
        connection.commit()
    return COPY_ROWS // 512 * 512 / seconds
