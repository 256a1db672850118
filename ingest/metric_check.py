"""Token metrics as a check of calls: what each stream adds per UTC day, whether it is exported as a sum or by steps."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from ingest.json_text import text_of
from ingest.provider_bodies import count
from models.core.metrics import MetricDay, MetricGap
from models.core.telemetry import Call, Span
from models.core.vocabulary import Signal
from models.costs.metric_gaps import gaps_of

_OUTPUT = {
    "gen_ai.client.token.usage": ("gen_ai.token.type", ("output", "completion")),
    "claude_code.token.usage": ("type", ("output",)),
    "codex.turn.token_usage": ("token_type", ("output",)),
    "gemini_cli.token.usage": ("type", ("output", "thought")),
}
"""Metric → the attribute that tells its parts apart, and the parts that are output.

Only output is compared: of input, metrics of one package contain cached tokens and those of another do not.
"""
_MODELS = ("gen_ai.response.model", "gen_ai.request.model", "model")
_SHIFTED = "openlit"
"""OpenLIT up to 1.34 wrote values under each other's names and invents counts of streams; its metrics prove nothing."""
_NS_PER_DAY = 86_400_000_000_000
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC).date()


def metric_days(spans: Iterable[Span]) -> list[MetricDay]:
    """What token metrics add per stream and day.

    Shapes   records of all signals → one row per stream and UTC day with output, in the order of their keys.
    Units    tokens of output with reasoning.
    Method   a cumulative stream adds what its last point of a day is above the last one before (a restart begins at
             0); a delta stream adds its points. The same point twice is once, and the order does not matter.
    """
    streams: dict[bytes, tuple[Span, dict[tuple[int, int], int]]] = {}
    for span in spans:
        told = _OUTPUT.get(span.name) if span.signal is Signal.METRICS else None
        if told is None or span.scope_name.startswith(_SHIFTED):
            continue
        key, parts = told
        value = count(span.attributes.get("metric.sum", span.attributes.get("metric.value")))
        if value is None or text_of(span.attributes.get(key)) not in parts:
            continue
        _, points = streams.setdefault(span.trace_id, (span, {}))
        moment = (span.start_ns, span.end_ns)
        points[moment] = max(points.get(moment, 0), value)
    days: list[MetricDay] = []
    for stream_id, (span, points) in sorted(streams.items()):
        is_delta = span.attributes.get("metric.temporality") == "delta"
        added = _steps(points) if is_delta else _growth(points)
        for day, (tokens, is_whole) in sorted(added.items()):
            days.append(
                MetricDay(
                    stream_id=stream_id,
                    day=_FIRST_DAY + timedelta(days=day),
                    service=text_of(span.resource.get("service.name")),
                    scope=span.scope_name,
                    metric=span.name,
                    model=next((text for key in _MODELS if (text := text_of(span.attributes.get(key)))), None),
                    output_tokens=tokens,
                    is_whole=is_whole,
                )
            )
    return days


def _steps(points: dict[tuple[int, int], int]) -> dict[int, tuple[int, bool]]:
    added: dict[int, tuple[int, bool]] = {}
    for (_, end_ns), value in points.items():
        day = end_ns // _NS_PER_DAY
        added[day] = (added.get(day, (0, True))[0] + value, True)
    return added


def _growth(points: dict[tuple[int, int], int]) -> dict[int, tuple[int, bool]]:
    added: dict[int, tuple[int, bool]] = {}
    beginnings: dict[int, list[tuple[int, int]]] = {}
    for (begun, end_ns), value in points.items():
        beginnings.setdefault(begun, []).append((end_ns, value))
    for begun, seen in beginnings.items():
        seen.sort()
        # A stream older than what is kept of it: its first point says how far it had come, not what was added.
        known = begun // _NS_PER_DAY >= seen[0][0] // _NS_PER_DAY - 1
        before = 0 if known else seen[0][1]
        for place, (end_ns, value) in enumerate(seen):
            day = end_ns // _NS_PER_DAY
            tokens, is_whole = added.get(day, (0, True))
            added[day] = (tokens + max(value - before, 0), is_whole and (known or place > 0))
            before = max(before, value)
    return added


def metric_gaps(spans: Iterable[Span], calls: Iterable[Call]) -> list[MetricGap]:
    """Services whose metrics say more output than their calls, over everything given."""
    counted: dict[tuple[str | None, str | None], int] = {}
    for call in calls:
        output = (call.tokens.output or 0) + (call.tokens.reasoning or 0)
        counted[call.service, call.model] = counted.get((call.service, call.model), 0) + output
    return gaps_of(metric_days(spans), counted)
