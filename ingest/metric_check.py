"""Metrics as a check of calls: a service whose token metrics say more than its calls lacks spans or logs."""

from collections.abc import Iterable
from dataclasses import dataclass

from ingest.json_text import text_of
from ingest.provider_bodies import count
from models.core.telemetry import Call, Span
from models.core.vocabulary import Signal

_OUTPUT = {
    "gen_ai.client.token.usage": ("gen_ai.token.type", ("output", "completion")),
    "claude_code.token.usage": ("type", ("output",)),
    "codex.turn.token_usage": ("token_type", ("output",)),
    "gemini_cli.token.usage": ("type", ("output", "thought")),
}
"""Metric → the attribute that tells its parts apart, and the parts that are output.

Only output is compared: of input, metrics of one package contain cached tokens and those of another do not.
"""
_SHIFTED = "openlit"
"""OpenLIT up to 1.34 wrote values under each other's names; its metrics prove nothing."""
TOLERANCE = 0.01


@dataclass(slots=True, frozen=True)
class MetricGap:
    """Output tokens that a service's metrics tell and its calls do not."""

    service: str | None
    metric: str
    scope: str
    said: int
    counted: int

    @property
    def missing(self) -> int:
        """Tokens that no call accounts for."""
        return self.said - self.counted


def metric_gaps(spans: Iterable[Span], calls: Iterable[Call]) -> list[MetricGap]:
    """Services whose metrics say more output than their calls, the largest gap first.

    Shapes   records of all signals and the calls derived from them → one gap per service at most.
    Units    tokens of output with reasoning.
    Method   of a cumulative stream the last point, of a delta stream the sum; of several metrics that describe the
             same requests the largest.
    """
    streams: dict[tuple[str | None, str, str, bytes], dict[tuple[int, int], int]] = {}
    for span in spans:
        told = _OUTPUT.get(span.name) if span.signal is Signal.METRICS else None
        if told is None or span.scope_name.startswith(_SHIFTED):
            continue
        key, parts = told
        value = count(span.attributes.get("metric.sum", span.attributes.get("metric.value")))
        if value is None or text_of(span.attributes.get(key)) not in parts:
            continue
        begun = 0 if span.attributes.get("metric.temporality") == "delta" else span.start_ns
        moment = (span.end_ns, span.start_ns) if begun == 0 else (begun, 0)
        points = streams.setdefault((_service(span), span.name, span.scope_name, span.trace_id), {})
        # A cumulative stream restarts with a new beginning; within one beginning it only grows.
        points[moment] = max(points.get(moment, 0), value)
    said: dict[tuple[str | None, str, str], int] = {}
    for (service, name, scope, _), points in streams.items():
        said[service, name, scope] = said.get((service, name, scope), 0) + sum(points.values())
    counted: dict[str | None, int] = {}
    for call in calls:
        output = (call.tokens.output or 0) + (call.tokens.reasoning or 0)
        counted[call.service] = counted.get(call.service, 0) + output
    largest: dict[str | None, MetricGap] = {}
    for (service, name, scope), total in sorted(said.items(), key=lambda item: (item[1], item[0][1:])):
        largest[service] = MetricGap(service, name, scope, total, counted.get(service, 0))
    gaps = [gap for gap in largest.values() if gap.missing > TOLERANCE * gap.said]
    return sorted(gaps, key=lambda gap: (-gap.missing, gap.service or ""))


def _service(span: Span) -> str | None:
    return text_of(span.resource.get("service.name"))
