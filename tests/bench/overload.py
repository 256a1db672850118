"""Three times what can be sustained, for minutes: what is acknowledged is stored once, the rest is refused politely.

    python -m tests.bench.overload [--seconds 300] [--factor 3] [--sustained SPANS_PER_S] [--json FILE]

The sustained maximum is measured first unless it is given. After the load two things are timed: until a request is
answered with 200 again, and until nothing waits any more. Loopback only; ends by itself.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from app.bench.checks import Verdicts, check_ledger, say_stored, stored
from app.bench.client import BenchFailed, Order, send
from app.bench.instance import Instance, started
from app.bench.payloads import templates
from app.bench.sustained import governed
from app.bench.watch import Backlog, MemoryWatch

BATCH = 512
CONNECTIONS = 32
RECOVERED_SECONDS = 60.0
API_MB, WORKER_MB = 350.0, 400.0
"""Bounds: an API process may hold JEVONS_MAX_QUEUE_BYTES (32 MiB) in its queue beside what it needs anyway."""


def sustained_rate(instance: Instance) -> float:
    """What is worked off while a small backlog is kept waiting."""
    made = templates(16, 64)
    send(instance.port, templates(4, 512), Order(connections=4, spans=4_096))
    with Backlog(instance) as backlog:
        backlog.settle(120)
        # Enough waiting for full batches: with less, workers rest so that more gathers.
        first, _ = governed(instance, made, 10_000, 10)
        backlog.settle(120)
        rate, _ = governed(instance, made, first, 20)
        backlog.settle(120)
    return rate


def seconds_until_taken(instance: Instance, limit: float) -> float:
    """Until one request is answered with 200 on its first try."""
    made = templates(2, 64)
    began = time.monotonic()
    while time.monotonic() - began < limit:
        sent = send(instance.port, made, Order(connections=1, spans=64, when_busy="drop"))
        if sent.spans:
            return time.monotonic() - began
        time.sleep(0.25)
    return float("inf")


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], Verdicts]:
    """Load, refusals, recovery, checks."""
    verdicts = Verdicts()
    with started(2, 2, lambda line: print(line, flush=True)) as instance:
        sustained = chosen.sustained or sustained_rate(instance)
        offered = sustained * chosen.factor
        print(f"sustained {sustained:,.0f} spans/s; offering {offered:,.0f} for {chosen.seconds:.0f} s", flush=True)
        made = templates(16, BATCH)
        order = Order(connections=CONNECTIONS, seconds=chosen.seconds, spans_per_second=offered, when_busy="drop")
        with MemoryWatch(instance, 2.0, with_postgres=True) as memory, Backlog(instance, 1.0) as backlog:
            sent = send(instance.port, made, order)
            ended = time.monotonic()
            waiting = backlog.look()
            answered = seconds_until_taken(instance, chosen.recovery)
            recovered = time.monotonic() - ended
            try:
                backlog.settle(max(chosen.recovery - recovered, 1.0))
                recovered = time.monotonic() - ended
            except BenchFailed:
                recovered = float("inf")
            left = backlog.look()
            pending = [seen.pending for seen in backlog.seen]
        offered_really = (sent.spans + sent.dropped_spans) / sent.seconds
        verdicts.say(
            f"{chosen.factor:g} × the sustained maximum was offered",
            offered_really >= 0.9 * offered,
            f"{offered_really:,.0f} spans/s for {sent.seconds:.0f} s: {sent.spans:,} acknowledged, "
            f"{sent.dropped_spans:,} refused",
        )
        acknowledged = [(number, which) for number, which, _ in sent.acknowledged]
        say_stored(verdicts, stored(instance.database_url, acknowledged, made))
        verdicts.say(
            "what was refused was told when to come back",
            not sent.busy_without_retry_after,
            f"{sent.busy} answers of 429 or 503, {sent.busy_without_retry_after} without Retry-After",
        )
        api, worker = memory.largest("api"), memory.largest("worker")
        verdicts.say(
            "memory is bounded",
            api <= API_MB and worker <= WORKER_MB,
            f"API {api:.0f} MB (≤ {API_MB:.0f}), worker {worker:.0f} MB (≤ {WORKER_MB:.0f})",
        )
        verdicts.say("requests are taken again", answered <= RECOVERED_SECONDS, f"after {answered:.1f} s")
        verdicts.say(
            f"nothing waits any more within {RECOVERED_SECONDS:.0f} s",
            recovered <= RECOVERED_SECONDS,
            f"{waiting.pending:,} spans waited at the end of the load, {left.pending:,} after {recovered:.0f} s",
        )
        if recovered != float("inf"):
            check_ledger(verdicts, instance.database_url, sent.calls, 10**12)
        figures = {
            "sustained": round(sustained),
            "offered": round(offered_really),
            "acknowledged": sent.spans,
            "refused": sent.dropped_spans,
            "seconds": round(sent.seconds, 1),
            "ack_p50_ms": round(sent.percentile(0.5), 1),
            "ack_p99_ms": round(sent.percentile(0.99), 1),
            "largest_backlog": max(pending),
            "backlog_at_the_end": waiting.pending,
            "lag_at_the_end_s": round(waiting.lag_seconds, 1),
            "answers_200_again_s": round(answered, 2),
            "nothing_pending_after_s": recovered if recovered == float("inf") else round(recovered, 1),
            "resident_mb_largest": {
                name: round(max(each.by_service.get(name, 0.0) for each in memory.samples))
                for name in memory.samples[-1].by_service
            },
        }
    return figures, verdicts


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--factor", type=float, default=3)
    parser.add_argument("--sustained", type=float, help="spans per second; measured where not given")
    parser.add_argument("--recovery", type=float, default=600, help="seconds that recovery is watched at most")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    figures, verdicts = run(chosen)
    figures |= {"load_before": load, "load_after": os.getloadavg()[0], "verdicts": verdicts.made}
    text = json.dumps(figures, indent=1)
    if chosen.json:
        chosen.json.write_text(text + "\n")
    print(text)
    sys.exit(not verdicts.all_hold)


if __name__ == "__main__":
    main()
