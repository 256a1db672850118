"""kill -9 of a process at random, under load, again and again; then everything acknowledged must be there, once.

    python -m tests.bench.kill [--kills 20] [--rate 600] [--json FILE]

Victims: the HTTP processes, gRPC, worker, beat, Valkey, the postmaster, one of its backends, and the supervisor itself
(which takes everything with it and is started again on the same data). The sender behaves as exporters do: what was
not acknowledged is sent again. Loopback only; ends by itself, at the latest after `--limit` seconds.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import psutil

from app.bench.checks import Verdicts, check_ledger, say_stored, stored
from app.bench.client import Order, Sent, send, send_requests
from app.bench.instance import Instance, started
from app.bench.payloads import same_again, templates
from app.bench.watch import Backlog

VICTIMS = ("api", "api-2", "grpc", "worker-1", "beat", "valkey", "postgres", "backend", "supervisor")
MARKED = ("api", "api-2", "worker-1", "beat")
BACK_SECONDS = 120.0
SENT_AGAIN = 300


def backend_of(postmaster: psutil.Process, chance: random.Random) -> psutil.Process:
    """One of PostgreSQL's processes that serve a connection, or whichever there is."""
    children = postmaster.children()
    serving = [child for child in children if "127.0.0.1" in " ".join(child.cmdline())]
    return chance.choice(serving or children)


def is_back(instance: Instance) -> bool:
    """Whether every service is there and the instance says it is ready."""
    try:
        if not set(VICTIMS) - {"backend", "supervisor"} <= set(instance.processes()):
            return False
        # A service marks that it works, and its marker goes when it is started again.
        if not all((instance.data_dir / "run" / f"{name}.ready").exists() for name in MARKED):
            return False
        return httpx.get(f"http://127.0.0.1:{instance.port}/readyz", timeout=5).status_code == 200
    except (httpx.HTTPError, psutil.Error):
        return False


def kill(instance: Instance, victim: str, chance: random.Random) -> float:
    """Kill one and wait until everything is back; returns the seconds that took."""
    living = instance.processes()
    began = time.monotonic()
    if victim == "supervisor":
        tree = [psutil.Process(instance.process.pid), *living.values()]
        os.kill(instance.process.pid, signal.SIGKILL)
        instance.process.wait()
        psutil.wait_procs(tree, timeout=60)
        instance.start()
    elif victim == "backend":
        backend_of(living["postgres"], chance).kill()
    else:
        living[victim].kill()
    time.sleep(0.3)
    while not is_back(instance):
        if time.monotonic() - began > BACK_SECONDS:
            raise TimeoutError(f"{victim} was not back after {BACK_SECONDS:.0f} s: {sorted(instance.processes())}")
        time.sleep(0.3)
    return time.monotonic() - began


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], Verdicts]:
    """Load, kills, checks."""
    chance = random.Random(chosen.seed)
    verdicts = Verdicts()
    kills: list[dict[str, Any]] = []
    with started(2, 2, lambda line: print(line, flush=True)) as instance, ThreadPoolExecutor(1) as pool:
        made, stop, into = templates(32, 64), Event(), Sent()
        order = Order(connections=6, seconds=chosen.limit, spans_per_second=chosen.rate, survives=True, stop=stop)
        sending = pool.submit(send, instance.port, made, order, into)
        began = time.monotonic()
        victims = [VICTIMS[number % len(VICTIMS)] for number in range(chosen.kills)]
        chance.shuffle(victims)
        try:
            for victim in victims:
                time.sleep(chance.uniform(0.5, 3.0))
                if sending.done() or time.monotonic() - began > chosen.limit:
                    break
                seconds = kill(instance, victim, chance)
                kills.append({"victim": victim, "back_seconds": round(seconds, 1), "acknowledged": into.spans})
                print(f"{len(kills)}: {victim} was back after {seconds:.1f} s; {into.spans:,} acknowledged", flush=True)
        finally:
            stop.set()
        sent = sending.result()
        watch = Backlog(instance)
        settled = watch.settle(600)
        acknowledged = [(number, which) for number, which, _ in sent.acknowledged]
        url = instance.database_url
        verdicts.say("as many kills as asked for", len(kills) == chosen.kills, f"{len(kills)} of {chosen.kills}")
        verdicts.say("nothing was given up", not sent.unanswered, f"{len(sent.unanswered)} requests unanswered")
        say_stored(verdicts, stored(url, acknowledged, made))
        check_ledger(verdicts, url, sent.calls)
        again = chance.sample(acknowledged, min(SENT_AGAIN, len(acknowledged)))
        twice = send_requests(instance.port, made, Order(connections=4, survives=True), same_again(made, again))
        watch.settle(120)
        found = stored(url, acknowledged, made)
        verdicts.say(
            f"{twice.spans:,} spans sent again are no duplicates",
            found.too_many == 0 and found.twice == 0,
            f"{found.too_many} too many, {found.twice} twice",
        )
        check_ledger(verdicts, url, sent.calls)
        watch.engine.dispose()
    figures = {
        "kills": kills,
        "acknowledged": sent.spans,
        "seconds": round(sent.seconds, 1),
        "settled_seconds": round(settled, 1),
        "busy": sent.busy,
        "broken": sent.errors,
    }
    return figures, verdicts


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=600, help="spans per second offered")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--limit", type=float, default=900, help="seconds after which no more is sent")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    figures, verdicts = run(chosen)
    figures |= {"seed": chosen.seed, "load_before": load, "load_after": os.getloadavg()[0], "verdicts": verdicts.made}
    text = json.dumps(figures, indent=1)
    if chosen.json:
        chosen.json.write_text(text + "\n")
    print(text)
    sys.exit(not verdicts.all_hold)


if __name__ == "__main__":
    main()
