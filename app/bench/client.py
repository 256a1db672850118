"""A sender that costs little: HTTP/1.1 over asyncio streams, requests prepared beforehand, answers timed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.core.errors import JevonsError


class BenchFailed(JevonsError):
    """The instance under test did not do what the measurement needs."""

    code = "bench_failed"


@dataclass(slots=True)
class Sent:
    """What became of a load."""

    seconds: float
    latencies_ms: list[float] = field(default_factory=list[float])
    """From the first byte sent to the acknowledgement, per request, sorted."""
    acknowledged_at: list[float] = field(default_factory=list[float])
    """time.monotonic() of each request's acknowledgement, in the order of the requests."""
    busy: int = 0
    """Answers of 503: such a request was sent again."""

    def percentile(self, share: float) -> float:
        """The latency that `share` of the requests did not exceed."""
        return self.latencies_ms[min(int(share * len(self.latencies_ms)), len(self.latencies_ms) - 1)]


def request_of(body: bytes) -> bytes:
    """A whole HTTP request."""
    return (
        b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


def send(port: int, requests: Sequence[bytes], connections: int, per_second: float | None = None) -> Sent:
    """Send every request until it is acknowledged; `per_second` paces them, else each connection sends at once.

    Raises   BenchFailed for any answer but 200 and 503.
    """
    return asyncio.run(_send(port, requests, connections, per_second))


async def _send(port: int, requests: Sequence[bytes], connections: int, per_second: float | None) -> Sent:
    numbers = iter(range(len(requests)))
    sent = Sent(0.0, acknowledged_at=[0.0] * len(requests))
    began = time.monotonic()

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            if per_second is not None:
                await asyncio.sleep(began + number / per_second - time.monotonic())
            while True:
                started = time.perf_counter()
                writer.write(requests[number])
                await writer.drain()
                status = await _status(reader)
                if status == 503:
                    sent.busy += 1
                    await asyncio.sleep(0.1)
                    continue
                if status != 200:
                    raise BenchFailed(f"request {number} was answered with {status}; the log of the API says why.")
                sent.latencies_ms.append((time.perf_counter() - started) * 1000)
                sent.acknowledged_at[number] = time.monotonic()
                break
        writer.close()

    await asyncio.gather(*(one_connection() for _ in range(connections)))
    sent.seconds = time.monotonic() - began
    sent.latencies_ms.sort()
    return sent


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length:
        await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])
