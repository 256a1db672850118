"""The highest rate whose lag stays flat: receiving, deriving, pricing and adding up at once, on the same cores."""

import statistics
import time
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from app.bench.client import Order, Sent, send
from app.bench.instance import Instance, Say
from app.bench.payloads import Template, templates
from app.bench.watch import Backlog, Seen

BATCH = 64
CONNECTIONS = 8
BACKLOG_SECONDS = 2.0
"""While the maximum is looked for, so much work is kept waiting: enough that no worker idles."""
CALMER = (0.97, 0.94, 0.91, 0.88, 0.8, 0.72, 0.65)
"""Shares of the governed rate that are tried one after the other until the lag is flat."""
FLAT = 0.05
"""A backlog is flat when it grows by less than this share of the rate."""
SETTLE_SECONDS = 300.0


@dataclass(slots=True, frozen=True)
class Steady:
    """A load at one rate."""

    offered: float
    """Spans per second asked for; what was sent is `sent.spans / sent.seconds`."""
    sent: Sent
    seen: list[Seen]
    growth: float
    """Spans by which the backlog grew per second, after the first third."""

    @property
    def rate(self) -> float:
        """Acknowledged spans per second."""
        return self.sent.spans / self.sent.seconds

    @property
    def is_flat(self) -> bool:
        """Whether the rate was reached and nothing piled up."""
        return self.growth <= FLAT * self.rate and self.rate >= (1 - FLAT) * self.offered

    def lags(self) -> list[float]:
        """Seconds from each acknowledgement to the first look that found everything received by then priced."""
        moments = [seen.at for seen in self.seen]
        through = [seen.priced_through for seen in self.seen]
        found: list[float] = []
        for _, _, at in self.sent.acknowledged:
            # `through` only grows: the first look after which nothing received before `at` waits.
            number = bisect_left(through, at)
            found.append(max(moments[number] - at, 0.0) if number < len(moments) else float("inf"))
        return found


def slope(points: list[tuple[float, float]]) -> float:
    """Least-squares slope of (x, y); 0 where there are fewer than two different x."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope


def steady(instance: Instance, made: list[Template], rate: float, seconds: float, connections: int) -> Steady:
    """Send at a rate for some seconds, then wait until everything is priced."""
    order = Order(connections=connections, seconds=seconds, spans_per_second=rate)
    with Backlog(instance) as backlog:
        began = time.time()
        sent = send(instance.port, made, order)
        ended = time.time()
        backlog.settle(SETTLE_SECONDS)
        backlog.seen.append(backlog.look())
        seen = sorted(backlog.seen, key=lambda each: each.at)
    later = [(each.at, float(each.pending)) for each in seen if began + (ended - began) / 3 <= each.at <= ended]
    return Steady(rate, sent, seen, slope(later))


def governed(instance: Instance, made: list[Template], guess: float, seconds: float) -> tuple[float, Sent]:
    """Send as fast as a small backlog stays small; returns the spans per second that were worked off, and the load."""
    most = guess * BACKLOG_SECONDS
    into = Sent()
    marks: list[tuple[float, int, int]] = []
    with Backlog(instance, 0.2) as backlog, ThreadPoolExecutor(1) as pool:
        order = Order(connections=CONNECTIONS, seconds=seconds, may_send=lambda: backlog.last.pending < most)
        sending = pool.submit(send, instance.port, made, order, into)
        began = time.monotonic()
        while not sending.done() and time.monotonic() - began < seconds:
            time.sleep(0.2)
            marks.append((time.monotonic(), into.spans, backlog.last.pending))
        sent = sending.result()
    # The first third fills the backlog and warms up.
    marks = marks[len(marks) // 3 :]
    (start, sent_before, waiting_before), (end, sent_after, waiting_after) = marks[0], marks[-1]
    return (sent_after - sent_before - (waiting_after - waiting_before)) / (end - start), sent


def measure_sustained(instance: Instance, backlog: Backlog, guess: float, seconds: float, say: Say) -> dict[str, float]:
    """The highest flat rate: found with a governed backlog, then held open-loop and made calmer until it is flat.

    Units    `guess` and rates in spans per second. CPU-seconds of the whole instance until the last span is priced.
    """
    made = templates(32, BATCH)
    cpu = instance.cpu_seconds()
    found, sent = governed(instance, made, guess, seconds)
    backlog.settle(SETTLE_SECONDS)
    figures = {
        "sustained: CPU-s per 1,000": (instance.cpu_seconds() - cpu) / sent.spans * 1000,
        "sustained: governed spans/s": found,
        "sustained: spans/s": 0.0,
    }
    for share in CALMER:
        held = steady(instance, made, found * share, seconds, CONNECTIONS)
        say(f"at {held.rate:,.0f} spans/s the backlog grows by {held.growth:+,.0f} a second")
        if held.is_flat:
            lags = held.lags()
            figures |= {
                "sustained: spans/s": held.rate,
                "sustained: backlog growth, spans/s": held.growth,
                "sustained: lag p95 s": statistics.quantiles(lags, n=20)[-1],
            }
            break
    return figures


def measure_lag(instance: Instance, rate: float, seconds: float) -> dict[str, float]:
    """Seconds from acknowledgement to being priced and in /api/v1/costs, at a rate that is not the limit.

    The moment is read as `/api/v1/costs` tells it, `priced_through`, four times a second and without asking for sums.
    """
    held = steady(instance, templates(32, BATCH), rate, seconds, 4)
    lags = held.lags()
    return {
        "lag: acknowledged to priced p50 s": statistics.median(lags),
        "lag: acknowledged to priced p95 s": statistics.quantiles(lags, n=20)[-1],
        "lag: spans/s": held.rate,
    }
