"""Whether a span costs more the more there are: CPU and bytes per span at growing sizes of the ledger.

    python -m tests.bench.growth [--steps 1000000,3000000,10000000] [--window 60000] [--json FILE]

Spans are sent as fast as a small backlog stays small. The figure of a step is all CPU since the step before, sums put
together and autovacuum included, until every queue is empty: a short window would hold more or less of these by chance.
The last window of each step is shown as well. Bytes are counted after a vacuum. Spans are spread over `--days` days, as
history is. Loopback only; ends by itself after `--limit` seconds, with the steps it reached.
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from app.bench.checks import Verdicts
from app.bench.client import Order, Sent, send
from app.bench.instance import Instance, started
from app.bench.payloads import Template, templates
from app.bench.storage import bytes_per_span
from app.bench.sustained import slope
from app.bench.watch import Backlog
from models.store.backlog import backlog as backlog_of

BATCH = 512
FLAT = 0.10


def sent_governed(
    instance: Instance, backlog: Backlog, made: list[Template], spans: int, most: int, seconds: float
) -> Sent:
    """Send so many spans while less than `most` wait, then wait until all are priced."""
    order = Order(connections=4, spans=spans, seconds=seconds, may_send=lambda: backlog.last.pending < most)
    sent = send(instance.port, made, order)
    backlog.settle(600)
    return sent


def await_queues(watch: Backlog) -> None:
    """Until no queue holds anything, those that no figure waits for included; a minute at most."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        with watch.engine.connect() as connection:
            if not backlog_of(connection):
                return
        time.sleep(1)


def per_doubling(points: list[tuple[float, float]]) -> float:
    """Change per doubling of the size, as a share of the first value."""
    return slope([(math.log2(size), figure) for size, figure in points]) / points[0][1]


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], Verdicts]:
    """Grow, measure, compare."""
    verdicts = Verdicts()
    steps: list[dict[str, Any]] = []
    began = time.monotonic()
    with started(2, 2, lambda line: print(line, flush=True)) as instance, Backlog(instance, 0.25) as backlog:
        made = templates(chosen.templates, BATCH, spread_days=chosen.days)
        total = sent_governed(instance, backlog, made, 8_192, chosen.backlog, 120).spans
        for size in chosen.steps:
            stretch_cpu, stretch_spans = instance.cpu_seconds(), total
            while total < size - chosen.window and time.monotonic() - began < chosen.limit:
                part = min(size - chosen.window - total, 200_000)
                total += sent_governed(instance, backlog, made, part, chosen.backlog, chosen.limit).spans
                print(f"{total:,} spans after {time.monotonic() - began:.0f} s", flush=True)
            if time.monotonic() - began > chosen.limit:
                print(f"the limit of {chosen.limit:.0f} s was reached before {size:,} spans", flush=True)
                break
            cpu, at = instance.cpu_seconds(), time.monotonic()
            window = sent_governed(instance, backlog, made, chosen.window, chosen.backlog, chosen.limit).spans
            cpu, wall = instance.cpu_seconds() - cpu, time.monotonic() - at
            total += window
            await_queues(backlog)
            stretch = (instance.cpu_seconds() - stretch_cpu) / (total - stretch_spans) * 1000
            sizes = bytes_per_span(instance.database_url)
            steps.append(
                {
                    "spans": total,
                    "cpu_s_per_1000": round(stretch, 4),
                    "window_cpu_s_per_1000": round(cpu / window * 1000, 4),
                    "spans_per_s": round(window / wall),
                    "bytes_telemetry": round(sizes["bytes per span, telemetry"], 1),
                    "bytes_ledger": round(sizes["bytes per span, ledger"], 1),
                    "bytes_by_relation": {
                        name.removeprefix("bytes per span: "): round(figure, 1)
                        for name, figure in sizes.items()
                        if name.startswith("bytes per span: ") and figure >= 1
                    },
                    "load": os.getloadavg()[0],
                }
            )
            print(
                json.dumps({key: value for key, value in steps[-1].items() if not isinstance(value, dict)}), flush=True
            )
    growth: dict[str, float] = {}
    for name in ("cpu_s_per_1000", "bytes_telemetry", "bytes_ledger"):
        if len(steps) < 2:
            verdicts.say(f"{name} is flat", False, "fewer than two steps were reached")
            continue
        points = [(float(step["spans"]), float(step[name])) for step in steps]
        change = points[-1][1] / points[0][1] - 1
        growth[name] = per_doubling(points)
        at_100_m = points[-1][1] + growth[name] * points[0][1] * math.log2(100_000_000 / points[-1][0])
        verdicts.say(
            f"{name} is flat within {FLAT:.0%}",
            change <= FLAT,
            f"{' → '.join(f'{figure:g}' for _, figure in points)} ({change:+.1%}; {growth[name]:+.1%} per doubling; "
            f"on that line {at_100_m:.3g} at 100 million spans)",
        )
    return {"steps": steps, "per_doubling": growth, "seconds": round(time.monotonic() - began)}, verdicts


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--steps",
        type=lambda words: [int(word) for word in words.split(",")],
        default=[1_000_000, 3_000_000, 10_000_000],
    )
    parser.add_argument("--window", type=int, default=60_000, help="spans that are measured at each step")
    parser.add_argument("--backlog", type=int, default=20_000, help="spans that may wait while sending")
    parser.add_argument("--templates", type=int, default=32)
    parser.add_argument("--days", type=int, default=1, help="days that the spans are spread over")
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which no further step is begun")
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
