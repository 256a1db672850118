"""OTLP over gRPC with the real exporter: stored before success, retried under pressure, refused with the reason."""

from collections.abc import Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from sqlalchemy import text

from app import auth, otlp_grpc, wiring
from app.collector import Collector
from app.settings import Settings
from app.wiring import Wiring
from models.store.telemetry import load_spans
from tests.conftest import Database
from tests.integration.test_otlp_http import traces

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def collector(migrated: Database) -> Iterator[Collector]:
    """A collector on the module's database, whose queue takes one small body at a time."""
    auth.forget()
    wiring.use(Wiring(Settings(auth="off"), migrated.url))
    made = Collector(wiring.current().engine, max_queue_bytes=1000)
    made.start()
    yield made
    made.stop()
    wiring.use(None)


@pytest.fixture
def address(collector: Collector) -> Iterator[str]:
    """A gRPC server on the collector."""
    server, port = otlp_grpc.start(collector, "127.0.0.1:0", max_body_bytes=100_000)
    yield f"127.0.0.1:{port}"
    server.stop(1).wait()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_real_exporter_delivers(address: str, migrated: Database, compression: grpc.Compression) -> None:
    exporter = OTLPSpanExporter(endpoint=address, insecure=True, compression=compression)
    provider = TracerProvider(resource=Resource({"service.name": "agent"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("gen_ai", "1.0").start_as_current_span("chat") as sent:
        sent.set_attribute("gen_ai.usage.input_tokens", 12)
    provider.shutdown()
    trace_id = sent.get_span_context().trace_id.to_bytes(16, "big")
    with migrated.engine.connect() as connection:
        (stored,) = load_spans(connection, 1, [trace_id])
    assert (stored.name, stored.instrumentation) == ("chat", "gen_ai@1.0")
    assert stored.attributes["gen_ai.usage.input_tokens"] == 12
    assert stored.resource["service.name"] == "agent"


def test_a_rejected_span_is_told_in_partial_success(address: str) -> None:
    body = traces(31, 2)
    body.resource_spans[0].scope_spans[0].spans[0].trace_id = bytes(16)
    with grpc.insecure_channel(address) as channel:
        answer = channel.unary_unary(EXPORT)(body.SerializeToString())
    told = ExportTraceServiceResponse.FromString(answer).partial_success
    assert told.rejected_spans == 1
    assert "spans[0]: trace_id is all zero" in told.error_message


def test_a_body_that_cannot_be_read_is_an_invalid_argument(address: str) -> None:
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(EXPORT)(b"\x0a\xff")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "cut off" in refused.value.details()


def test_pressure_is_answered_with_when_to_come_back(address: str, collector: Collector, migrated: Database) -> None:
    body = traces(32, 5).SerializeToString()
    with collector.hold(1, 990), grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(EXPORT)(body)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    details = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
    retry = RetryInfo()
    assert Status.FromString(details).details[0].Unpack(retry)
    assert retry.retry_delay.seconds == 1
    with migrated.engine.connect() as connection:
        found = connection.execute(
            text("select count(*) from spans where trace_id = :trace"), {"trace": (32).to_bytes(16, "big")}
        )
        assert found.scalar_one() == 0


def test_an_address_in_use_is_said(address: str, collector: Collector) -> None:
    with pytest.raises(OSError, match="--grpc-port"):
        otlp_grpc.start(collector, address, max_body_bytes=1000)
