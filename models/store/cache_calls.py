"""The newest calls of a period as a frame, and the cache figures that they and the kept sums tell together."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.errors import BadInput
from models.core.queries import CostQuery
from models.core.vocabulary import INPUT_BUCKETS
from models.costs.cache_report import GROUPED_CALLS, CacheReport, cache_report
from models.store.cache_sums import calls_by_model, lines_by_model
from models.store.cost_sql import conditions, needs_unit
from models.store.engine import PLANNED_ANEW

MOST_CALLS = 50_000
"""Calls that one answer looks at, the newest ones: the order of a session's calls is needed, which no sums keep."""

_COUNTS = tuple(bucket.value for bucket in INPUT_BUCKETS)
_NEWEST_FIRST = "ORDER BY c.end_at DESC, c.trace_id, c.span_id"
# Deployment and hardware are known when a call is priced: its charge names them.
_OF_CHARGE = ("deployment", "hardware")
_CHARGED_TO = (
    "coalesce((SELECT h.attribution_id FROM charges h WHERE h.project_id = c.project_id AND h.origin_id = c.trace_id "
    "AND h.span_id = c.span_id AND h.month = c.month AND h.charge_class = 'usage' AND h.superseded_at IS NULL), "
    "c.attribution_id)"
)


def answer_cache(connection: Connection, query: CostQuery) -> CacheReport:
    """Cache figures of a period by agent and model.

    Money, tokens and numbers of calls are those of the whole period. Hit rates and what was written for nothing are
    those of its newest calls that used tokens, at most MOST_CALLS; `is_whole` says whether these are all.

    The caller's transaction should be REPEATABLE READ: sums and calls are several statements.

    Raises   BadInput for a filter on the bucket: the figures compare buckets.
    """
    if any(name == "bucket" for name, _ in query.filters):
        reason = "cache figures cannot be filtered by 'bucket': they compare buckets"
        raise BadInput(reason, [{"field": "filter", "reason": reason}])
    calls = newest_calls(connection, query, MOST_CALLS + 1)
    is_whole = calls.height <= MOST_CALLS
    if not is_whole:
        calls = calls.sort("at", descending=True, maintain_order=True).head(MOST_CALLS)
    return cache_report(calls, lines_by_model(connection, query), calls_by_model(connection, query), is_whole=is_whole)


def newest_calls(connection: Connection, query: CostQuery, most: int) -> pl.DataFrame:
    """The newest calls of a period that used tokens, at most so many, as GROUPED_CALLS; in no order.

    A session is the hash of its name.
    """
    parameters: dict[str, Any] = {
        "projects": list(query.projects),
        "start": query.start,
        "end": query.end,
        "first_month": query.start.astimezone(UTC).date().replace(day=1),
        "last_month": query.end.astimezone(UTC).date(),
    }
    counts = ", ".join(_COUNTS)
    source = _source(connection, query, parameters)
    line = ["k.number", "hashtextextended(u.session, 0)", "k.end_ns / 1000", *(f"k.{name}" for name in _COUNTS)]
    fields = ", ".join(f"coalesce(CAST({field} AS text), '')" for field in line)
    # Which calls these are first: joined whole, a month would be read for them. Then each unit of work once. Project
    # by project, so that an index gives calls in their order. All as one text: one value each would be made an object
    # of Python, half a million of them.
    row = connection.execute(
        text(
            f"WITH page AS MATERIALIZED (SELECT c.* FROM {_projects(query, parameters)} AS each, LATERAL ("
            f"SELECT c.project_id, c.attribution_id, c.unit_id, c.end_at, c.trace_id, c.span_id, c.end_ns, {counts} "
            f"FROM {source} {_NEWEST_FIRST} LIMIT {most}) c {_NEWEST_FIRST} LIMIT {most}), "
            "names AS MATERIALIZED (SELECT a.project_id, a.attribution_id, a.agent, a.model, "
            "row_number() OVER () AS number FROM (SELECT DISTINCT project_id, attribution_id FROM page) k "
            "JOIN attributions a ON a.project_id = k.project_id AND a.attribution_id = k.attribution_id), "
            "units AS MATERIALIZED (SELECT k.project_id, k.unit_id, u.session "
            "FROM (SELECT DISTINCT project_id, unit_id FROM page) k, LATERAL (SELECT w.session FROM work_units w "
            "WHERE w.project_id = k.project_id AND w.unit_id = k.unit_id OFFSET 0) u) "
            "SELECT (SELECT array_agg(agent ORDER BY number) FROM names) AS agents, "
            "(SELECT array_agg(model ORDER BY number) FROM names) AS models, "
            f"(SELECT string_agg(concat_ws(',', {fields}), chr(10)) FROM (SELECT page.*, names.number FROM page "
            "JOIN names ON names.project_id = page.project_id AND names.attribution_id = page.attribution_id) k "
            "JOIN units u ON u.project_id = k.project_id AND u.unit_id = k.unit_id) AS lines"
        ),
        parameters,
        execution_options=PLANNED_ANEW,
    ).one()
    return _frame(row.agents, row.models, row.lines)


def _projects(query: CostQuery, parameters: dict[str, Any]) -> str:
    """The projects asked for, less those that a filter leaves out."""
    of_project = _only(query, [name for name, _ in query.filters if name == "project"])
    where = conditions(of_project, parameters, mark="project")
    return f"(SELECT p.id FROM projects p WHERE p.id = ANY(:projects) AND {where} OFFSET 0)"


def _source(connection: Connection, query: CostQuery, parameters: dict[str, Any]) -> str:
    """FROM and WHERE of the calls `c` of one project (`each.id`)."""
    names = {name for name, _ in query.filters}
    of_unit = [name for name in names if needs_unit(name)]
    narrow = [name for name in names if not needs_unit(name) and name != "project"]
    within = (
        "end_at >= :start AND end_at < :end AND month >= :first_month AND month <= :last_month "
        "AND usage_source <> 'absent'"
    )
    source = f"calls c WHERE c.project_id = each.id AND {within}"
    if of_unit:
        # Few units: their calls are found by the unit, not among all of the period.
        where = conditions(_only(query, of_unit), parameters, mark="unit")
        source = (
            f"(SELECT u.unit_id FROM work_units u WHERE u.project_id = each.id AND {where} OFFSET 0) w, "
            "LATERAL (SELECT * FROM calls WHERE project_id = each.id AND unit_id = w.unit_id "
            f"AND {within} OFFSET 0) c WHERE true"
        )
    if narrow:
        # Given as values, so that it is planned for as many calls as they have.
        belongs = _CHARGED_TO if any(name in _OF_CHARGE for name in narrow) else "c.attribution_id"
        parameters["attributions"] = _attributions(connection, _only(query, narrow))
        source += f" AND {belongs} = ANY(:attributions)"
    return source


def _attributions(connection: Connection, query: CostQuery) -> list[int]:
    """What fulfils the filters. An id is the hash of what it stands for: in each project the same."""
    parameters: dict[str, Any] = {"projects": list(query.projects)}
    where = conditions(query, parameters)
    found = connection.execute(
        text(f"SELECT DISTINCT a.attribution_id FROM attributions a WHERE a.project_id = ANY(:projects) AND {where}"),
        parameters,
    )
    return list(found.scalars())


def _only(query: CostQuery, names: Sequence[str]) -> CostQuery:
    return replace(query, filters=tuple(each for each in query.filters if each[0] in names))


def _frame(agents: list[str | None] | None, models: list[str | None] | None, lines: str | None) -> pl.DataFrame:
    if agents is None or models is None or lines is None:
        return pl.DataFrame(schema=GROUPED_CALLS)
    names = pl.DataFrame(
        {"number": range(1, len(agents) + 1), "agent": agents, "model": models},
        schema={"number": pl.Int64, "agent": pl.String, "model": pl.String},
    )
    read = {"number": pl.Int64(), "session": pl.String(), "at": pl.Int64(), **dict.fromkeys(_COUNTS, pl.Int64())}
    calls = pl.read_csv(lines.encode(), has_header=False, new_columns=list(read), schema=read)
    return calls.join(names, on="number", how="left").select(
        pl.col(name).cast(kind) if name == "at" else pl.col(name) for name, kind in GROUPED_CALLS.items()
    )
