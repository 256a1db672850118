"""Calls as the API shows them: the contract's call with its charge, lines and provenance, newest first."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, text

from models.core.errors import BadInput
from models.core.money import plain
from models.core.queries import CallPage, CallQuery, CostQuery
from models.core.time import EPOCH, rfc3339, rfc3339_of_ns
from models.core.vocabulary import BUCKETS, NARROW_DIMENSIONS
from models.store.allocations import share_json, shares_of
from models.store.cost_sql import belonging, conditions, is_dimension, needs_unit
from models.store.cover import floor
from models.store.engine import PLANNED_ANEW
from models.store.prices import rate_sources

_COLUMNS = """
    c.project_id, c.trace_id, c.span_id, c.start_ns, c.end_ns, c.end_at, c.status, c.provider, c.model, c.request_model,
    c.operation, c.instrumentation, c.usage_source, c.convention, c.convention_reason, c.details, c.inferred,
    c.response_id, c.service_tier, c.region, c.server_address, c.reported_cost, c.provenance, c.described_by,
    c.agents
"""
_CHARGE = """
    h.charge_id, h.price_status, h.unpriced_reason, h.list_cost, h.billed_cost, h.effective_cost, h.uncached_cost,
    h.line_buckets, h.line_quantities, h.line_rate_ids, h.line_prices_per_m, h.line_list_costs, h.line_billed_rate_ids,
    h.line_billed_prices_per_m, h.line_billed_costs, h.line_effective_costs, h.line_assumptions, h.recorded_at,
    h.book_id
"""
# Looked up call by call: joined as tables, they would be paired with every unit of work first.
_CALL_OF = (
    "LATERAL (SELECT * FROM calls WHERE project_id = k.project_id AND trace_id = k.trace_id AND span_id = k.span_id "
    "AND month = k.month OFFSET 0)"
)
_CHARGE_OF = (
    "LATERAL (SELECT * FROM charges WHERE project_id = c.project_id AND origin_id = c.trace_id "
    "AND span_id = c.span_id AND month = c.month AND charge_class = 'usage' AND superseded_at IS NULL OFFSET 0)"
)
# Of the charge where there is one: it names the deployment that served the call.
_ATTRIBUTION_OF = (
    "LATERAL (SELECT * FROM attributions WHERE project_id = c.project_id "
    "AND attribution_id = coalesce(h.attribution_id, c.attribution_id) OFFSET 0)"
)
_UNIT_OF = "LATERAL (SELECT * FROM work_units WHERE project_id = c.project_id AND unit_id = c.unit_id OFFSET 0)"
_FROM = (
    f"calls c JOIN projects p ON p.id = c.project_id CROSS JOIN {_UNIT_OF} u "
    f"LEFT JOIN {_CHARGE_OF} h ON true CROSS JOIN {_ATTRIBUTION_OF} a"
)
EVER = datetime(9999, 12, 1, tzinfo=UTC)
_SELECT = (
    f"SELECT {_COLUMNS}, {_CHARGE}, p.name AS project, a.team, a.cost_center, a.environment, a.service, a.agent, "
    "a.agent_path, a.deployment, a.hardware, u.task, u.session, u.user_id, u.tags, "
    + ", ".join(f"c.{bucket.value} AS tokens_{bucket.value}" for bucket in BUCKETS)
    + f" FROM {_FROM}"
)


def answer_calls(connection: Connection, query: CallQuery) -> CallPage:
    """One page of calls, newest first.

    Raises   BadInput for an unknown dimension to filter by, or an unreadable cursor.
    """
    if bad := [name for name, _ in query.filters if not is_dimension(name) or name == "bucket"]:
        raise BadInput(
            f"calls cannot be filtered by {bad[0]!r}",
            [{"field": "filter", "reason": f"{name!r} is no dimension of a call"} for name in bad],
        )
    parameters: dict[str, Any] = {"projects": list(query.projects), "page": query.limit + 1}
    clauses = ["c.project_id = each.id"]
    for name, column, value in (
        ("trace_id", "c.trace_id =", query.trace_id),
        ("session", "u.session =", query.session),
        ("start", "c.end_at >=", query.start),
        ("end", "c.end_at <", query.end),
    ):
        if value is not None:
            parameters[name] = value
            clauses.append(f"{column} :{name}")
    for name, bound in (("start", query.start), ("end", query.end)):
        if bound is not None:
            parameters[f"{name}_month"] = bound.date().replace(day=1)
            clauses.append(f"c.month {'>=' if name == 'start' else '<='} :{name}_month")
    filters = (*query.filters, *([("agent", query.agent)] if query.agent is not None else []))
    if query.unpriced:
        clauses.append("h.price_status = 'unpriced'")
    shaped = CostQuery(projects=query.projects, start=query.start or EPOCH, end=query.end or EVER, filters=filters)
    clauses.append(conditions(shaped, parameters))
    if query.cursor is not None:
        parameters.update(zip(("last_at", "last_trace", "last_span"), _mark(query.cursor), strict=True))
        clauses.append("c.end_at <= :last_at")
        clauses.append("(c.end_at, c.trace_id, c.span_id) < (:last_at, :last_trace, :last_span)")
    used = {name for name, _ in filters}
    source = "calls c"
    if "project" in used:
        source += " JOIN projects p ON p.id = c.project_id"
    if query.session is not None or any(map(needs_unit, used)):
        source += " JOIN work_units u ON u.project_id = c.project_id AND u.unit_id = c.unit_id"
    if query.unpriced or any(name in NARROW_DIMENSIONS and name != "project" for name in used):
        source += f" LEFT JOIN {_CHARGE_OF} h ON true CROSS JOIN {_ATTRIBUTION_OF} a"
        if query.trace_id is None and (hours := _hours_with(connection, shaped, unpriced=query.unpriced)) is not None:
            parameters["hours"] = hours
            clauses.append("date_trunc('hour', c.end_at, 'UTC') = ANY(CAST(:hours AS timestamptz[]))")
    newest_first = "ORDER BY c.end_at DESC, c.trace_id DESC, c.span_id DESC"
    # Which calls these are first, and only then what is shown of them: joined whole, a month would be read for a page.
    # Project by project, so that an index gives them in their order.
    found = connection.execute(
        text(
            "WITH page AS MATERIALIZED (SELECT c.* FROM unnest(CAST(:projects AS bigint[])) AS each (id), LATERAL ("
            f"SELECT c.project_id, c.month, c.trace_id, c.span_id, c.end_at FROM {source} "
            f"WHERE {' AND '.join(clauses)} {newest_first} LIMIT :page) c {newest_first} LIMIT :page) "
            f"{_SELECT.replace(' FROM calls c ', f' FROM page k CROSS JOIN {_CALL_OF} c ')} {newest_first}"
        ),
        parameters,
        execution_options=PLANNED_ANEW,
    ).all()
    page = found[: query.limit]
    following = _cursor(page[-1]) if len(found) > query.limit and page else None
    return CallPage(calls=_shown(connection, page), next_cursor=following)


def _hours_with(connection: Connection, query: CostQuery, *, unpriced: bool) -> list[datetime] | None:
    """The hours in which the sums know of calls that fulfil the narrow filters; None where sums cannot tell.

    They know of every call that has a charge, by the hour of the charge: so they cannot tell while some wait for
    theirs, or where a closed month kept the charge of a call that reads differently now.
    """
    waiting = text(
        "SELECT EXISTS (SELECT 1 FROM unrated_calls WHERE project_id = ANY(:projects)) OR EXISTS ("
        "SELECT 1 FROM charges WHERE project_id = ANY(:projects) AND superseded_at IS NULL "
        "AND charge_class = 'correction' AND month >= :month)"
    )
    # A correction is booked in the month it is about or later.
    scope = {"projects": list(query.projects), "month": floor(query.start, "month").date()}
    if connection.execute(waiting, scope).scalar_one():
        return None
    narrow = tuple(pair for pair in query.filters if not needs_unit(pair[0]))
    asked = replace(query, filters=narrow)
    parameters: dict[str, Any] = {
        "projects": list(query.projects),
        "start": floor(query.start, "hour"),
        "end": query.end,
    }
    where = conditions(asked, parameters)
    found = connection.execute(
        text(
            f"SELECT DISTINCT s.period_start FROM rollup_calls s{belonging(asked, by_unit=False)} "
            "WHERE s.project_id = ANY(:projects) AND s.grain = 'hour' AND s.period_start >= :start "
            f"AND s.period_start < :end AND s.charges > {'s.priced_charges' if unpriced else '0'} AND {where}"
        ),
        parameters,
    )
    return list(found.scalars())


def calls_of_trace(connection: Connection, project_id: int, trace_id: bytes) -> Sequence[Mapping[str, Any]]:
    """Every call of one trace as the API shows it."""
    found = connection.execute(
        text(f"{_SELECT} WHERE c.project_id = :project_id AND c.trace_id = :trace_id ORDER BY c.end_at, c.span_id"),
        {"project_id": project_id, "trace_id": trace_id},
    ).all()
    return _shown(connection, found)


def _shown(connection: Connection, rows: Sequence[Any]) -> list[dict[str, Any]]:
    by_project: dict[int, set[int]] = {}
    for row in rows:
        for ids in (row.line_rate_ids, row.line_billed_rate_ids):
            by_project.setdefault(row.project_id, set()).update(number for number in ids or () if number is not None)
    sources = {project: rate_sources(connection, project, sorted(ids)) for project, ids in by_project.items() if ids}
    shares = shares_of(connection, [_key(row) for row in rows]) if rows else {}
    return [_call(row, sources.get(row.project_id, {}), shares.get(_key(row), ())) for row in rows]


def _key(row: Any) -> tuple[int, bytes, bytes]:
    return (row.project_id, bytes(row.trace_id), bytes(row.span_id))


def _call(row: Any, sources: Mapping[int, str], shares: Sequence[Any]) -> dict[str, Any]:
    return {
        "project": row.project,
        "trace_id": row.trace_id.hex(),
        "span_id": row.span_id.hex(),
        "start": rfc3339_of_ns(row.start_ns),
        "end": rfc3339_of_ns(row.end_ns),
        "duration_ms": (row.end_ns - row.start_ns) / 1_000_000,
        "status": row.status,
        "provider": row.provider,
        "model": row.model,
        "request_model": row.request_model,
        "operation": row.operation,
        "agent": row.agent,
        "agent_path": row.agent_path,
        "task": row.task,
        "session": row.session,
        "user": row.user_id,
        "team": row.team,
        "cost_center": row.cost_center,
        "environment": row.environment,
        "service": row.service,
        "deployment": row.deployment,
        "hardware": row.hardware,
        "tags": row.tags,
        "inferred": list(row.inferred or ()),
        "instrumentation": row.instrumentation,
        "tokens": {bucket.value: getattr(row, f"tokens_{bucket.value}") for bucket in BUCKETS},
        "details": row.details or {},
        "usage_source": row.usage_source,
        "convention": row.convention,
        "convention_reason": row.convention_reason,
        "service_tier": row.service_tier,
        "region": row.region,
        "response_id": row.response_id,
        "reported_cost": plain(row.reported_cost),
        "provenance": row.provenance or {},
        "described_by": [span.hex() for span in row.described_by or ()],
        "agents": [{"name": name, "output_tokens": output} for name, output in row.agents or ()],
        "shares": [share_json(share) for share in shares],
        "superseded_by": None,
        "charge": None if row.charge_id is None else _charge(row, sources),
    }


def _charge(row: Any, sources: Mapping[int, str]) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    for position, bucket in enumerate(row.line_buckets):
        rate = row.line_rate_ids[position]
        billed_rate = (row.line_billed_rate_ids or row.line_rate_ids)[position]
        billed = (row.line_billed_costs or row.line_list_costs)[position]
        effective = row.line_effective_costs[position] if row.line_effective_costs else billed
        lines.append(
            {
                "bucket": bucket,
                "quantity": row.line_quantities[position],
                "price_per_m": plain(row.line_prices_per_m[position]),
                "billed_price_per_m": plain((row.line_billed_prices_per_m or row.line_prices_per_m)[position]),
                "list_cost": plain(row.line_list_costs[position]),
                "billed_cost": plain(billed),
                "effective_cost": plain(effective),
                "cost": plain(effective),
                "rate_id": None if rate is None else str(rate),
                "rate_source": sources.get(rate) if rate is not None else None,
                "billed_rate_id": None if billed_rate is None else str(billed_rate),
                "billed_rate_source": sources.get(billed_rate) if billed_rate is not None else None,
                "assumption": row.line_assumptions[position] if row.line_assumptions else None,
            }
        )
    return {
        "price_status": row.price_status,
        "unpriced_reason": row.unpriced_reason,
        "list_cost": plain(row.list_cost),
        "billed_cost": plain(row.billed_cost),
        "effective_cost": plain(row.effective_cost),
        "cost_without_cache": plain(row.uncached_cost),
        "price_book": row.book_id,
        "recorded_at": rfc3339(row.recorded_at),
        "lines": lines,
    }


def _cursor(row: Any) -> str:
    mark = orjson.dumps([rfc3339(row.end_at), row.trace_id.hex(), row.span_id.hex()])
    return base64.urlsafe_b64encode(mark).decode().rstrip("=")


def _mark(cursor: str) -> tuple[datetime, bytes, bytes]:
    try:
        at, trace, span = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return datetime.fromisoformat(at), bytes.fromhex(trace), bytes.fromhex(span)
    except (binascii.Error, ValueError, TypeError):
        fault = "the cursor cannot be read. Ask for the first page again, without a cursor."
        raise BadInput(fault, [{"field": "cursor", "reason": "unreadable"}]) from None
