"""What Jevons measures of itself, for Prometheus: counted in every process, read together.

Under the supervisor the processes of an instance share a directory of counters (PROMETHEUS_MULTIPROC_DIR), so any of
them answers for all: collectors over HTTP and gRPC alike. What lies in the database is asked of it at each scrape.
"""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app import wiring
from models.store.backlog import queue_sizes

SPANS_RECEIVED = Counter("jevons_spans_received", "Spans and log records of bodies that could be read.")
SPANS_STORED = Counter("jevons_spans_stored", "Spans acknowledged, those stored by an earlier delivery included.")
SPANS_REJECTED = Counter("jevons_spans_rejected", "Spans and log records that could not be taken.")
BODIES_REFUSED = Counter("jevons_bodies_refused", "Bodies told to come again, by what there was too much of.", ["why"])
QUEUE_BYTES = Gauge("jevons_queue_bytes", "Bytes of bodies between arrival and commit.", multiprocess_mode="livesum")
COMMIT_SECONDS = Histogram(
    "jevons_commit_seconds",
    "Time of a commit of spans.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


def exposition() -> bytes:
    """Everything in Prometheus' text format. A database that is away is a figure too: `jevons_database_up 0`."""
    own: CollectorRegistry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        own = CollectorRegistry()
        MultiProcessCollector(own)
    return generate_latest(own) + generate_latest(_of_database())


def _of_database() -> CollectorRegistry:
    found = CollectorRegistry()
    up = Gauge("jevons_database_up", "Whether the database answers.", registry=found)
    try:
        status = wiring.current().reader.status()
        with wiring.current().engine.connect() as connection:
            waiting = queue_sizes(connection)
    except Exception:
        up.set(0)
        return found
    up.set(1)
    Gauge("jevons_spans_kept", "Spans in the database.", registry=found).set(status.spans_stored)
    Gauge("jevons_calls", "Billable calls.", registry=found).set(status.calls)
    Gauge("jevons_spans_pending", "Spans and calls not in the figures yet.", registry=found).set(status.spans_pending)
    Gauge("jevons_lag_seconds", "Age of the oldest span not in the figures.", registry=found).set(status.lag_seconds)
    backlog = Gauge("jevons_backlog", "Rows that wait for a task.", ["task"], registry=found)
    for task, rows in waiting.items():
        backlog.labels(task).set(rows)
    return found
