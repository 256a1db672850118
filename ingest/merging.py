"""Descriptions of one request become one call: each quantity from whoever knows it best, with its provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingest.attribution import Attributor
from ingest.dialects.base import Reading
from ingest.dialects.providers import plain_model, provider_of_host
from ingest.provider_bodies import served_tier
from ingest.requests import Request, order_of
from ingest.usage import Combined, Usage, combine
from models.core.telemetry import Call, TokenCounts
from models.core.vocabulary import BUCKETS, CACHE_WRITE_BUCKETS, READ_FROM_CACHE, CallStatus, Signal, UsageSource

_ORIGINS = {
    "input": ("input",),
    "cache_read": ("cache_read",),
    "cache_write_5m": ("cache_write_5m", "cache_write"),
    "cache_write_1h": ("cache_write_1h", "cache_write"),
    "cache_write_unknown": ("cache_write",),
    "tool_use_input": ("tool_use",),
    "output": ("output",),
    "reasoning": ("reasoning",),
}
_NOTHING = TokenCounts(**{bucket.value: 0 for bucket in BUCKETS})


def call_of(request: Request, attributor: Attributor) -> Call:
    """One request as one call.

    Shapes   n ≥ 1 readings of one request → 1 call; the description that names agents gives the call its ids.
    Adds     tokens are None where nothing was told, and 0 in every bucket where the provider refused the request.
    """
    readings = sorted(request.readings, key=_naming) if len(request.readings) > 1 else request.readings
    combined = combine([usage for reading in readings for usage in reading.usages])
    refused = _is_refused(readings) and combined.tokens.is_absent
    tokens = _NOTHING if refused else combined.tokens
    return _call(request, readings, combined, tokens, _source(readings, tokens, refused), attributor)


def residue_of(request: Request, below: Sequence[Sequence[Reading]], attributor: Attributor) -> Call:
    """What a model operation used beyond the requests inside it, as a call of its own.

    Shapes   1 request, and n ≥ 1 requests inside it as the readings of each → 1 call.
    """
    readings = sorted(request.readings, key=_naming) if len(request.readings) > 1 else request.readings
    combined = combine([usage for reading in readings for usage in reading.usages])
    inside = [sorted(each, key=_naming) for each in below]
    parts = [combine([usage for reading in each for usage in reading.usages]) for each in inside]
    tokens = tokens_beyond(combined.tokens, [part.tokens for part in parts])
    call = _call(request, readings, combined, tokens, UsageSource.PARTIAL, attributor)
    carried = [_details(part, _joined(each)) for part, each in zip(parts, inside, strict=True)]
    return replace(
        call,
        details=_details_beyond(call.details, carried),
        provenance={**call.provenance, "residue": {"of": [each[0].span.span_id.hex() for each in inside]}},
    )


def tokens_beyond(whole: TokenCounts, parts: Sequence[TokenCounts]) -> TokenCounts:
    """What a whole counts beyond its parts: first each side of the request, then the buckets that both tell apart.

    Shapes   1 × n sets of counts → 1; on a side where the whole is the larger, parts + residue = whole.
    Adds     what only one of them tells apart (cached tokens, the lifetime of writes, reasoning) lies in the other's
             `input`, `cache_write_unknown` or `output` and is taken from there. A bucket that the whole does not tell
             stays None, and what the parts count in it is not taken from the others: they do not contain it.
    """
    over = {
        bucket.value: count - sum(part.get(bucket) or 0 for part in parts)
        for bucket in BUCKETS
        if (count := whole.get(bucket)) is not None
    }
    written = {bucket.value: over.pop(bucket.value) for bucket in CACHE_WRITE_BUCKETS if bucket.value in over}
    if written:
        over["cache_write"] = sum(written.values())
    found = _side_beyond(over, ("cache_read", "cache_write", "tool_use_input"), "input")
    found |= _side_beyond(over, ("reasoning",), "output")
    if written:
        rest = found.pop("cache_write")
        is_alike = min(written.values()) >= 0 and sum(written.values()) == rest
        found |= written if is_alike else {**dict.fromkeys(written, 0), "cache_write_unknown": rest}
    return TokenCounts(**found)


def _side_beyond(over: Mapping[str, int], apart: Sequence[str], container: str) -> dict[str, int]:
    """One side: what is told apart as far as the side's residue goes, and the rest in what contains it."""
    names = [name for name in (*apart, container) if name in over]
    rest = max(sum(over[name] for name in names), 0)
    found: dict[str, int] = {}
    for name in names:
        found[name] = rest if name == container else min(max(over[name], 0), rest)
        rest -= found[name]
    return found


def _details_beyond(whole: Mapping[str, int], parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts beside the buckets that no part carries already; a 0 that the whole tells stays told."""
    # Audio that the whole does not tell to be fresh or cached contains both of the parts'.
    contained = {fresh.value: cached.value for fresh, cached in READ_FROM_CACHE.items() if cached.value not in whole}
    found: dict[str, int] = {}
    for name, count in whole.items():
        rest = count - sum(part.get(each, 0) for part in parts for each in {name, contained.get(name, name)})
        if rest > 0 or count == 0:
            found[name] = max(rest, 0)
    return found


def _naming(reading: Reading) -> tuple[Any, ...]:
    """The naming description first: spans before logs, frameworks before clients, the outer before the inner."""
    span = reading.span
    return (span.signal is not Signal.TRACES, reading.rank, span.start_ns, -span.end_ns, *order_of(reading)[2:])


def _call(
    request: Request,
    readings: Sequence[Reading],
    combined: Combined,
    tokens: TokenCounts,
    source: UsageSource,
    attributor: Attributor,
) -> Call:
    first = readings[0]
    owner = attributor.owner_of([reading.span for reading in readings])
    told = first if len(readings) == 1 else _joined(readings)
    start_ns, end_ns = _times(readings)
    return Call(
        trace_id=first.span.trace_id,
        span_id=first.span.span_id,
        start_ns=start_ns,
        end_ns=end_ns,
        status=CallStatus.ERROR if _is_error(readings, tokens) else CallStatus.OK,
        provider=told.provider or None,
        model=told.model if len(readings) > 1 else plain_model(first.model, first.provider) or None,
        request_model=told.request_model or None,
        operation=first.operation,
        instrumentation=first.span.instrumentation,
        tokens=tokens,
        usage_source=source,
        convention=combined.convention,
        convention_reason=combined.reason,
        details=_details(combined, told),
        agent=owner.agent,
        agent_path=owner.agent_path,
        task=owner.task,
        session=owner.session,
        user=owner.user,
        team=owner.team,
        cost_center=owner.cost_center,
        environment=owner.environment,
        service=owner.service,
        tags=dict(sorted(owner.tags.items())) if owner.tags else {},
        inferred=tuple(sorted(owner.inferred)) if owner.inferred else (),
        response_id=told.response_ids[0] if told.response_ids else None,
        service_tier=told.service_tier or None,
        region=told.region or None,
        server_address=told.server_address or None,
        reported_cost=told.reported_cost,
        provenance=_provenance(request, combined, readings),
        agents=told.agents,
        described_by=_described_by(readings),
    )


def _joined(readings: Sequence[Reading]) -> Reading:
    """Several readings of one request as one: every fact from the description that knows it best."""
    wire = sorted(readings, key=lambda reading: (-reading.rank, order_of(reading)))
    provider = _provider(wire)
    return replace(
        readings[0],
        provider=provider,
        model=_served_model(readings, wire, provider),
        request_model=next((r.request_model for r in readings if r.request_model), None),
        response_ids=next((r.response_ids for r in wire if r.response_ids), ()),
        service_tier=served_tier(*(r.service_tier for r in wire)),
        region=next((r.region for r in wire if r.region), None),
        server_address=next((r.server_address for r in wire if r.server_address), None),
        reported_cost=next((r.reported_cost for r in readings if r.reported_cost is not None), None),
        anatomy=_anatomy(wire),
        agents=next((r.agents for r in readings if r.agents), ()),
    )


def _times(readings: Sequence[Reading]) -> tuple[int, int]:
    """From the first start to the last end of the spans; of log records only where there is no span."""
    if len(readings) == 1:
        return readings[0].span.start_ns, readings[0].span.end_ns
    spans = [reading.span for reading in readings]
    timed = [span for span in spans if span.signal is Signal.TRACES] or spans
    return min(span.start_ns for span in timed), max(span.end_ns for span in timed)


def _described_by(readings: Sequence[Reading]) -> tuple[bytes, ...]:
    first = readings[0].span.span_id
    if len(readings) == 1:
        return (first,)
    return (first, *sorted({reading.span.span_id for reading in readings} - {first}))


def _details(combined: Combined, told: Reading) -> dict[str, int]:
    """Counts priced apart where there are some, and what the request was made of, 0 included."""
    return {**combined.details, **told.anatomy}


def _anatomy(wire: Sequence[Reading]) -> dict[str, int]:
    """Each count from the description closest to the wire that tells it; 0 is a statement."""
    found: dict[str, int] = {}
    for reading in reversed(wire):
        found.update(reading.anatomy)
    return dict(sorted(found.items()))


def _provider(wire: Sequence[Reading]) -> str | None:
    """The host that answered decides; then the client closest to the wire."""
    for reading in wire:
        if provider_of_host(reading.server_address):
            return reading.provider
    return next((reading.provider for reading in wire if reading.provider), None)


def _served_model(readings: Sequence[Reading], wire: Sequence[Reading], provider: str | None) -> str | None:
    """The model that answered: a name nobody asked for tells most, and the client closest to the wire knows it best.

    Some instrumentations put the served name where others put the requested one, so a dated name beats its alias.
    """
    asked = {plain_model(reading.request_model, provider) for reading in readings}
    told = [plain for reading in wire if (plain := plain_model(reading.model, provider))]
    if not told:
        return None
    best = next((model for model in told if model not in asked), told[0])
    return next((model for model in told if model.startswith(best + "-")), best)


def _is_refused(readings: Sequence[Reading]) -> bool:
    return any(reading.is_refused for reading in readings)


def _is_error(readings: Sequence[Reading], tokens: TokenCounts) -> bool:
    """A request failed when a description says so and nobody counted an answer."""
    return any(reading.is_error for reading in readings) and not (tokens.output or tokens.reasoning)


def _source(readings: Sequence[Reading], tokens: TokenCounts, refused: bool) -> UsageSource:
    if refused or tokens.is_absent:
        return UsageSource.ABSENT
    counted = [reading for reading in readings if reading.has_usage]
    if tokens.output is None and readings[0].operation != "embeddings":
        return UsageSource.PARTIAL
    trusted = [reading for reading in counted if not reading.is_estimated]
    if any(reading.is_partial for reading in readings) or _left_out(readings) is not None:
        return UsageSource.PARTIAL
    return UsageSource.REPORTED if trusted else UsageSource.ESTIMATED


def _left_out(readings: Sequence[Reading]) -> Usage | None:
    """The description that tells of other models inside the request."""
    return next((usage for reading in readings for usage in reading.usages if usage.left_out), None)


def _provenance(request: Request, combined: Combined, readings: Sequence[Reading]) -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for bucket, quantities in _ORIGINS.items():
        for quantity in quantities:
            if quantity in combined.origins:
                span_id, attribute, value = combined.origins[quantity]
                found[bucket] = {"span_id": span_id.hex(), "attribute": attribute, "value": value}
                break
    if request.matches:
        found["match"] = {"how": list(request.matches)}
    if combined.disagreements:
        found["disagreement"] = {"on": list(combined.disagreements)}
    aside = _left_out(readings)
    if aside is not None:
        found["left_out"] = {
            "span_id": aside.span_id.hex(),
            "attribute": aside.origins.get("left_out", "left_out"),
            "value": "; ".join(aside.left_out),
            "why": "requests to other models inside this one: nothing here prices them",
        }
    made_up = next((usage for reading in readings for usage in reading.unbelieved), None)
    if made_up is not None and combined.tokens.is_absent:
        told = [name for name in ("input", "output", "total") if getattr(made_up, name) is not None]
        found["unbelieved"] = {
            "span_id": made_up.span_id.hex(),
            "attribute": ", ".join(made_up.origins.get(name, name) for name in told),
            "value": ", ".join(str(getattr(made_up, name)) for name in told),
            "usage_source": UsageSource.ESTIMATED.value,
            "why": "made up by the instrumentation: the stream told no usage",
        }
    return found
