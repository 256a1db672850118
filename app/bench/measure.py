"""The measurements, one after the other on one instance, in the order in which each leaves what the next one needs."""

import os
import random
import statistics
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from app.bench import limits, rating
from app.bench.bursts import measure_bursts
from app.bench.client import Order, send
from app.bench.exactness import measure_cases, measure_corpus
from app.bench.instance import Instance, Say
from app.bench.payloads import templates, traces_body
from app.bench.questions import measure_questions
from app.bench.repricing import measure_repricing
from app.bench.storage import bytes_per_span
from app.bench.sustained import measure_lag, measure_sustained
from app.bench.watch import Backlog

LAG_SPANS_PER_SECOND = 1000
RATED_CALLS = 200_000
WARM_UP_SPANS = 4_096
DECODED_BODIES = 20
MILLION = 1_000_000


@dataclass(slots=True, frozen=True, kw_only=True)
class Load:
    """How much is sent and asked: bounded, so that a run takes minutes."""

    spans: int = 120_000
    """In a burst of full batches; the others send a part of it, together about twice as many."""
    sustained_seconds: float = 30
    lag_seconds: float = 20
    repeats: int = 40
    ledgers: list[int] = field(default_factory=lambda: [MILLION])
    """Calls in the made-up month that questions are asked about, growing."""


QUICK = Load(spans=16_384, sustained_seconds=10, lag_seconds=8, repeats=20)


def measure(instance: Instance, load: Load, say: Say, found: dict[str, float]) -> None:
    """Put every figure into `found` by name, with the load of the machine at each step: a run that breaks off keeps
    what it had.

    Units    as the names say; CPU-seconds count every process of the instance, not the sender.
    """
    busy: list[float] = []

    def done(what: str) -> None:
        busy.append(os.getloadavg()[0])
        found[f"load average after {what}"] = busy[-1]
        found["load average, median"] = statistics.median(busy)

    bodies = [traces_body(random.Random(number), 512) for number in range(DECODED_BODIES)]
    rate = limits.bare_decode(bodies, 512 * DECODED_BODIES)
    found |= {"limit: bare decode, spans per CPU-s": rate, "limit: bare decode, CPU-s per 1,000": 1000 / rate}
    found |= limits.bare_copy(instance.database_url)
    found["limit: bare join, rows/s"] = limits.bare_join()
    ours, peer = rating.measure(RATED_CALLS)
    found |= {"rating: buckets/s": ours, "rating: genai-prices buckets/s": peer}
    done("limits")
    with Backlog(instance) as backlog:
        send(instance.port, templates(4, 512), Order(connections=4, spans=WARM_UP_SPANS))
        backlog.settle(120)
        found |= measure_bursts(instance, backlog, load.spans, say)
        done("bursts")
        guess = found["catch-up: spans/s"]
        found |= measure_sustained(instance, backlog, guess, load.sustained_seconds, say)
        if found["sustained: spans/s"]:
            found["catch-up: × sustained"] = guess / found["sustained: spans/s"]
        done("sustained")
        found |= measure_lag(instance, LAG_SPANS_PER_SECOND, load.lag_seconds)
        say(f"acknowledged to priced p95: {found['lag: acknowledged to priced p95 s']:.1f} s")
        done("lag")
        found |= measure_cases(instance, backlog)
    found |= measure_corpus()
    found |= bytes_per_span(instance.database_url)
    for already, calls in pairwise([0, *load.ledgers]):
        found |= measure_questions(instance, calls, already, load.repeats, say)
    done("questions")
    found |= measure_repricing(instance)
    say(f"re-priced {found['re-price: calls']:,.0f} calls, {found['re-price: calls/s']:,.0f} a second")
    done("re-pricing")


def write_json(path: Path, text: str) -> None:
    """Write a file that is whole or not there."""
    staging = path.with_suffix(f".{os.getpid()}")
    staging.write_text(text)
    staging.replace(path)
