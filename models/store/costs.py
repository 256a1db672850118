"""Answers about costs: groups in pages, and totals that do not depend on the grouping."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Connection, text

from models.core.errors import BadInput
from models.core.queries import CostQuery, CostRow, Costs
from models.core.time import rfc3339
from models.core.vocabulary import BUCKETS, CostBasis, Granularity
from models.store.cost_sql import Plan, checked_dimensions, column_of, conditions, is_dimension, needs_unit, plan
from models.store.cover import ceiling, widened
from models.store.sums import CALL_SUMS, COSTS
from models.store.task_counts import task_counts
from models.store.unit_costs import keyed_plan, kind_of, totals_page
from models.store.unit_sums import UNPRICED
from models.store.unit_task_counts import unit_task_counts


def answer_costs(connection: Connection, query: CostQuery) -> Costs:
    """Sums per group, one page of them, with the totals of all pages.

    The caller's transaction should be REPEATABLE READ: rows and totals are several statements.

    Raises   BadInput for an unknown dimension, a filter on one, an empty period, or a cursor of another question.
    """
    checked_dimensions(query.group_by)
    if bad := [name for name, _ in query.filters if not is_dimension(name)]:
        raise BadInput(
            f"{bad[0]!r} is no dimension to filter by",
            [{"field": "filter", "reason": f"{name!r} is no dimension"} for name in bad],
        )
    if query.start >= query.end:
        reason = f"start {rfc3339(query.start)} is not before end {rfc3339(query.end)}"
        raise BadInput(reason, [{"field": "start", "reason": reason}])
    by_bucket = "bucket" in (*query.group_by, *(name for name, _ in query.filters))
    asked = widened(connection, query)
    kind = None if by_bucket else kind_of(asked)
    if kind in ("task", "session"):
        parameters: dict[str, Any] = {}
        after = _after(query, parameters)
        rows = [
            (_row(asked, found._mapping, False), found._mapping)
            for found in totals_page(connection, asked, kind, after, parameters)
        ]
        totals = None
    elif asked.granularity is Granularity.NONE:
        rows, totals = _read(connection, query, asked, kind, by_bucket=by_bucket)
    else:
        rows, totals = _read_in_time(connection, query, asked, kind, by_bucket=by_bucket), None
    page, following = rows[: query.limit], rows[query.limit :]
    if totals is None:
        totals = _totals(connection, asked)
    counted = [] if by_bucket else _tasks(connection, _over(asked, page), kind, page)
    return Costs(
        query=query,
        rows=counted or [row for row, _ in page],
        totals=totals,
        next_cursor=_cursor(query, page[-1]) if following and page else None,
    )


def needs_units(query: CostQuery) -> bool:
    """Whether rows are grouped or filtered by task, session, user or a tag."""
    return any(map(needs_unit, (*query.group_by, *(name for name, _ in query.filters))))


def _read(
    connection: Connection, query: CostQuery, asked: CostQuery, kind: str | None, *, by_bucket: bool
) -> tuple[list[tuple[CostRow, Any]], CostRow | None]:
    """A page of groups and one row more, and the totals where the same cells tell them."""
    chosen = plan(asked, by_bucket=by_bucket) if kind is None else keyed_plan(asked, kind)
    if not by_bucket and needs_units(asked):
        # Of cells as they are kept nothing is read that is not asked for; those looked up are added up before.
        ranking = chosen if kind is None else keyed_plan(asked, kind, sums=_ranked_by(asked))
        return _page_first(connection, query, asked, chosen, ranking), None
    with_totals = asked.granularity is Granularity.NONE and (not by_bucket or _by_bucket(asked))
    return _rows(connection, query, asked, chosen, with_totals=with_totals)


def _read_in_time(
    connection: Connection, query: CostQuery, asked: CostQuery, kind: str | None, *, by_bucket: bool
) -> list[tuple[CostRow, Any]]:
    """A page of groups over time and one row more: rows go by time first, so as much of it is read as fills the page.

    First one hour, day or month, then as many as should hold the rest of the page by what was found so far.
    """
    width = asked.granularity.value
    start = max(asked.start, _begins(query))
    rows: list[tuple[CostRow, Any]] = []
    done, ahead = 0, 1
    while start < asked.end and len(rows) <= query.limit:
        end = start
        for _ in range(ahead):
            end = ceiling(end + timedelta(microseconds=1), width)
            done += 1
            if end >= asked.end:
                break
        part = replace(asked, start=start, end=min(end, asked.end))
        rows += _read(connection, query, part, kind, by_bucket=by_bucket)[0]
        start = end
        missing = query.limit + 1 - len(rows)
        ahead = max(done, -(-missing * done // max(len(rows), 1)))
    return rows


def _begins(query: CostQuery) -> datetime:
    """The time with which the page of a cursor begins."""
    parameters: dict[str, Any] = {}
    _after(query, parameters)
    time = parameters.get("after_time")
    return query.start if time is None else datetime.fromisoformat(time)


def _over(query: CostQuery, page: Sequence[tuple[CostRow, Any]]) -> CostQuery:
    """The question over the times of a page alone."""
    times = [row.time for row, _ in page if row.time is not None]
    if not times:
        return query
    end = ceiling(max(times) + timedelta(microseconds=1), query.granularity.value)
    return replace(query, start=max(query.start, min(times)), end=min(query.end, end))


def _by_bucket(query: CostQuery) -> bool:
    return any(name == "bucket" for name, _ in query.filters)


def _ranked_by(query: CostQuery) -> tuple[str, ...]:
    """The sums that decide where a group stands."""
    known = "listed_charges" if query.basis is CostBasis.LIST else "priced_charges"
    return tuple(name for name in CALL_SUMS if name in ("charges", known, f"{query.basis.value}_cost"))


def _page_first(
    connection: Connection, query: CostQuery, asked: CostQuery, chosen: Plan, ranking: Plan
) -> list[tuple[CostRow, Any]]:
    """A page of groups and one row more: first which groups these are, by their cost alone, then all their sums.

    `ranking` is the same plan as `chosen` with the sums that decide which groups these are.

    Adding everything up for every group would take ten times the memory, and most of it is never shown.
    """
    parameters = dict(chosen.parameters)
    columns = [column_of(name, parameters, chosen.columns) for name in asked.group_by]
    keys = "".join(f"{column} AS key_{position}, " for position, column in enumerate(columns))
    names = [f"key_{position}" for position in range(len(columns))]
    where = conditions(asked, parameters, chosen.columns)
    known = "listed_charges" if asked.basis is CostBasis.LIST else "priced_charges"
    cost = f"CASE WHEN known > 0 THEN cost ELSE {UNPRICED}::numeric END"
    place = f"jsonb_build_array({', '.join(names)})::text" if names else "''"
    after = _after(query, parameters)
    group = ", ".join([*columns, "s.at"])
    found = connection.execute(
        text(
            f"{ranking.cells}, grouped AS (SELECT {keys}s.at, sum(s.{known}) AS known, "
            f"sum(s.{asked.basis.value}_cost) AS cost FROM {chosen.source} WHERE {where} "
            f"GROUP BY {group} HAVING sum(s.charges) <> 0), "
            f'placed AS (SELECT *, {cost} AS sort_cost, {place} COLLATE "C" AS place FROM grouped) '
            f"SELECT * FROM placed WHERE {after} ORDER BY at NULLS FIRST, sort_cost DESC, place LIMIT :page"
        ),
        {**parameters, "page": query.limit + 1},
    ).all()
    if not found:
        return []
    parameters = {name: value for name, value in parameters.items() if not name.startswith("after_")}
    among = _among([*columns, "s.at"], [(*(getattr(row, name) for name in names), row.at) for row in found], parameters)
    summed = connection.execute(
        text(
            f"{chosen.cells} SELECT {keys}s.at, {_sums(chosen)} FROM {chosen.source} WHERE {where} AND {among} "
            f"GROUP BY {group}"
        ),
        parameters,
    )
    sums = {(*(getattr(row, name) for name in names), row.at): row._mapping for row in summed}
    page = [sums[*(getattr(row, name) for name in names), row.at] for row in found]
    return [(_row(asked, whole, False), row._mapping) for row, whole in zip(found, page, strict=True)]


def _among(columns: Sequence[str], rows: Sequence[tuple[Any, ...]], parameters: dict[str, Any]) -> str:
    """The condition that each column has one of the values it has in these rows: they, and few others, fulfil it.

    Values and no join, which would be planned for the wrong number of rows.
    """
    clauses: list[str] = []
    for position, column in enumerate(columns):
        values = {row[position] for row in rows}
        known = sorted(value for value in values if value is not None)
        kind = "timestamptz" if column == "s.at" else "text"
        parameters[f"among_{position}"] = known
        clause = f"{column} = ANY(CAST(:among_{position} AS {kind}[]))"
        clauses.append(f"({clause} OR {column} IS NULL)" if None in values else clause)
    return " AND ".join(clauses)


def _rows(
    connection: Connection, query: CostQuery, asked: CostQuery, chosen: Plan, *, with_totals: bool
) -> tuple[list[tuple[CostRow, Any]], CostRow | None]:
    """A page of groups and one row more, and the totals where the same cells tell them."""
    parameters = dict(chosen.parameters)
    columns = [column_of(name, parameters, chosen.columns) for name in asked.group_by]
    keys = "".join(f"{column} AS key_{position}, " for position, column in enumerate(columns))
    names = [f"key_{position}" for position in range(len(columns))]
    where = conditions(asked, parameters, chosen.columns)
    known = "listed_charges" if asked.basis is CostBasis.LIST else "priced_charges"
    cost = f"CASE WHEN {known} > 0 THEN {asked.basis.value}_cost ELSE {UNPRICED}::numeric END"
    place = f"jsonb_build_array({', '.join(names)})::text" if names else "''"
    after = _after(query, parameters)
    sets = f"GROUPING SETS (({', '.join([*columns, 's.at'])}), ())" if with_totals else ", ".join([*columns, "s.at"])
    is_total = "grouping(s.at) = 1" if with_totals else "false"
    found = connection.execute(
        text(
            f"{chosen.cells}, grouped AS ("
            f"SELECT {keys}s.at, {is_total} AS is_total, {_sums(chosen)} FROM {chosen.source} WHERE {where} "
            f"GROUP BY {sets} HAVING sum(s.charges) <> 0), "
            f'placed AS (SELECT *, {cost} AS sort_cost, {place} COLLATE "C" AS place FROM grouped) '
            f"SELECT * FROM placed WHERE is_total OR ({after}) "
            "ORDER BY is_total DESC, at NULLS FIRST, sort_cost DESC, place LIMIT :page"
        ),
        {**parameters, "page": query.limit + 2},
    ).all()
    rows = [(_row(asked, row._mapping, chosen.by_bucket), row._mapping) for row in found if not row.is_total]
    if not with_totals:
        return rows, None
    ungrouped = replace(asked, group_by=(), granularity=Granularity.NONE)
    total = next((_row(ungrouped, row._mapping, chosen.by_bucket) for row in found if row.is_total), None)
    return rows, total


def _totals(connection: Connection, query: CostQuery) -> CostRow:
    """Totals come from the same filter and period without any grouping: calls, not buckets, unless filtered by one."""
    by_bucket = any(name == "bucket" for name, _ in query.filters)
    ungrouped = replace(query, group_by=(), granularity=Granularity.NONE)
    chosen = plan(ungrouped, by_bucket=by_bucket)
    where = conditions(ungrouped, chosen.parameters)
    found = connection.execute(
        text(f"{chosen.cells} SELECT {_sums(chosen)} FROM {chosen.source} WHERE {where}"),
        chosen.parameters,
    ).one()
    return _row(ungrouped, found._mapping, by_bucket)


def _sums(chosen: Plan) -> str:
    """The sums of a group; tokens bucket by bucket also where the cells are buckets."""
    sums = [f"coalesce(sum(s.{name}), 0) AS {name}" for name in chosen.sums]
    if chosen.by_bucket:
        buckets = (f"coalesce(sum(s.tokens) FILTER (WHERE s.bucket = '{b}'), 0) AS {b}" for b in BUCKETS)
        sums += buckets
    return ", ".join(sums)


def _row(query: CostQuery, found: Any, by_bucket: bool) -> CostRow:
    keys = {name: found[f"key_{position}"] for position, name in enumerate(query.group_by)}
    known = found["priced_charges"] > 0
    costs = {name: found[name] if known else None for name in COSTS}
    costs["list_cost"] = found["list_cost"] if found["listed_charges"] > 0 else None
    time = found.get("at")
    return CostRow(
        keys=keys,
        time=time,
        calls=None if by_bucket else int(found["calls"]),
        errors=None if by_bucket else int(found["errors"]),
        tokens={bucket.value: int(found[bucket.value]) for bucket in BUCKETS},
        unpriced_calls=None if by_bucket else int(found["unpriced_calls"]),
        unpriced_tokens=int(found["unpriced_tokens"]),
        **costs,
    )


def _tasks(
    connection: Connection, query: CostQuery, kind: str | None, page: list[tuple[CostRow, Any]]
) -> list[CostRow]:
    """The rows of a page with their distinct tasks counted; calls without a task are no task."""
    if not page:
        return []
    if "task" in query.group_by and (len(query.projects) == 1 or "project" in query.group_by):
        # A row of one task of one project is that task.
        for row, _ in page:
            row.tasks = int(row.keys["task"] is not None and bool(row.calls))
        return [row for row, _ in page]
    counts = None
    if kind in ("session", "user", "tags"):
        counts = unit_task_counts(connection, query, kind, [row for row, _ in page])
    elif kind is None:
        counts = task_counts(connection, query)
    if counts is None:
        counts = _counts_by_unit(connection, query, page)
    for row, _ in page:
        row.tasks = counts.get((*row.keys.values(), row.time), 0)
    return [row for row, _ in page]


def _counts_by_unit(
    connection: Connection, query: CostQuery, page: list[tuple[CostRow, Any]]
) -> dict[tuple[Any, ...], int]:
    chosen = plan(query, by_bucket=False, units_only=True)
    parameters = chosen.parameters
    columns = [column_of(name, parameters) for name in query.group_by]
    keys = "".join(f"{column} AS key_{position}, " for position, column in enumerate(columns))
    names = "".join(f"key_{position}, " for position in range(len(columns)))
    where = conditions(query, parameters)
    among = _among([*columns, "s.at"], [(*row.keys.values(), row.time) for row, _ in page], parameters)
    # Groups of tasks first: they are hashed, where count(DISTINCT …) would sort every cell.
    found = connection.execute(
        text(
            f"{chosen.cells} SELECT {names}at, count(*) AS tasks FROM ("
            f"SELECT {keys}s.at, s.project_id, u.task FROM {chosen.source} WHERE {where} AND {among} "
            f"AND u.task IS NOT NULL GROUP BY {', '.join([*columns, 's.at', 's.project_id', 'u.task'])} "
            f"HAVING sum(s.calls) > 0) task GROUP BY {names}at"
        ),
        parameters,
    ).all()
    return {tuple(row)[:-1]: row.tasks for row in found}


def _cursor(query: CostQuery, last: tuple[CostRow, Any]) -> str:
    row, found = last
    mark = [_question(query), None if row.time is None else rfc3339(row.time), str(found["sort_cost"]), found["place"]]
    return base64.urlsafe_b64encode(orjson.dumps(mark)).decode().rstrip("=")


def _after(query: CostQuery, parameters: dict[str, Any]) -> str:
    if query.cursor is None:
        return "true"
    fault = "the cursor belongs to another question. Ask for the first page again, without a cursor."
    try:
        padded = query.cursor + "=" * (-len(query.cursor) % 4)
        question, time, cost, place = orjson.loads(base64.urlsafe_b64decode(padded))
        parameters.update(after_time=time, after_cost=Decimal(cost), after_place=place)
    except (binascii.Error, ValueError, TypeError, ArithmeticError):
        raise BadInput(fault, [{"field": "cursor", "reason": "unreadable"}]) from None
    if question != _question(query):
        raise BadInput(fault, [{"field": "cursor", "reason": "of another question"}])
    later = "(sort_cost < :after_cost OR (sort_cost = :after_cost AND place > CAST(:after_place AS text)))"
    if time is None:
        del parameters["after_time"]
        return later
    moment = "CAST(:after_time AS timestamptz)"
    return f"(at > {moment} OR (at = {moment} AND {later}))"


def _question(query: CostQuery) -> str:
    """What a cursor is bound to: everything of a question but its page."""
    from hashlib import blake2b

    bound = replace(query, cursor=None, limit=0)
    return blake2b(repr(bound).encode(), digest_size=6).hexdigest()
