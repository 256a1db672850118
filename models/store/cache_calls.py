"""The newest calls of a period, of which rates and waste of caching are told: the order of a session's calls counts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, text

from models.core.errors import BadInput
from models.core.queries import CostQuery
from models.costs.seen_calls import COUNTS, SeenCalls
from models.store.cost_sql import conditions, needs_unit
from models.store.engine import PLANNED_ANEW

MOST_CALLS = 50_000
"""Calls that one answer looks at, the newest ones: the order of a session's calls is needed, which no sums keep."""

_NEWEST_FIRST = "ORDER BY c.end_at DESC, c.trace_id, c.span_id"
# Deployment and hardware are known when a call is priced: its charge names them.
_OF_CHARGE = ("deployment", "hardware")
_CHARGED_TO = (
    "coalesce((SELECT h.attribution_id FROM charges h WHERE h.project_id = c.project_id AND h.origin_id = c.trace_id "
    "AND h.span_id = c.span_id AND h.month = c.month AND h.charge_class = 'usage' AND h.superseded_at IS NULL), "
    "c.attribution_id)"
)


def newest_calls(connection: Connection, query: CostQuery) -> SeenCalls:
    """The newest calls of a period that used tokens, at most MOST_CALLS and one; a session is the hash of its name.

    Raises   BadInput for a filter on the bucket: the figures compare buckets.
    """
    if any(name == "bucket" for name, _ in query.filters):
        reason = "cache figures cannot be filtered by 'bucket': they compare buckets"
        raise BadInput(reason, [{"field": "filter", "reason": reason}])
    most = MOST_CALLS + 1
    parameters: dict[str, Any] = {
        "projects": list(query.projects),
        "start": query.start,
        "end": query.end,
        "first_month": query.start.astimezone(UTC).date().replace(day=1),
        "last_month": query.end.astimezone(UTC).date(),
    }
    counts = ", ".join(COUNTS)
    source = _source(connection, query, parameters)
    line = ["k.number", "hashtextextended(u.session, 0)", "k.end_ns / 1000", *(f"k.{name}" for name in COUNTS)]
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
    return SeenCalls(row.agents or (), row.models or (), row.lines or "")


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
