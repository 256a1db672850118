"""Bursts while nobody derives: how fast spans become durable, and how fast a backlog is worked off after."""

from dataclasses import dataclass

from app.bench.client import BenchFailed, Order, Sent, send
from app.bench.instance import Instance, Say
from app.bench.payloads import templates
from app.bench.watch import Backlog, MemoryWatch

CONTENT_BYTES = 4096
TEMPLATE_SPANS = 4_096
"""Different spans of a burst, before their ids: as varied as an instance's memo of attributes finds them."""
SETTLE_SECONDS = 420.0


@dataclass(slots=True, frozen=True)
class Plan:
    """One burst."""

    name: str
    spans: int
    batch: int
    connections: int
    content_bytes: int = 0


def plans(spans: int) -> list[Plan]:
    """The bursts, the largest of `spans`."""
    return [
        Plan("batch 512", spans, 512, 16),
        Plan("batch 64", spans // 2, 64, 8),
        Plan("batch 1", spans // 16, 1, 16),
        Plan("4 KB content, batch 512", spans // 4, 512, 8, CONTENT_BYTES),
    ]


def measure_bursts(instance: Instance, backlog: Backlog, spans: int, say: Say) -> dict[str, float]:
    """Spans per second, CPU and latencies of every burst, then the catch-up; memory of both.

    Units    CPU-seconds of the whole instance per 1,000 spans, not of the sender; MB resident, the largest process.
    """
    found: dict[str, float] = {}
    with MemoryWatch(instance) as memory:
        with instance.without_workers():
            for plan in plans(spans):
                found |= _burst(instance, backlog, plan)
                say(f"{plan.name}: {found[f'{plan.name}: spans/s']:,.0f} spans/s")
            waiting = backlog.look().pending
        found |= _catch_up(instance, backlog, waiting)
    say(f"catch-up: {found['catch-up: spans/s']:,.0f} spans/s over {waiting:,} spans")
    found["backlog: spans waiting"] = waiting
    found["resident MB: api"], found["resident MB: worker"] = memory.largest("api"), memory.largest("worker")
    return found


def _burst(instance: Instance, backlog: Backlog, plan: Plan) -> dict[str, float]:
    made = templates(max(2, min(64, TEMPLATE_SPANS // plan.batch)), plan.batch, plan.content_bytes)
    order = Order(connections=plan.connections, spans=plan.spans)
    before, cpu = backlog.look().pending, instance.cpu_seconds()
    sent: Sent = send(instance.port, made, order)
    cpu = instance.cpu_seconds() - cpu
    stored = backlog.look().pending - before
    if stored != sent.spans:
        raise BenchFailed(f"{sent.spans} spans were acknowledged and {stored} wait for derivation")
    return {
        f"{plan.name}: spans/s": sent.spans / sent.seconds,
        f"{plan.name}: CPU-s per 1,000": cpu / sent.spans * 1000,
        f"{plan.name}: ack p50 ms": sent.percentile(0.5),
        f"{plan.name}: ack p99 ms": sent.percentile(0.99),
    }


def _catch_up(instance: Instance, backlog: Backlog, waiting: int) -> dict[str, float]:
    """Derivation and pricing of a backlog while nothing comes in."""
    cpu = instance.cpu_seconds()
    seconds = backlog.settle(SETTLE_SECONDS)
    return {
        "catch-up: spans/s": waiting / seconds,
        "catch-up: CPU-s per 1,000": (instance.cpu_seconds() - cpu) / waiting * 1000,
    }
