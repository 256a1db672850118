"""What the cost routes have in common: periods, filters and pages as they come in, rows as they go out."""

from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Response

from app.auth import Principal
from models.core.errors import BadInput
from models.core.money import plain
from models.core.queries import CostQuery, CostRow, Costs, SpanNode, TraceTree
from models.core.time import rfc3339
from models.core.vocabulary import BUCKETS, CostBasis, Granularity

TAG = "tag:"


def json_response(body: Any) -> Response:
    """A JSON answer; times as RFC 3339."""
    return Response(orjson.dumps(body, default=_default), media_type="application/json")


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(type(value).__name__)


def period(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """The half-open period asked for; by default this UTC month so far. A time without an offset is UTC.

    Raises   BadInput where it is empty.
    """
    until = _utc(end) if end is not None else datetime.now(UTC)
    since = _utc(start) if start is not None else until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if since >= until:
        reason = f"start {rfc3339(since)} is not before end {rfc3339(until)}; periods are half-open [start, end)"
        raise BadInput(reason, [{"field": "start", "reason": reason}])
    return since, until


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def dimensions(text: str | None) -> tuple[str, ...]:
    """Comma-separated names of dimensions."""
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def filters(texts: list[str] | None) -> tuple[tuple[str, str | None], ...]:
    """`dim:value` each, `tag:KEY:value` for tags; nothing after the colon finds what has no value.

    Raises   BadInput for a text without a colon, or with NUL.
    """
    found: list[tuple[str, str | None]] = []
    for text in texts or ():
        tag, rest = (TAG, text.removeprefix(TAG)) if text.startswith(TAG) else ("", text)
        name, colon, value = rest.partition(":")
        if not colon or not name or "\x00" in text:
            reason = f"{text!r} is not written dimension:value (tag:KEY:value for a tag; nothing after the colon: none)"
            raise BadInput(reason, [{"field": "filter", "reason": reason}])
        found.append((tag + name, value or None))
    return tuple(found)


def cost_query(
    who: Principal,
    start: datetime | None,
    end: datetime | None,
    group_by: tuple[str, ...],
    filter_texts: list[str] | None,
    basis: CostBasis,
    limit: int,
    cursor: str | None,
    granularity: Granularity = Granularity.NONE,
) -> CostQuery:
    """The question, over the projects the principal may see, narrowed by `project` filters.

    Raises   BadInput.
    """
    since, until = period(start, end)
    chosen = filters(filter_texts)
    return CostQuery(
        projects=visible(who, chosen),
        start=since,
        end=until,
        group_by=group_by,
        granularity=granularity,
        filters=chosen,
        basis=basis,
        limit=limit,
        cursor=cursor,
    )


def visible(who: Principal, chosen: tuple[tuple[str, str | None], ...]) -> tuple[int, ...]:
    """Ids of the projects that may be seen and are asked for."""
    named = {value for name, value in chosen if name == "project"}
    return tuple(project.id for project in who.projects if not named or project.name in named)


def costs_json(costs: Costs) -> dict[str, Any]:
    """The contract's answer of `/api/v1/costs`."""
    query = costs.query
    return {
        "currency": costs.currency,
        "start": query.start,
        "end": query.end,
        "basis": query.basis.value,
        "rows": [row_json(row, timed=query.granularity != Granularity.NONE) for row in costs.rows],
        "totals": row_json(costs.totals, timed=False, tasks=False),
        "priced_through": costs.priced_through,
        "next_cursor": costs.next_cursor,
    }


def row_json(row: CostRow, *, timed: bool, tasks: bool = True) -> dict[str, Any]:
    """One group: its keys beside its sums. Money as exact decimal strings."""
    return {
        **row.keys,
        **({"time": row.time} if timed else {}),
        "calls": row.calls,
        "errors": row.errors,
        **({"tasks": row.tasks} if tasks else {}),
        "tokens": {bucket.value: row.tokens.get(bucket.value, 0) for bucket in BUCKETS},
        "list_cost": plain(row.list_cost),
        "billed_cost": plain(row.billed_cost),
        "effective_cost": plain(row.effective_cost),
        "cache_savings": plain(row.cache_savings),
        "unpriced_calls": row.unpriced_calls,
        "unpriced_tokens": row.unpriced_tokens,
    }


def tree_json(tree: TraceTree) -> dict[str, Any]:
    """A trace with its spans depth first."""
    return {
        "project": tree.project,
        "trace_id": tree.trace_id,
        "start": tree.start,
        "end": tree.end,
        "calls": tree.calls,
        "effective_cost": plain(tree.effective_cost),
        "unpriced_calls": tree.unpriced_calls,
        "spans": [_node_json(node) for node in tree.spans],
    }


def _node_json(node: SpanNode) -> dict[str, Any]:
    return {
        "span_id": node.span_id,
        "parent_span_id": node.parent_span_id,
        "depth": node.depth,
        "name": node.name,
        "signal": node.signal,
        "start": node.start,
        "end": node.end,
        "status": node.status,
        "instrumentation": node.instrumentation,
        "agent": node.agent,
        "role": node.role,
        "self_cost": plain(node.self_cost),
        "inclusive_cost": plain(node.inclusive_cost),
        "call": node.call,
    }
