"""Half an hour at 70 % of the sustained maximum, pricing on and pages read: memory and lag must be flat, errors none.

    python -m tests.bench.soak [--minutes 30] [--share 0.7] [--sustained SPANS_PER_S] [--json FILE]

The sustained maximum, the highest flat rate of `jevons bench`, is measured first unless it is given. Every few seconds
the API is asked what pages ask, and every page of the UI is rendered through Dash's own endpoint. Loopback only; ends
by itself.
"""

import argparse
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx

from app.bench.checks import Verdicts, check_ledger, say_stored, stored
from app.bench.client import Order, send
from app.bench.instance import Instance, started
from app.bench.payloads import templates
from app.bench.sustained import measure_sustained, slope
from app.bench.watch import Backlog, Memory, MemoryWatch, Seen

QUESTIONS = (
    "/api/v1/status",
    "/api/v1/costs?group_by=model",
    "/api/v1/costs?group_by=team,model&granularity=day",
    "/api/v1/costs?group_by=session&limit=50",
    "/api/v1/calls?limit=50",
    "/api/v1/quality",
    "/api/v1/incidents",
    "/metrics",
    "/readyz",
)
PAGES = ("/", "/spend-curves", "/agents", "/tasks", "/trace", "/calls", "/cache", "/budgets", "/chargeback", "/quality")
UNREADABLE = "could not be read"
"""What stands where a part of a page failed."""
FLAT_MEMORY = 0.05
"""Growth from the second to the last quarter, as a share: a leak of a few per cent in minutes would show."""
SEARCH_SECONDS = 20.0
"""Length of each step of the search for the sustained maximum."""
SMALL_MB = 10.0
FLAT_LAG_SECONDS = 3.0


class Reader:
    """Asks what pages ask, again and again, and renders the pages; errors are kept, not raised."""

    def __init__(self, instance: Instance, every_seconds: float) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{instance.port}", timeout=60)
        self.every_seconds = every_seconds
        self.took: dict[str, list[float]] = {}
        self.errors: list[str] = []
        self.stop = Event()

    def run(self) -> None:
        """Until told to stop: one question, one page, a pause."""
        router = self._router()
        number = 0
        while not self.stop.wait(self.every_seconds):
            self._ask(QUESTIONS[number % len(QUESTIONS)])
            self._render(PAGES[number % len(PAGES)], router)
            number += 1
        self.http.close()

    def _router(self) -> dict[str, Any]:
        """The callback that draws the page of an address."""
        for callback in self.http.get("/_dash-dependencies").json():
            if "_pages_content.children" in callback["output"]:
                return callback
        raise LookupError("no callback draws pages")

    def _ask(self, path: str) -> None:
        self._note(path.partition("?")[0], lambda: self.http.get(path))

    def _render(self, path: str, router: dict[str, Any]) -> None:
        values = {"pathname": path, "search": "", "href": str(self.http.base_url.join(path))}
        inputs = [each | {"value": values.get(each["property"], "")} for each in router["inputs"]]
        outputs = [
            dict(zip(("id", "property"), each.rsplit(".", 1), strict=True))
            for each in router["output"].strip(".").split("...")
        ]
        body = {
            "output": router["output"],
            "outputs": outputs if router["output"].startswith("..") else outputs[0],
            "inputs": inputs,
            "state": [each | {"value": values.get(each["property"], "")} for each in router["state"]],
            "changedPropIds": ["_pages_location.pathname"],
        }
        self._note(f"page {path}", lambda: self.http.post("/_dash-update-component", json=body))

    def _note(self, name: str, work: Any) -> None:
        began = time.perf_counter()
        try:
            answer: httpx.Response = work()
            if answer.status_code != 200 or UNREADABLE in answer.text:
                self.errors.append(f"{name}: {answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as fault:
            self.errors.append(f"{name}: {fault!r}")
        self.took.setdefault(name, []).append((time.perf_counter() - began) * 1000)


def flat_rate(instance: Instance) -> float:
    """The highest rate whose lag stays flat, as `jevons bench` states it.

    Raises   RuntimeError where none was found.
    """
    send(instance.port, templates(4, 512), Order(connections=4, spans=4_096))
    with Backlog(instance) as backlog:
        backlog.settle(120)
        found = measure_sustained(instance, backlog, 10_000, SEARCH_SECONDS, lambda line: print(line, flush=True))
    if not found["sustained: spans/s"]:
        raise RuntimeError("no rate was flat: something else loads this machine")
    return found["sustained: spans/s"]


def memory_of(samples: list[Memory], name: str) -> list[tuple[float, float]]:
    """(minutes since the first, MB) of one service."""
    return [((each.at - samples[0].at) / 60, each.by_service[name]) for each in samples if name in each.by_service]


def lag_by_minute(seen: list[Seen]) -> list[float]:
    """p95 of the lag in each minute, in seconds."""
    minutes: dict[int, list[float]] = {}
    for each in seen:
        minutes.setdefault(int((each.at - seen[0].at) // 60), []).append(each.lag_seconds)
    return [round(sorted(lags)[int(len(lags) * 0.95)], 2) for _, lags in sorted(minutes.items())]


def say_memory(verdicts: Verdicts, samples: list[Memory]) -> dict[str, dict[str, float]]:
    """Whether the memory of every service stays where it is once warm; returns its figures."""
    found: dict[str, dict[str, float]] = {}
    for name in sorted(samples[-1].by_service):
        points = memory_of(samples, name)
        quarter = max(1, len(points) // 4)
        second = statistics.median(size for _, size in points[quarter : 2 * quarter] or points)
        last = statistics.median(size for _, size in points[-quarter:])
        per_minute = slope(points[quarter:])
        grown = last - second
        found[name] = {"second_quarter_mb": round(second, 1), "last_quarter_mb": round(last, 1)}
        found[name]["mb_per_minute"] = round(per_minute, 3)
        verdicts.say(
            f"memory of {name} is flat",
            grown <= max(SMALL_MB, FLAT_MEMORY * second),
            f"{points[0][1]:.0f} MB at first, {second:.0f} → {last:.0f} MB from the second to the last quarter, "
            f"{per_minute:+.2f} MB a minute",
        )
    return found


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], Verdicts]:
    """Load, questions, samples, checks."""
    verdicts = Verdicts()
    with started(2, 2, lambda line: print(line, flush=True)) as instance, ThreadPoolExecutor(1) as pool:
        sustained = chosen.sustained or flat_rate(instance)
        rate = sustained * chosen.share
        print(f"sustained {sustained:,.0f} spans/s; {rate:,.0f} for {chosen.minutes:g} minutes", flush=True)
        made = templates(32, 64)
        reader = Reader(instance, chosen.every)
        order = Order(connections=8, seconds=chosen.minutes * 60, spans_per_second=rate)
        with (
            MemoryWatch(instance, 5.0, with_postgres=True) as memory,
            Backlog(instance, 1.0) as backlog,
        ):
            reading = pool.submit(reader.run)
            try:
                sent = send(instance.port, made, order)
                ended = time.time()
                samples = list(memory.samples)
            finally:
                reader.stop.set()
            reading.result()
            settled = backlog.settle(300)
            seen = [each for each in backlog.seen if each.at <= ended]
        services = say_memory(verdicts, samples)
        half = [each.lag_seconds for each in seen[: len(seen) // 2]]
        rest = [each.lag_seconds for each in seen[len(seen) // 2 :]]
        early, late = statistics.quantiles(half, n=20)[-1], statistics.quantiles(rest, n=20)[-1]
        verdicts.say(
            "the lag does not grow",
            late <= max(1.5 * early, FLAT_LAG_SECONDS),
            f"p95 {early:.1f} s in the first half, {late:.1f} s in the second; all priced {settled:.1f} s after",
        )
        verdicts.say(
            "the rate was held",
            sent.spans / sent.seconds >= 0.97 * rate and not sent.busy,
            f"{sent.spans / sent.seconds:,.0f} of {rate:,.0f} spans/s, {sent.busy} refusals",
        )
        asked = sum(len(took) for took in reader.took.values())
        verdicts.say(
            "no question and no page failed", not reader.errors, f"{len(reader.errors)} of {asked}: {reader.errors[:3]}"
        )
        acknowledged = [(number, which) for number, which, _ in sent.acknowledged]
        say_stored(verdicts, stored(instance.database_url, acknowledged, made))
        check_ledger(verdicts, instance.database_url, sent.calls, 10**12)
        logs = {
            path.name: path.read_text(errors="replace").count(" ERROR ")
            for path in sorted((instance.data_dir / "logs").glob("*.log"))
        }
        verdicts.say("no error in any log", not any(logs.values()), str({k: n for k, n in logs.items() if n}))
        figures = {
            "sustained": round(sustained),
            "rate": round(sent.spans / sent.seconds),
            "minutes": round(sent.seconds / 60, 1),
            "acknowledged": sent.spans,
            "ack_p99_ms": round(sent.percentile(0.99), 1),
            "lag_p95_s": [round(early, 2), round(late, 2)],
            "lag_p95_s_by_minute": lag_by_minute(seen),
            "memory": services,
            "memory_mb_over_time": {
                name: [[round(at, 2), round(size)] for at, size in memory_of(samples, name)[::12]] for name in services
            },
            "questions_p95_ms": {
                name: round(sorted(took)[int(len(took) * 0.95)]) for name, took in sorted(reader.took.items())
            },
            "errors": reader.errors[:20],
        }
    return figures, verdicts


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--sustained", type=float, help="spans per second; measured where not given")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between a question and the next")
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
