"""The measurements, one after the other on one instance: burst, catch-up, everything at once, lag, questions."""

import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from app.bench import limits, rating
from app.bench.client import BenchFailed, Sent, request_of, send
from app.bench.instance import Instance
from app.bench.payloads import fresh, traces_body
from models.store.engine import make_engine
from models.store.sizes import bytes_per_span

EVER = {"start": "2025-01-01T00:00:00Z", "end": "2035-01-01T00:00:00Z"}
TEMPLATES = 8
CONTENT_BYTES = 4096
LAG_SPANS_PER_SECOND = 1000
QUESTIONS = 100
RATED_CALLS = 200_000


@dataclass(slots=True, frozen=True)
class Load:
    """How much is sent: bounded, so that a run takes minutes."""

    spans: int = 40_000
    """In a burst of full batches; the others send a part of it."""
    lag_seconds: int = 15


@dataclass(slots=True)
class Burst:
    """A burst while nobody derives."""

    spans: int
    sent: Sent
    cpu_seconds: float

    @property
    def spans_per_second(self) -> float:
        """Acknowledged, and therefore durable."""
        return self.spans / self.sent.seconds

    @property
    def cpu_per_thousand(self) -> float:
        """CPU-seconds of the whole instance per 1,000 spans."""
        return self.cpu_seconds / self.spans * 1000


def requests(spans: int, batch: int, content: int = 0) -> list[bytes]:
    """Requests that together hold about `spans` spans, none sent before."""
    chance = random.Random(os.urandom(8))
    templates = [traces_body(chance, batch, content, is_template=True) for _ in range(TEMPLATES)]
    return [request_of(fresh(chance.choice(templates), chance)) for _ in range(max(1, spans // batch))]


def measure(instance: Instance, load: Load, say: Callable[[str], None]) -> dict[str, float]:
    """Every figure by name.

    Units    as the names say; CPU-seconds count every process of the instance, not the sender.
    """
    found: dict[str, float] = {}
    bodies = [traces_body(random.Random(number), 512) for number in range(20)]
    found["limit: bare decode, spans per CPU-s"] = limits.bare_decode(bodies, 512 * 20)
    found["limit: bare COPY, rows/s"] = limits.bare_copy(instance.database_url)
    send(instance.port, requests(4_096, 512), 4)
    instance.settle()
    plans = [
        ("batch 512", load.spans, 512, 0, 16),
        ("batch 64", load.spans // 2, 64, 0, 8),
        ("batch 1", load.spans // 16, 1, 0, 16),
        ("4 KB content, batch 512", load.spans // 4, 512, CONTENT_BYTES, 8),
    ]
    with instance.without_workers():
        for name, spans, batch, content, connections in plans:
            burst = _burst(instance, spans, batch, content, connections)
            found |= {
                f"{name}: spans/s": burst.spans_per_second,
                f"{name}: CPU-s per 1,000": burst.cpu_per_thousand,
                f"{name}: ack p50 ms": burst.sent.percentile(0.5),
                f"{name}: ack p99 ms": burst.sent.percentile(0.99),
            }
            say(f"{name}: {burst.spans_per_second:,.0f} spans/s")
        waiting = instance.get("/api/v1/status")["spans_pending"]
    found |= _catch_up(instance, waiting)
    say(f"catch-up: {found['catch-up: spans/s']:,.0f} spans/s")
    found |= _all_at_once(instance, load.spans)
    say(f"receive to priced: {found['sustained: spans/s']:,.0f} spans/s")
    found["lag: acknowledged to priced p95 s"] = _lag(instance, load.lag_seconds)
    found |= _questions(instance)
    engine = make_engine(instance.database_url)
    with engine.connect() as connection:
        found |= {f"bytes per span: {name}": size for name, size in bytes_per_span(connection).items()}
    engine.dispose()
    found["resident MB: api"], found["resident MB: worker"] = (
        instance.resident_mb("api"),
        instance.resident_mb("worker"),
    )
    ours, peer = rating.measure(RATED_CALLS)
    found |= {"rating: buckets/s": ours, "rating: genai-prices buckets/s": peer}
    return found


def _burst(instance: Instance, spans: int, batch: int, content: int, connections: int) -> Burst:
    prepared = requests(spans, batch, content)
    before, cpu = instance.get("/api/v1/status")["spans_stored"], instance.cpu_seconds()
    sent = send(instance.port, prepared, connections)
    cpu = instance.cpu_seconds() - cpu
    stored = instance.get("/api/v1/status")["spans_stored"] - before
    if stored != len(prepared) * batch:
        raise BenchFailed(f"{len(prepared) * batch} spans were acknowledged and {stored} are stored")
    return Burst(stored, sent, cpu)


def _catch_up(instance: Instance, waiting: int) -> dict[str, float]:
    """Derivation and pricing of a backlog while nothing comes in."""
    cpu = instance.cpu_seconds()
    seconds = instance.settle()
    return {
        "catch-up: spans/s": waiting / seconds,
        "catch-up: CPU-s per 1,000": (instance.cpu_seconds() - cpu) / waiting * 1000,
    }


def _all_at_once(instance: Instance, spans: int) -> dict[str, float]:
    """Receiving and deriving together until the last span is priced: what can be sustained without growing lag."""
    prepared = requests(spans, 64)
    cpu, began = instance.cpu_seconds(), time.monotonic()
    send(instance.port, prepared, 4)
    instance.settle()
    return {
        "sustained: spans/s": len(prepared) * 64 / (time.monotonic() - began),
        "sustained: CPU-s per 1,000": (instance.cpu_seconds() - cpu) / (len(prepared) * 64) * 1000,
    }


def _lag(instance: Instance, seconds: int) -> float:
    """95th percentile of the seconds from a batch's acknowledgement until /api/v1/costs counts its calls."""
    chance = random.Random(os.urandom(8))
    batches = LAG_SPANS_PER_SECOND * seconds // 64
    bodies = [fresh(traces_body(chance, 64, is_template=True), chance) for _ in range(batches)]
    base = _calls(instance)
    calls = [body.count(b"gen_ai.response.id") for body in bodies]
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(
            send, instance.port, [request_of(body) for body in bodies], 4, LAG_SPANS_PER_SECOND / 64
        )
        seen: list[tuple[float, int]] = []
        while not seen or seen[-1][1] < sum(calls):
            if sending.done() and sending.exception() is not None:
                break
            at = time.monotonic()
            seen.append((at, _calls(instance) - base))
            if at - seen[0][0] > seconds + 120:
                raise BenchFailed(f"{seen[-1][1]} of {sum(calls)} calls were priced within two minutes")
            time.sleep(0.1)
        sent = sending.result()
    lags: list[float] = []
    counted = 0
    for number in sorted(range(batches), key=sent.acknowledged_at.__getitem__):
        counted += calls[number]
        priced = next(at for at, total in seen if total >= counted)
        lags.append(max(priced - sent.acknowledged_at[number], 0.0))
    return statistics.quantiles(lags, n=20)[-1]


def _calls(instance: Instance) -> int:
    return instance.get("/api/v1/costs", **EVER)["totals"]["calls"]


def _questions(instance: Instance) -> dict[str, float]:
    """How long /api/v1/costs takes, one question after the other."""
    found: dict[str, float] = {"questions: calls in the ledger": _calls(instance)}
    for name, dimension in (("by model", "model"), ("by session", "session")):
        took: list[float] = []
        for number in range(QUESTIONS):
            # Another period each time, so that no answer is one that was kept.
            start = f"2025-{1 + number % 12:02d}-{1 + number // 12:02d}T00:00:00Z"
            began = time.perf_counter()
            instance.get("/api/v1/costs", **(EVER | {"start": start}), group_by=dimension)
            took.append((time.perf_counter() - began) * 1000)
        found[f"questions: {name} p50 ms"] = statistics.median(took)
        found[f"questions: {name} p95 ms"] = statistics.quantiles(took, n=20)[-1]
    return found
