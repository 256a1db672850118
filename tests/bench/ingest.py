"""Ingest: CPU per 1,000 spans of each stage, and spans per second through the collector into a real PostgreSQL.

    python -m tests.bench.ingest [--spans N] [--batch B] [--content BYTES] [--json]

Ratios are against the bare wire decode of the same bodies in the same run, so a busy machine shifts both.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from sqlalchemy import text

from app import migrate
from app.bench.payloads import traces_body
from app.collector import Collector
from app.embedded.postgres import Postgres
from ingest.linking import link_ids
from ingest.otlp import decode
from ingest.otlp_values import AttributeReader
from ingest.redaction import Redactor
from models.core.vocabulary import Signal
from models.store.engine import make_engine
from models.store.span_codec import prepare_spans


def cpu_per_thousand(spans: int, work: Callable[[], object]) -> float:
    """CPU-seconds of this process per 1,000 spans."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / spans * 1000


def stages(bodies: list[bytes], spans: int) -> dict[str, float]:
    """CPU-seconds per 1,000 spans of the steps before the commit, each on bodies it has not seen."""
    reader = AttributeReader(Redactor(b"key"))
    found: dict[str, float] = {}
    decoded: list[Any] = []
    links: list[Any] = []
    found["bare wire decode"] = cpu_per_thousand(spans, lambda: [TracesData.FromString(body) for body in bodies])
    found["decode and redact"] = cpu_per_thousand(
        spans, lambda: decoded.extend(decode(body, "protobuf", Signal.TRACES, reader=reader).spans for body in bodies)
    )
    found["link ids"] = cpu_per_thousand(
        spans, lambda: links.extend([link_ids(span) for span in batch] for batch in decoded)
    )
    found["rows"] = cpu_per_thousand(
        spans, lambda: [prepare_spans(1, batch, tied) for batch, tied in zip(decoded, links, strict=True)]
    )
    return found


def through_the_collector(bodies: list[bytes], spans: int, in_flight: int) -> dict[str, float]:
    """Spans per second and CPU of this process and PostgreSQL, counted in the database after the last commit."""
    with tempfile.TemporaryDirectory(prefix="jevons-bench-") as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder))
        server.start()
        try:
            migrate.upgrade(server.url)
            engine = make_engine(server.url)
            collector = Collector(engine)
            collector.start()
            postmaster = psutil.Process(int((server.cluster / "postmaster.pid").read_text().split()[0]))
            began, ours, theirs = time.perf_counter(), time.process_time(), _tree_cpu(postmaster)
            waiting: list[Any] = []
            for body in bodies:
                waiting.append(collector.submit(body, "protobuf", Signal.TRACES, 1))
                if len(waiting) >= in_flight:
                    waiting.pop(0).result()
            for done in waiting:
                done.result()
            wall = time.perf_counter() - began
            ours, theirs = time.process_time() - ours, _tree_cpu(postmaster) - theirs
            collector.stop()
            with engine.connect() as connection:
                stored = connection.execute(text("select count(*) from spans")).scalar_one()
                sizes = {
                    name: connection.execute(text(query)).scalar_one() / stored
                    for name, query in (
                        (
                            "bytes per span",
                            "select sum(pg_total_relation_size(relid)) from pg_partition_tree('span_blocks')",
                        ),
                        ("bytes per span, links", "select pg_total_relation_size('trace_links')"),
                        ("bytes per span, trace days", "select pg_total_relation_size('trace_days')"),
                        ("bytes per span, dirty marks", "select pg_total_relation_size('dirty_traces')"),
                        ("bytes per span, bodies", "select sum(length(body)) from span_blocks"),
                    )
                }
            engine.dispose()
            assert stored == spans, f"{stored} of {spans} spans are stored"
            return {
                "spans per second": spans / wall,
                "CPU-s per 1,000 spans, collector": ours / spans * 1000,
                "CPU-s per 1,000 spans, PostgreSQL": theirs / spans * 1000,
                **{name: float(size) for name, size in sizes.items()},
            }
        finally:
            server.stop()


def _tree_cpu(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--content", type=int, default=0)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    chance = random.Random(1)
    count = max(1, chosen.spans // chosen.batch)
    bodies = [traces_body(chance, chosen.batch, chosen.content) for _ in range(count)]
    spans = count * chosen.batch
    figures = stages(bodies, spans) | through_the_collector(bodies, spans, chosen.in_flight)
    if chosen.json:
        print(json.dumps(figures))
        return
    bare = figures["bare wire decode"]
    for name, figure in figures.items():
        ratio = f"  {figure / bare:8.1f} × bare decode" if "CPU" in name or name in list(figures)[:4] else ""
        print(f"{name:36} {figure:12.5f}{ratio}")


if __name__ == "__main__":
    main()
