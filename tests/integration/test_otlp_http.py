"""OTLP over HTTP: a running server, real bodies, and rows counted in the database."""

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Iterator

import httpx
import orjson
import pytest
import uvicorn
import zstandard
from fastapi import FastAPI
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from sqlalchemy import text

from app import errors, wiring
from app.routes import otlp
from app.settings import Settings
from app.wiring import Wiring
from tests.conftest import Database

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
LIMIT = 1_000_000


@pytest.fixture(scope="module")
def address(migrated: Database) -> Iterator[str]:
    """A server on the module's database."""
    wiring.use(Wiring(Settings(max_body_bytes=LIMIT, auth="off"), migrated.url))
    application = FastAPI()
    errors.install(application)
    application.include_router(otlp.router)
    errors.close_prefixes(application)
    server = uvicorn.Server(uvicorn.Config(application, log_level="error", ws="none"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()
    wiring.use(None)


def traces(trace: int, spans: int = 1, **attributes: int) -> TracesData:
    now = time.time_ns()
    body = TracesData()
    scope_spans = body.resource_spans.add().scope_spans.add()
    for number in range(1, spans + 1):
        span = scope_spans.spans.add(name="chat", start_time_unix_nano=now - 1000, end_time_unix_nano=now)
        span.trace_id, span.span_id = trace.to_bytes(16, "big"), number.to_bytes(8, "big")
        for key, value in attributes.items():
            span.attributes.add(key=key).value.int_value = value
    return body


def count(database: Database, trace: int) -> int:
    with database.engine.connect() as connection:
        found = connection.execute(
            text("select count(*) from spans where trace_id = :trace"), {"trace": trace.to_bytes(16, "big")}
        )
        return found.scalar_one()


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        pytest.param("", lambda body: body, id="identity"),
        pytest.param("gzip", gzip.compress, id="gzip"),
        pytest.param("deflate", zlib.compress, id="deflate"),
        pytest.param("deflate", raw_deflate, id="raw-deflate"),
        pytest.param("zstd", zstandard.ZstdCompressor().compress, id="zstd"),
        pytest.param("zstd", zstandard.ZstdCompressor(write_content_size=False).compress, id="zstd-without-size"),
    ],
)
def test_a_body_in_any_coding_is_stored_before_it_is_acknowledged(
    address: str, migrated: Database, coding: str, pack, request: pytest.FixtureRequest
) -> None:
    trace = 1000 + abs(hash(request.node.callspec.id)) % 10**9
    headers = PROTOBUF | ({"content-encoding": coding} if coding else {})
    response = httpx.post(f"{address}/v1/traces", content=pack(traces(trace, 3).SerializeToString()), headers=headers)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/x-protobuf"
    assert count(migrated, trace) == 3


def test_the_same_body_twice_is_stored_once(address: str, migrated: Database) -> None:
    body = traces(21, 5).SerializeToString()
    for _ in range(2):
        assert httpx.post(f"{address}/v1/traces", content=body, headers=PROTOBUF).content == b""
    assert count(migrated, 21) == 5


def test_one_bad_span_is_told_apart_and_its_neighbours_are_stored(address: str, migrated: Database) -> None:
    body = traces(22, 3)
    spans = body.resource_spans[0].scope_spans[0].spans
    spans[1].span_id = b"short"
    response = httpx.post(f"{address}/v1/traces", content=body.SerializeToString(), headers=PROTOBUF)
    told = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert response.status_code == 200
    assert told.rejected_spans == 1
    assert told.error_message == (
        "1 of 3 spans were not taken: resource_spans[0].scope_spans[0].spans[1]: span_id has 5 bytes instead of 8"
    )
    assert count(migrated, 22) == 2
    with migrated.engine.connect() as connection:
        kept = connection.execute(text("select reason from rejections where trace_id = :t"), {"t": bytes(15) + b"\x16"})
        assert kept.scalars().all() == ["span_id has 5 bytes instead of 8"]


def test_another_span_under_known_ids_is_reported(address: str) -> None:
    first, second = traces(23, 1, tokens=1), traces(23, 2, tokens=2)
    httpx.post(f"{address}/v1/traces", content=first.SerializeToString(), headers=PROTOBUF)
    response = httpx.post(f"{address}/v1/traces", content=second.SerializeToString(), headers=PROTOBUF)
    told = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert told.rejected_spans == 1
    assert "stored already and differs" in told.error_message


def test_json_is_answered_in_json(address: str) -> None:
    document = {
        "resourceSpans": [
            {"scopeSpans": [{"spans": [{"traceId": "zz", "spanId": "00", "endTimeUnixNano": str(time.time_ns())}]}]}
        ]
    }
    response = httpx.post(f"{address}/v1/traces", json=document)
    assert response.status_code == 200
    assert response.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert "'zz' is not hexadecimal" in response.json()["partialSuccess"]["errorMessage"]


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        pytest.param(b"\x0a\xff", PROTOBUF, 400, "cut off", id="truncated-protobuf"),
        pytest.param(b'{"resourceSpans": [', JSON, 400, "line 1, column 20", id="truncated-json"),
        pytest.param(b"[]", JSON, 400, "JSON array", id="json-of-another-shape"),
        pytest.param(b"x", {"content-type": "text/plain"}, 415, "'text/plain' is not taken", id="media-type"),
        pytest.param(b"x", PROTOBUF | {"content-encoding": "br"}, 415, "gzip, deflate, zstd", id="coding"),
        pytest.param(b"x", PROTOBUF | {"content-encoding": "gzip"}, 400, "not whole gzip", id="no-gzip"),
        pytest.param(
            gzip.compress(b"x" * 100)[:-9],
            PROTOBUF | {"content-encoding": "gzip"},
            400,
            "end is missing",
            id="cut-gzip",
        ),
        pytest.param(b"x" * (LIMIT + 1), PROTOBUF, 413, "1000000 bytes as sent", id="too-large"),
        pytest.param(
            gzip.compress(b"\0" * 50 * LIMIT), PROTOBUF | {"content-encoding": "gzip"}, 413, "inflated", id="gzip-bomb"
        ),
        pytest.param(
            zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * 50 * LIMIT),
            PROTOBUF | {"content-encoding": "zstd"},
            413,
            "inflated",
            id="zstd-bomb",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_reason(
    address: str, content: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    response = httpx.post(f"{address}/v1/traces", content=content, headers=headers)
    assert response.status_code == status
    if headers["content-type"] == "application/json":
        message = orjson.loads(response.content)["message"]
    else:
        message = Status.FromString(response.content).message
    assert said in message


def test_a_get_is_told_the_method(address: str) -> None:
    response = httpx.get(f"{address}/v1/traces")
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
