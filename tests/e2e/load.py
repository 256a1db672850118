"""A bounded load of OTLP requests whose spans, calls and cost are known beforehand."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SPANS_PER_TRACE = 10
CALLS_PER_TRACE = 5
COST_PER_CALL = Decimal("0.0045")
"""claude-sonnet-4-5: 500 fresh tokens at $3 and 200 output at $15 per million."""


def _attributes(**values: str | int) -> list[KeyValue]:
    return [
        KeyValue(
            key=key.replace("__", "."),
            value=AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value),
        )
        for key, value in values.items()
    ]


def _id(size: int, *parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()[:size]


def requests(name: str, traces: int, traces_per_request: int) -> Iterator[bytes]:
    """Bodies of `traces_per_request` traces each; half of the spans are calls."""
    now = time.time_ns() - 60 * 10**9
    for first in range(0, traces, traces_per_request):
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(_attributes(service__name=name))
        scope = resource.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.anthropic"
        scope.scope.version = "0.62.4"
        for trace in range(first, min(first + traces_per_request, traces)):
            for number in range(SPANS_PER_TRACE):
                scope.spans.append(_span(name, trace, number, now + trace * 1_000_000))
        yield request.SerializeToString()


def _span(name: str, trace: int, number: int, start: int) -> Span:
    span = Span(
        trace_id=_id(16, name, trace),
        span_id=_id(8, name, trace, number),
        parent_span_id=_id(8, name, trace, 0) if number else b"",
        name="step",
        start_time_unix_nano=start + number * 10_000,
        end_time_unix_nano=start + number * 10_000 + 5_000,
    )
    if number == 0:
        span.attributes.extend(_attributes(gen_ai__operation__name="invoke_agent", gen_ai__agent__name="loader"))
    elif number <= CALLS_PER_TRACE:
        span.attributes.extend(
            _attributes(
                gen_ai__operation__name="chat",
                gen_ai__system="anthropic",
                gen_ai__request__model="claude-sonnet-4-5",
                gen_ai__response__model="claude-sonnet-4-5",
                gen_ai__response__id=f"msg_{name}_{trace}_{number}",
                gen_ai__usage__input_tokens=500,
                gen_ai__usage__output_tokens=200,
            )
        )
    else:
        span.attributes.extend(_attributes(gen_ai__operation__name="execute_tool", gen_ai__tool__name="search"))
    return span


def send_until_acknowledged(url: str, bodies: list[bytes], connections: int, seconds: float = 120) -> None:
    """Post every body, again and again until it is acknowledged, as exporters do.

    Raises   TimeoutError when a body is not acknowledged within the time.
    """
    deadline = time.monotonic() + seconds
    # One client: a new one per request would load its certificates each time, which takes longer than the answer.
    client = httpx.Client(timeout=10, headers={"Content-Type": "application/x-protobuf"})

    def send(body: bytes) -> None:
        while time.monotonic() < deadline:
            try:
                answer = client.post(f"{url}/v1/traces", content=body)
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            if answer.status_code == 200:
                assert answer.content == b"", f"some spans were rejected: {answer.content!r}"
                return
            assert answer.status_code in (429, 502, 503, 504), answer.text
            time.sleep(0.2)
        raise TimeoutError("a request was not acknowledged in time")

    with client, ThreadPoolExecutor(connections) as pool:
        for future in [pool.submit(send, body) for body in bodies]:
            future.result()
