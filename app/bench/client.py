"""A sender that costs little: HTTP/1.1 on a loop of its own, requests made from templates, every answer timed."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from app.bench.payloads import Template, fresh_requests
from models.core.errors import JevonsError

try:
    from uvloop import new_event_loop
except ImportError:  # Not on every platform; the loop of the standard library costs a little more.
    from asyncio import new_event_loop

BUSY = (429, 503)
CLOSED_WHEN_IDLE = 10
LATE_SECONDS = 1.0
"""A paced request that could not be sent for so long is not made up for: the rate offered is never exceeded."""


class BenchFailed(JevonsError):
    """The instance under test did not do what the measurement needs."""

    code = "bench_failed"


@dataclass(slots=True, frozen=True, kw_only=True)
class Order:
    """How to send; bounded by `spans`, by `seconds`, or by both."""

    connections: int = 8
    spans: int | None = None
    seconds: float | None = None
    """After so long nothing new is sent; what is on its way is waited for."""
    spans_per_second: float | None = None
    """None: each connection sends as soon as it has its answer."""
    when_busy: Literal["again", "drop"] = "again"
    """What to do with a request that was answered with 429 or 503: send it again as told, or give it up."""
    survives: bool = False
    """Whether broken connections and answers of 500 and above are gone on from, as exporters do."""
    headers: str = ""
    """Further header lines, each ended by CR LF."""
    may_send: Callable[[], bool] | None = None
    """Asked before each request; while it says no, nothing new is sent."""
    stop: threading.Event | None = None


@dataclass(slots=True)
class Sent:
    """What became of a load."""

    seconds: float = 0.0
    spans: int = 0
    """Acknowledged."""
    calls: int = 0
    """Model calls within them."""
    latencies_ms: list[float] = field(default_factory=list[float])
    """From the first byte sent to the acknowledgement, per request, sorted at the end."""
    acknowledged: list[tuple[int, int, float]] = field(default_factory=list[tuple[int, int, float]])
    """(number, which template, time.time()) of each acknowledged request, in the order of the answers."""
    busy: int = 0
    """Answers of 429 or 503."""
    busy_without_retry_after: int = 0
    dropped_spans: int = 0
    errors: dict[str, int] = field(default_factory=dict[str, int])
    """Other failures by name; only of an order that survives them."""
    unanswered: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(number, which template) of requests given up while it was not known what became of them."""

    def percentile(self, share: float) -> float:
        """The latency that `share` of the requests did not exceed."""
        return self.latencies_ms[min(int(share * len(self.latencies_ms)), len(self.latencies_ms) - 1)]


def send(port: int, templates: "list[Template]", order: Order, into: Sent | None = None) -> Sent:
    """Send fresh requests until the order is carried out; `into` can be watched from other threads meanwhile.

    Raises   BenchFailed for an answer that is neither success nor busy, unless the order survives it.
    """
    return send_requests(port, templates, order, fresh_requests(templates, order.headers), into)


def send_requests(
    port: int,
    templates: "list[Template]",
    order: Order,
    requests: Iterator[tuple[int, int, bytes]],
    into: Sent | None = None,
) -> Sent:
    """Send given requests, (number, which template, bytes) each."""
    run = _Run(port, templates, order, requests, into or Sent())
    loop = new_event_loop()
    try:
        return loop.run_until_complete(run.carry_out(loop))
    finally:
        loop.close()


class _Run:
    """One load on its way."""

    def __init__(
        self,
        port: int,
        templates: "list[Template]",
        order: Order,
        requests: Iterator[tuple[int, int, bytes]],
        sent: Sent,
    ) -> None:
        self.port, self.templates, self.order, self.requests, self.sent = port, templates, order, requests, sent
        self.offered_spans = 0
        self.due = 0.0

    async def carry_out(self, loop: asyncio.AbstractEventLoop) -> Sent:
        self.loop = loop
        self.began = self.due = loop.time()
        self.failed: BenchFailed | None = None
        self.open = self.order.connections
        self.over = loop.create_future()
        for _ in range(self.order.connections):
            loop.create_task(self.connect(_Lane(self)))
        await self.over
        self.sent.seconds = loop.time() - self.began
        self.sent.latencies_ms.sort()
        if self.failed is not None:
            raise self.failed
        return self.sent

    async def connect(self, lane: "_Lane") -> None:
        while True:
            try:
                await self.loop.create_connection(lambda: lane, "127.0.0.1", self.port)
                return
            except OSError as refused:
                if not self.order.survives:
                    self.fail(BenchFailed(f"nobody listens on port {self.port}: {refused}"))
                    return
                if self.is_over and (lane.request is None or self.gives_up):
                    lane.give_up()
                    return
                await asyncio.sleep(0.1)

    @property
    def is_over(self) -> bool:
        """Whether nothing new is to be sent."""
        order = self.order
        return (
            self.failed is not None
            or (order.spans is not None and self.offered_spans >= order.spans)
            or (order.seconds is not None and self.loop.time() - self.began >= order.seconds)
            or (order.stop is not None and order.stop.is_set())
        )

    @property
    def gives_up(self) -> bool:
        """Whether what is on its way is no longer waited for: a minute after the last new request."""
        return self.failed is not None or (
            self.order.seconds is not None and (self.loop.time() - self.began > self.order.seconds + 60)
        )

    def fail(self, why: BenchFailed) -> None:
        self.failed = self.failed or why
        if not self.over.done():
            self.over.set_result(None)

    def closed(self) -> None:
        self.open -= 1
        if not self.open and not self.over.done():
            self.over.set_result(None)


class _Lane(asyncio.Protocol):
    """One connection: a request, its answer, the next one."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.request: tuple[int, int, bytes] | None = None
        self.received = b""
        self.is_closed = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self.received = b""
        if self.request is None:
            self.next()
        else:
            self.write()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do one thing after a while instead of whatever was to be done: a lane never waits for two."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.run.loop.call_later(seconds, what)

    def next(self) -> None:
        """Take up the next request when it is due."""
        run = self.run
        if run.is_over or self.is_closed:
            self.close()
            return
        if run.order.may_send is not None and not run.order.may_send():
            self.later(0.01, self.next)
            return
        if run.order.spans_per_second is not None:
            now = run.loop.time()
            run.due = max(run.due, now - LATE_SECONDS)
            if run.due > now:
                self.later(run.due - now, self.next)
                # Whoever wakes first takes the turn; the others wait for the one after.
                return
        taken = next(run.requests, None)
        if taken is None:
            self.close()
            return
        spans = run.templates[taken[1]].spans
        run.offered_spans += spans
        if run.order.spans_per_second is not None:
            run.due += spans / run.order.spans_per_second
        self.request = taken
        self.write()

    def write(self) -> None:
        if self.transport.is_closing():
            return  # connection_lost is on its way and sends it again.
        assert self.request is not None
        self.started = time.perf_counter()
        self.transport.write(self.request[2])

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.received[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.received) < end + 4 + length:
            return
        body = self.received[end + 4 :]
        self.received = b""
        self.answered(int(head[9:12]), head, body)

    def answered(self, status: int, head: bytes, body: bytes) -> None:
        assert self.request is not None
        run, sent = self.run, self.run.sent
        number, which, _ = self.request
        template = run.templates[which]
        if 200 <= status < 300:
            if body.find(b"not taken") >= 0:
                run.fail(BenchFailed(f"spans were rejected: {body[:300]!r}"))
                return
            sent.latencies_ms.append((time.perf_counter() - self.started) * 1000)
            sent.acknowledged.append((number, which, time.time()))
            sent.spans += template.spans
            sent.calls += template.calls
            self.request = None
            self.next()
        elif status in BUSY:
            sent.busy += 1
            at = head.find(b"retry-after:")
            sent.busy_without_retry_after += at < 0
            pause = float(head[at + 12 :].split(b"\r\n", 1)[0]) if at >= 0 else 1.0
            if run.order.when_busy == "drop":
                sent.dropped_spans += template.spans
                self.request = None
                # A real sender would not come back at once either.
                self.later(0.02, self.next)
            else:
                self.later(pause, self.again)
        elif run.order.survives and status >= 500:
            self.count(str(status))
            self.later(0.3, self.again)
        else:
            run.fail(BenchFailed(f"request {number} was answered with {status}: {body[:300]!r}"))

    def again(self) -> None:
        if self.run.gives_up:
            self.give_up()
        elif not self.is_closed and not self.transport.is_closing():
            self.write()

    def give_up(self) -> None:
        if self.request is not None:
            self.run.sent.unanswered.append(self.request[:2])
        self.close()

    def count(self, what: str) -> None:
        self.run.sent.errors[what] = self.run.sent.errors.get(what, 0) + 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_closed:
            return
        if self.timer is not None:
            self.timer.cancel()
        if self.request is not None:
            self.count("connection lost")
            # A server may close an idle connection just as it is used again; more than a few is something else.
            if not self.run.order.survives and self.run.sent.errors["connection lost"] > CLOSED_WHEN_IDLE:
                self.run.fail(BenchFailed(f"the instance keeps closing connections: {exc}"))
                return
        if self.run.gives_up:
            self.give_up()
            return
        self.run.loop.create_task(self.run.connect(self))

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            if hasattr(self, "transport"):
                self.transport.close()
            self.run.closed()
