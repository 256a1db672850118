"""Answers to OTLP senders: the responses of the three services, in the encoding they ask for."""

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from app.receipts import Receipt, partial_success
from ingest.otlp import Encoding
from models.core.vocabulary import Signal

_RESPONSES = {
    Signal.TRACES: (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans", "spans"),
    Signal.LOGS: (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords", "log records"),
    Signal.METRICS: (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints", "data points"),
}


def export_response(signal: Signal, encoding: Encoding, receipt: Receipt) -> bytes:
    """The body of a success: empty when all was taken, else `partial_success` with the count and the reasons."""
    response, field, json_field, noun = _RESPONSES[signal]
    message = partial_success(receipt, noun)
    if encoding == "json":
        if not message:
            return b"{}"
        rejected = str(len(receipt.rejections))
        return orjson.dumps({"partialSuccess": {json_field: rejected, "errorMessage": message}})
    if not message:
        return b""
    partial = {field: len(receipt.rejections), "error_message": message}
    return response(partial_success=partial).SerializeToString()
