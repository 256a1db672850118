"""Loops under load reach a webhook within five seconds, once each, also when a server is killed in between."""

import hashlib
import hmac
import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.e2e.conftest import Instance, eventually
from tests.e2e.load import SPANS_PER_TRACE, requests, send_until_acknowledged
from tests.e2e.test_kill import _victim as victim

SECRET = "e2e"
SPANS_PER_SECOND = 200
LOOPS = 20


@dataclass
class Receiver:
    """What a webhook got: when, and the body."""

    url: str = ""
    got: list[tuple[float, dict[str, str], bytes]] = field(default_factory=list)

    def alerts(self, run: str) -> list[tuple[float, dict[str, Any]]]:
        """Opened incidents of one run of loops."""
        bodies = [(at, json.loads(body)) for at, _, body in self.got]
        return [(at, body) for at, body in bodies if body["agent"] == run and body["event"] == "opened"]


@pytest.fixture(scope="module")
def receiver(instance: Instance) -> Iterator[Receiver]:
    found = Receiver()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((time.time(), {name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/"
    channel = {"kind": "webhook", "name": "e2e", "url": found.url, "secret": SECRET}
    answer = httpx.post(instance.url + "/api/v1/channels", json=channel, timeout=10)
    assert answer.status_code == 201, answer.text
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def looping(run: str, number: int) -> bytes:
    """A trace whose agent has run one failing command five times, the last one just now."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add()
    spans.scope.name = "test"
    trace_id = hashlib.sha256(f"{run}/{number}".encode()).digest()[:16]
    now = time.time_ns()
    for turn in range(5):
        at = now - (5 - turn) * 3 * 10**9
        facts: dict[str, str | int] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.usage.input_tokens": 1000 + turn,
            "gen_ai.usage.output_tokens": 100 + turn,
        }
        tool: dict[str, str | int] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "bash",
            "gen_ai.tool.call.arguments": '{"command": "npm install"}',
        }
        for half, (name, attributes) in enumerate((("chat", facts), ("execute_tool bash", tool))):
            span = Span(
                trace_id=trace_id,
                span_id=(2 * turn + half + 1).to_bytes(8, "big"),
                name=name,
                start_time_unix_nano=at + half * 2 * 10**9,
                end_time_unix_nano=at + (2 + half) * 10**9,
                status=Status(code=Status.STATUS_CODE_ERROR if half else Status.STATUS_CODE_OK),
            )
            for key, value in {**attributes, "gen_ai.agent.name": run}.items():
                told = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
                span.attributes.append(KeyValue(key=key, value=told))
            spans.spans.append(span)
    return request.SerializeToString()


def post(instance: Instance, body: bytes) -> float:
    """Send until acknowledged; the moment of the acknowledgement."""
    send_until_acknowledged(instance.url, [body], 1)
    return time.time()


@pytest.mark.slow
def test_an_alert_arrives_within_five_seconds_at_two_hundred_spans_a_second(
    instance: Instance, receiver: Receiver
) -> None:
    bodies = iter(
        requests("background", LOOPS * SPANS_PER_SECOND // SPANS_PER_TRACE, SPANS_PER_SECOND // SPANS_PER_TRACE)
    )
    acknowledged: dict[str, float] = {}
    for number, body in enumerate(bodies):
        begun = time.monotonic()
        post(instance, body)
        trace_id = hashlib.sha256(f"timed/{number}".encode()).hexdigest()[:32]
        acknowledged[trace_id] = post(instance, looping("timed", number))
        time.sleep(max(0.0, 1 - (time.monotonic() - begun)))
    eventually(lambda: len(receiver.alerts("timed")) >= LOOPS, 30)
    arrived = {body["trace_id"]: at for at, body in receiver.alerts("timed")}
    waits = [arrived[trace_id] - at for trace_id, at in acknowledged.items()]
    print(f"alert after {statistics.median(waits):.2f} s, at most {max(waits):.2f} s")  # noqa: T201
    assert statistics.quantiles(waits, n=20)[-1] <= 5.0
    _, headers, body = next(one for one in receiver.got if json.loads(one[2])["agent"] == "timed")
    assert headers["x-jevons-signature"] == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert json.loads(body)["kind"] == "repeated_step"
    assert json.loads(body)["repeats"] == 5


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "valkey"])
def test_a_kill_loses_no_alert_and_doubles_none(instance: Instance, receiver: Receiver, what: str) -> None:
    run = f"killed-{what}"
    for number in range(LOOPS):
        post(instance, looping(run, number))
        if number == LOOPS // 2:
            os.kill(victim(instance, what), signal.SIGKILL)
    eventually(lambda: len(receiver.alerts(run)) >= LOOPS, 90)
    instance.settled()
    keys = [body["dedup_key"] for _, body in receiver.alerts(run)]
    # At least once: a message may come again, but never under another key.
    assert len(set(keys)) == LOOPS
    incidents = [row for row in instance.get("/api/v1/incidents", limit=1000)["rows"] if row["agent"] == run]
    assert len(incidents) == LOOPS
