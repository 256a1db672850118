"""Traces as trees: spans depth first, each with what it cost itself and with all below it."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from models.core.queries import TRACES_AMONG, SpanNode, TraceTree
from models.core.telemetry import Span
from models.core.time import utc_of_ns
from models.store.call_pages import calls_of_trace
from models.store.engine import PLANNED_ANEW
from models.store.telemetry import load_spans

ROLES = {"rollup": "rollup", "duplicate": "duplicate"}


def trace_tree(connection: Connection, project_id: int, trace_id: bytes) -> TraceTree | None:
    """The span tree of one trace, or None where nothing of it is stored.

    A span without a known parent is a root. Costs are sums over what is priced; null where nothing below is.
    """
    spans = load_spans(connection, project_id, [trace_id])
    if not spans:
        return None
    name: str = connection.execute(
        text("SELECT name FROM projects WHERE id = :project_id"), {"project_id": project_id}
    ).scalar_one()
    calls = {bytes.fromhex(call["span_id"]): call for call in calls_of_trace(connection, project_id, trace_id)}
    why = {
        bytes(row.span_id): row.why
        for row in connection.execute(
            text("SELECT span_id, why FROM suppressions WHERE project_id = :project_id AND trace_id = :trace_id"),
            {"project_id": project_id, "trace_id": trace_id},
        )
    }
    nodes = _depth_first(spans)
    own = {span.span_id: _cost(calls.get(span.span_id)) for span in spans}
    below = dict(own)
    for span, _ in reversed(nodes):
        parent = span.parent_span_id
        if parent in below and below[span.span_id] is not None and parent != span.span_id:
            below[parent] = (below[parent] or Decimal(0)) + (below[span.span_id] or Decimal(0))
    known = [cost for cost in own.values() if cost is not None]
    return TraceTree(
        project=name,
        trace_id=trace_id.hex(),
        start=utc_of_ns(min(span.start_ns for span in spans)),
        end=utc_of_ns(max(span.end_ns for span in spans)),
        spans=[
            _node(span, depth, calls.get(span.span_id), why.get(span.span_id), own[span.span_id], below[span.span_id])
            for span, depth in nodes
        ],
        calls=len(calls),
        effective_cost=sum(known, Decimal(0)) if known else None,
        unpriced_calls=sum(_cost(call) is None for call in calls.values()),
    )


def costly_traces(
    connection: Connection, project_id: int, start: datetime, end: datetime, limit: int
) -> Sequence[TraceTree]:
    """The costliest traces among the newest TRACES_AMONG calls of the period, without their spans."""
    bounds = "month >= :first_month AND month <= :last_month"
    charged = (
        "FROM charges c WHERE c.project_id = :project_id AND c.charge_class = 'usage' AND c.superseded_at IS NULL "
        f"AND c.end_at >= :start AND c.end_at < :end AND c.{bounds.replace('AND month', 'AND c.month')}"
    )
    rows = connection.execute(
        text(
            "SELECT t.*, p.name, ARRAY(SELECT DISTINCT a.agent FROM attributions a WHERE a.project_id = :project_id "
            "AND a.attribution_id = ANY(t.attributed) AND a.agent IS NOT NULL ORDER BY 1) AS agents, "
            # A charge knows when its call ended only.
            "(SELECT min(c.start_ns) FROM calls c WHERE c.project_id = :project_id AND c.trace_id = t.origin_id "
            f"AND {bounds}) AS start_ns FROM ("
            "SELECT origin_id, sum(effective_cost) AS cost, max(end_at) AS last FROM (SELECT c.origin_id, "
            f"c.effective_cost, c.end_at {charged} ORDER BY c.end_at DESC LIMIT :most) newest "
            "GROUP BY origin_id ORDER BY cost DESC NULLS LAST, last DESC LIMIT :limit) found, "
            # All of a trace, also what had ended before the newest calls.
            "LATERAL (SELECT found.origin_id, min(c.end_at) AS first, max(c.end_at) AS last, count(*) AS calls, "
            "sum(c.effective_cost) AS cost, count(*) FILTER (WHERE c.price_status = 'unpriced') AS unpriced, "
            f"array_agg(DISTINCT c.attribution_id) AS attributed {charged} AND c.origin_id = found.origin_id) t "
            "JOIN projects p ON p.id = :project_id ORDER BY t.cost DESC NULLS LAST, t.last DESC"
        ),
        {
            "project_id": project_id,
            "start": start,
            "end": end,
            "first_month": start.date().replace(day=1),
            "last_month": end.date(),
            "limit": limit,
            "most": TRACES_AMONG,
        },
        execution_options=PLANNED_ANEW,
    )
    return [
        TraceTree(
            project=row.name,
            trace_id=bytes(row.origin_id).hex(),
            start=row.first if row.start_ns is None else utc_of_ns(row.start_ns),
            end=row.last,
            spans=(),
            calls=row.calls,
            effective_cost=row.cost,
            unpriced_calls=row.unpriced,
            agents=row.agents,
        )
        for row in rows
    ]


def _depth_first(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    by_id = {span.span_id: span for span in spans}
    children: dict[bytes | None, list[Span]] = {}
    for span in sorted(by_id.values(), key=lambda span: (span.start_ns, span.end_ns, span.span_id)):
        parent = span.parent_span_id if span.parent_span_id in by_id and span.parent_span_id != span.span_id else None
        children.setdefault(parent, []).append(span)
    ordered: list[tuple[Span, int]] = []
    seen: set[bytes] = set()

    def walk(roots: Sequence[Span]) -> None:
        waiting = [(span, 0) for span in reversed(roots)]
        while waiting:
            span, depth = waiting.pop()
            if span.span_id not in seen:
                seen.add(span.span_id)
                ordered.append((span, depth))
                waiting.extend((child, depth + 1) for child in reversed(children.get(span.span_id, ())))

    walk(children.get(None, ()))
    # Spans that name one another as parents hang below no root: each such circle starts at its earliest span.
    for span in sorted(by_id.values(), key=lambda span: span.start_ns):
        if span.span_id not in seen:
            walk([span])
    return ordered


def _cost(call: Any) -> Decimal | None:
    cost = call["charge"]["effective_cost"] if call and call["charge"] else None
    return None if cost is None else Decimal(cost)


def _node(span: Span, depth: int, call: Any, why: str | None, own: Decimal | None, below: Decimal | None) -> SpanNode:
    return SpanNode(
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex() if span.parent_span_id else None,
        depth=depth,
        name=span.name,
        signal=span.signal.value,
        start=utc_of_ns(span.start_ns),
        end=utc_of_ns(span.end_ns),
        status=span.status,
        instrumentation=span.instrumentation,
        agent=call["agent"] if call else None,
        role="call" if call else ROLES.get(why or "", "span") if why is None or why in ROLES else "duplicate",
        call=call,
        self_cost=own,
        inclusive_cost=below,
    )
