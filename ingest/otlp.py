"""OTLP bodies become spans and rejections, whatever the signal and the encoding."""

from dataclasses import dataclass, field
from typing import Literal

from ingest import otlp_json, otlp_protobuf
from ingest.otlp_records import ANY_TIME, Window
from ingest.otlp_values import AttributeReader
from models.core.telemetry import Rejection, Span
from models.core.vocabulary import Signal

Encoding = Literal["protobuf", "json"]

_READERS = {
    ("protobuf", Signal.TRACES): otlp_protobuf.read_traces,
    ("protobuf", Signal.LOGS): otlp_protobuf.read_logs,
    ("protobuf", Signal.METRICS): otlp_protobuf.read_metrics,
    ("json", Signal.TRACES): otlp_json.read_traces,
    ("json", Signal.LOGS): otlp_json.read_logs,
    ("json", Signal.METRICS): otlp_json.read_metrics,
}


@dataclass(slots=True)
class Decoded:
    """What a body said: records that can be kept, and those that cannot, with position and reason."""

    spans: list[Span] = field(default_factory=list[Span])
    rejections: list[Rejection] = field(default_factory=list[Rejection])


def decode(
    body: bytes,
    content_type: Encoding,
    signal: Signal,
    *,
    reader: AttributeReader | None = None,
    window: Window = ANY_TIME,
) -> Decoded:
    """Read one Export…ServiceRequest body.

    Shapes   n records → k spans and n − k rejections, each list in the order of the body.
    Adds     nothing is dropped unless `reader` redacts; pass one reader for many bodies, it remembers attributes.
    Raises   BadInput (UnparsableProtobuf, UnparsableJson) when the body as a whole cannot be read.
    Source   OTLP 1.x, protobuf and JSON encodings.
    """
    decoded = Decoded()
    read = _READERS[content_type, signal]
    read(body, AttributeReader() if reader is None else reader, window, decoded.spans, decoded.rejections)
    return decoded
