"""OTLP over gRPC: the three services on the collector, with the semantics of the HTTP side."""

import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psycopg
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from sqlalchemy.exc import SQLAlchemyError

from app import principals, wiring
from app.collector import Collector, StoreUnavailable
from app.intake_queue import Overloaded
from app.otlp_answers import export_response
from ingest.envelope import TooLarge
from models.core.errors import JevonsError
from models.core.vocabulary import Signal
from models.store.availability import is_unavailable

log = logging.getLogger(__name__)

SERVICES = {
    "opentelemetry.proto.collector.trace.v1.TraceService": Signal.TRACES,
    "opentelemetry.proto.collector.logs.v1.LogsService": Signal.LOGS,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": Signal.METRICS,
}
THREADS = 32
"""Requests in hand at once; each waits for its commit, which many share."""
DRAIN_SECONDS = 10.0
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,
}


def start(collector: Collector, address: str, max_body_bytes: int) -> tuple[grpc.Server, int]:
    """Serve the three services on `host:port` (0: any); return the server and its port.

    Raises   OSError when the address cannot be bound.
    """
    server = grpc.server(
        ThreadPoolExecutor(THREADS, thread_name_prefix="otlp-grpc"),
        options=[("grpc.max_receive_message_length", max_body_bytes), ("grpc.so_reuseport", 0)],
    )
    for service, told in SERVICES.items():
        # No deserializer: the collector reads the bytes itself, so one bad string does not refuse a whole body.
        handler = grpc.unary_unary_rpc_method_handler(_exporter(collector, told, max_body_bytes))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as fault:
        raise OSError(f"OTLP/gRPC cannot listen on {address}: {fault}. Choose another with --grpc-port.") from fault
    server.start()
    return server, port


def _exporter(collector: Collector, told: Signal, limit: int) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def export(body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            if len(body) > limit:
                raise TooLarge(limit, "inflated")
            project_id = _project_of(context)
            with collector.hold(project_id, len(body)) as held:
                # Of large bodies, few at a time: decoding takes many times their memory.
                receipt = (
                    collector.decoders.submit(collector.submit, body, "protobuf", told, project_id, held=held)
                    .result()
                    .result()
                )
            return export_response(told, "protobuf", receipt)
        except JevonsError as fault:
            _abort(context, fault)
            raise
        except (SQLAlchemyError, psycopg.Error) as fault:
            if is_unavailable(fault):
                _abort(context, StoreUnavailable(fault))
            log.exception("Export of %s failed", told)
            context.abort(grpc.StatusCode.INTERNAL, "an error of ours; the server's log has the details")
            raise

    return export


def _project_of(context: grpc.ServicerContext) -> int:
    metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
    who = principals.principal_from(
        metadata.get("authorization"), metadata.get("x-api-key"), metadata.get(principals.PROJECT_HEADER), None
    )
    if who.role == "viewer":
        raise principals.Forbidden(f"{who.actor} may only read; sending telemetry needs a key of scope ingest.")
    return who.project_id


def _abort(context: grpc.ServicerContext, fault: JevonsError) -> None:
    """End the call with a code; where a later attempt may succeed, with RetryInfo, without which exporters give up."""
    code = _CODES.get(fault.status, grpc.StatusCode.INTERNAL)
    if isinstance(fault, Overloaded | StoreUnavailable):
        if isinstance(fault, Overloaded):
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=fault.retry_after_seconds)))
        status = Status(code=code.value[0], message=str(fault), details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, str(fault))


def serve() -> None:
    """Serve on the settings' address until SIGTERM or SIGINT; what was received is committed before the end."""
    from app.routes.otlp import make_collector
    from app.service import announce

    settings = wiring.current().settings
    collector = make_collector(settings)
    collector.start()
    server, _ = start(collector, f"{settings.host}:{settings.grpc_port}", settings.max_body_bytes)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    announce()
    stop.wait()
    server.stop(DRAIN_SECONDS).wait()
    collector.stop()
    wiring.current().close()
