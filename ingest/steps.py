"""What agents did, step by step: tool runs and agent runs out of spans, and the calls derived from them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ingest.dialects.shape import shape_of
from models.core.telemetry import Call, Span
from models.core.vocabulary import INPUT_BUCKETS, OUTPUT_BUCKETS, CallStatus, Signal
from models.costs.steps import Step, says_its_work
from models.costs.suspicion import TraceCounts, may_hold_a_pattern

_ARGUMENTS = ("jevons.arguments_hash", "jevons.input_hash")
"""Keyed hashes that the redaction leaves of a tool's arguments, or of its whole input."""
_RESULTS = ("jevons.result_hash", "jevons.output_hash")

LEAST_SPANS = 5
"""No pattern needs fewer."""
_KINDS = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "traceloop.span.kind",
    "ai.operationId",
    "langfuse.observation.type",
    "mlflow.spanType",
    "langsmith.span.kind",
)
_TOOL_WORDS = frozenset({"execute_tool", "tool", "ai.toolcall"})
_AGENT_WORDS = frozenset({"invoke_agent", "agent"})
_TOOL_NAMES = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "traceloop.entity.name", "tool_name")
_AGENT_NAMES = ("gen_ai.agent.name", "agent.name", "agent_name", "graph.node.id")
_PROGRESS = ("progress", "gen_ai.tool.progress", "jevons.progress")
_TOOL_PREFIX = re.compile(r"^(?:execute_tool|running tool:?|tool)\s+", re.IGNORECASE)


def steps_of_trace(
    spans: Sequence[Span], calls: Iterable[Call], costs: Mapping[bytes, Decimal | None] | None = None
) -> list[Step]:
    """The steps of one trace in the order in which they ended.

    Shapes   spans of a trace, the calls derived from them, effective cost by span id of the call → steps.
    Once     a tool run that two instrumentations describe, one span inside the other, is one step.
    Agents   the span's own word; else its nearest ancestor's; else the agent of the calls below that ancestor.
    """
    by_id = {span.span_id: span for span in spans if span.signal is Signal.TRACES}
    made = sorted(calls, key=lambda call: call.end_ns)
    below = _agents_below(made, by_id)
    steps = list[Step]()
    for call in made:
        span = by_id.get(call.span_id)
        agent = call.agent or (_agent_of(span, by_id, below) if span else None)
        steps.append(_call_step(call, agent, (costs or {}).get(call.span_id)))
    for span in by_id.values():
        word = _word(span)
        if word in _TOOL_WORDS and not _is_inside_same_tool(span, by_id):
            steps.append(_tool_step(span, _agent_of(span, by_id, below)))
        elif word in _AGENT_WORDS:
            steps.append(_agent_step(span, by_id))
    return sorted(steps, key=lambda step: (step.end_ns, step.start_ns, step.span_id))


def worth_watching(spans: Iterable[Span], calls: Iterable[Call]) -> list[bytes]:
    """The traces in which a detector could find a pattern.

    Shapes   spans of any traces and the calls derived from them → trace ids, sorted.
    """
    spans_of: dict[bytes, list[Span]] = {}
    for span in spans:
        spans_of.setdefault(span.trace_id, []).append(span)
    calls_of: dict[bytes, list[Call]] = {}
    for call in calls:
        calls_of.setdefault(call.trace_id, []).append(call)
    return sorted(
        trace_id
        for trace_id, members in spans_of.items()
        if len(members) >= LEAST_SPANS and _is_suspicious(members, calls_of.get(trace_id, ()))
    )


def _is_suspicious(spans: Iterable[Span], calls: Iterable[Call]) -> bool:
    """Whether the steps of one trace could hold a pattern; False is certain, at a fraction of the cost of the steps."""
    counts = TraceCounts()
    for span in spans:
        if span.signal is not Signal.TRACES:
            continue
        word = _word(span)
        if word in _TOOL_WORDS:
            tool, arguments = _tool_name(span), _first(span.attributes, _ARGUMENTS)
            if arguments is not None or says_its_work(tool):
                counts.tools[tool, arguments] = counts.tools.get((tool, arguments), 0) + 1
        elif word in _AGENT_WORDS:
            name = _first(span.attributes, _AGENT_NAMES) or span.name
            counts.agents += name.count("/") + 1
    seen: set[Any] = set()
    for call in calls:
        counts.requests += 1
        counts.depth = max(counts.depth, call.agent_path.count("/") + 1 if call.agent_path else 0)
        same = (call.model, call.tokens.known_total)
        counts.bad_requests += call.status is CallStatus.ERROR or same in seen
        seen.add(same)
    return may_hold_a_pattern(counts)


def _word(span: Span) -> str:
    """The most telling word about what a span is: a tool run, an agent run, or something else."""
    attributes = span.attributes
    for key in shape_of(attributes).present(_KINDS):
        word = _telling(str(attributes[key]))
        if word:
            return word
    return ""


@lru_cache(maxsize=1024)
def _telling(told: str) -> str:
    word = told.strip('"').lower()
    return word if word in _TOOL_WORDS or word in _AGENT_WORDS else ""


def _tool_name(span: Span) -> str:
    told = _first(span.attributes, _TOOL_NAMES)
    return told or _TOOL_PREFIX.sub("", span.name)


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in shape_of(attributes).present(names):
        value = attributes[name]
        if value not in (None, ""):
            return str(value).strip('"')
    return None


def _ancestors(span: Span, by_id: Mapping[bytes, Span]) -> Iterable[Span]:
    seen = {span.span_id}
    parent = by_id.get(span.parent_span_id) if span.parent_span_id else None
    # Ids come from outside: a span that is its own ancestor must not hold the worker for ever.
    while parent is not None and parent.span_id not in seen:
        seen.add(parent.span_id)
        yield parent
        parent = by_id.get(parent.parent_span_id) if parent.parent_span_id else None


def _is_inside_same_tool(span: Span, by_id: Mapping[bytes, Span]) -> bool:
    name = _tool_name(span)
    return any(_word(above) in _TOOL_WORDS and _tool_name(above) == name for above in _ancestors(span, by_id))


def _agents_below(calls: Sequence[Call], by_id: Mapping[bytes, Span]) -> dict[bytes, str | None]:
    """For each span, the agent of the last call somewhere below it."""
    below: dict[bytes, str | None] = {}
    for call in calls:
        span = by_id.get(call.span_id)
        if span is not None:
            below.update((above.span_id, call.agent) for above in _ancestors(span, by_id))
    return below


def _agent_of(span: Span, by_id: Mapping[bytes, Span], below: Mapping[bytes, str | None]) -> str | None:
    own = _first(span.attributes, _AGENT_NAMES)
    if own:
        return own
    found = (_first(above.attributes, _AGENT_NAMES) or below.get(above.span_id) for above in _ancestors(span, by_id))
    return next((name for name in found if name), None)


def _call_step(call: Call, agent: str | None, cost: Decimal | None) -> Step:
    def known(buckets: Sequence[Any]) -> int | None:
        counts = [count for bucket in buckets if (count := call.tokens.get(bucket)) is not None]
        return sum(counts) if counts else None

    return Step(
        trace_id=call.trace_id,
        span_id=call.span_id,
        start_ns=call.start_ns,
        end_ns=call.end_ns,
        operation=call.operation,
        failed=call.status is CallStatus.ERROR,
        agent=agent,
        agent_path=call.agent_path,
        model=call.model,
        input_tokens=known(INPUT_BUCKETS),
        output_tokens=known(OUTPUT_BUCKETS),
        cost=cost,
    )


def _tool_step(span: Span, agent: str | None) -> Step:
    attributes = span.attributes
    progress = next((attributes[name] for name in _PROGRESS if isinstance(attributes.get(name), int | float)), None)
    return Step(
        trace_id=span.trace_id,
        span_id=span.span_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        operation="execute_tool",
        failed=span.status == "error" or "error.type" in attributes,
        agent=agent,
        tool=_tool_name(span),
        arguments_hash=_first(attributes, _ARGUMENTS),
        result_hash=_first(attributes, _RESULTS),
        progress=None if progress is None else float(progress),
    )


def _agent_step(span: Span, by_id: Mapping[bytes, Span]) -> Step:
    names = [
        _first(one.attributes, _AGENT_NAMES) or one.name
        for one in (span, *_ancestors(span, by_id))
        if _word(one) in _AGENT_WORDS
    ]
    return Step(
        trace_id=span.trace_id,
        span_id=span.span_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        operation="invoke_agent",
        failed=span.status == "error",
        agent=names[0],
        agent_path="/".join(reversed(names)),
    )
