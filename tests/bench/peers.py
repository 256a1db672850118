"""Jevons and its peers on the same requests in one run: python -m tests.bench.peers [phoenix,mlflow] [--spans N].

Each peer is installed into a virtual environment of its own (kept between runs) and runs on loopback against a
PostgreSQL of its own. What counts are the rows in its database. Takes minutes; ends by itself.
"""

import argparse
import json
import os
from pathlib import Path

from app.bench.bursts import measure_bursts
from app.bench.client import Order, send
from app.bench.instance import started
from app.bench.payloads import templates
from app.bench.peers import default_root, measure_peers
from app.bench.report import peer_table
from app.bench.watch import Backlog


def main() -> None:
    """Measure ours, then theirs; print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="?", default="phoenix,mlflow")
    parser.add_argument("--spans", type=int, default=40_000, help="of our largest burst")
    parser.add_argument("--dir", type=Path, default=default_root(), help="folder of the virtual environments")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    load = os.getloadavg()[0]

    def say(line: str) -> None:
        print(line, flush=True)

    with started(2, 2, say) as instance, Backlog(instance) as backlog:
        send(instance.port, templates(4, 512), Order(connections=4, spans=4_096))
        backlog.settle(120)
        found = measure_bursts(instance, backlog, chosen.spans, say)
    found |= measure_peers(chosen.names.split(","), chosen.dir, say)
    found |= {"load before": load, "load after": os.getloadavg()[0]}
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(peer_table(found)))
    print(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
