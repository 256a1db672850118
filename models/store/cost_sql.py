"""A question about costs as SQL: which sums to read, over which cells, grouped and filtered how."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from models.core.errors import BadInput
from models.core.queries import CostQuery
from models.core.vocabulary import DIMENSIONS, WIDE_DIMENSIONS, Granularity
from models.store.sums import CALL_SUMS, LINE_SUMS, added, lines_of_charges, of_charges

TAG = "tag:"
_HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Plan:
    """What a question needs to read."""

    by_bucket: bool
    by_unit: bool
    sums: tuple[str, ...]
    cells: str
    """A query of (project_id, at, attribution_id[, unit_id][, bucket], sums…), a WITH clause named `cells`.

    Narrow cells are few and come added up over time. Cells by unit of work are many and come as they are kept: adding
    them up twice, first by unit and then by group, would double the work.
    """
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])


def checked_dimensions(names: Sequence[str]) -> None:
    """Raises   BadInput naming each dimension that does not exist or is given twice."""
    errors = [
        {"field": "group_by", "reason": f"{name!r} is no dimension; there are {', '.join(DIMENSIONS)} and tag:KEY"}
        for name in names
        if not is_dimension(name)
    ]
    errors += [
        {"field": "group_by", "reason": f"{name!r} is given twice"} for name in set(names) if names.count(name) > 1
    ]
    if errors:
        raise BadInput(errors[0]["reason"], errors)


def is_dimension(name: str) -> bool:
    """Whether rows can be grouped and filtered by this."""
    return name in DIMENSIONS or (name.startswith(TAG) and len(name) > len(TAG))


def column_of(name: str, parameters: dict[str, Any]) -> str:
    """The SQL of a dimension over `p` (projects), `a` (attributions), `u` (work units) and `s` (cells)."""
    if name == "project":
        return "p.name"
    if name == "bucket":
        return "s.bucket"
    if name == "user":
        return "u.user_id"
    if name in WIDE_DIMENSIONS:
        return f"u.{name}"
    if name.startswith(TAG):
        key = f"tag_{len(parameters)}"
        parameters[key] = name.removeprefix(TAG)
        return f"(u.tags ->> CAST(:{key} AS text))"
    return f"a.{name}"


def needs_unit(name: str) -> bool:
    """Whether a dimension belongs to the unit of work and not to the attribution."""
    return name in WIDE_DIMENSIONS or name.startswith(TAG)


def plan(query: CostQuery, *, by_bucket: bool, units_only: bool = False) -> Plan:
    """Choose the cells for a question: whole days, whole hours and, at the edges, the charges themselves.

    `units_only` asks which units of work there were, and adds up nothing but their calls.
    """
    used = (*query.group_by, *(name for name, _ in query.filters))
    by_unit = units_only or any(map(needs_unit, used))
    sums = LINE_SUMS if by_bucket else ("calls",) if units_only else CALL_SUMS
    parameters: dict[str, Any] = {"projects": list(query.projects), "start": query.start, "end": query.end}
    keys = ["project_id", "attribution_id"]
    keys += ["unit_id"] if by_unit else []
    keys += ["bucket"] if by_bucket else []
    grain = query.granularity
    time = f"date_trunc('{grain.value}', {{}}, 'UTC')" if grain != Granularity.NONE else "CAST(NULL AS timestamptz)"
    parts: list[str] = []
    if by_bucket and by_unit:
        # No rollup holds buckets by unit of work: the charges of the period are read.
        parts.append(_charges(query.start, query.end, "all", keys, sums, time, parameters))
    else:
        table = "rollup_units" if by_unit else "rollup_lines" if by_bucket else "rollup_calls"
        days = table != "rollup_units" and grain != Granularity.HOUR
        parts = _periods(query, table, days, keys, sums, time, parameters)
    names = ", ".join(keys)
    cells = " UNION ALL ".join(parts)
    if by_unit and not by_bucket:
        return Plan(by_bucket, by_unit, sums, f"WITH cells AS NOT MATERIALIZED ({cells})", parameters)
    if len(parts) > 1:
        cells = f"SELECT {names}, at, {added(sums)} FROM ({cells}) part GROUP BY {names}, at"
    return Plan(by_bucket, by_unit, sums, f"WITH cells AS MATERIALIZED ({cells})", parameters)


def _periods(
    query: CostQuery,
    table: str,
    days: bool,
    keys: Sequence[str],
    sums: tuple[str, ...],
    time: str,
    parameters: dict[str, Any],
) -> list[str]:
    first, last = _up(query.start, _HOUR), _down(query.end, _HOUR)
    if first >= last:
        return [_charges(query.start, query.end, "all", keys, sums, time, parameters)]
    parts: list[str] = []
    first_day, last_day = _up(first, 24 * _HOUR), _down(last, 24 * _HOUR)
    spans = [("hour", first, last, "whole")]
    if days and first_day < last_day:
        spans = [
            ("day", first_day, last_day, "days"),
            ("hour", first, first_day, "before"),
            ("hour", last_day, last, "after"),
        ]
    names = ", ".join(keys)
    at = time.format("period_start")
    for grain, start, end, tag in spans:
        if start < end:
            parameters[f"from_{tag}"], parameters[f"to_{tag}"] = start, end
            amounts, group = (
                (", ".join(sums), "") if table == "rollup_units" else (added(sums), f"GROUP BY {names}, at")
            )
            parts.append(
                f"SELECT {names}, {at} AS at, {amounts} FROM {table} WHERE project_id = ANY(:projects) "
                f"AND grain = '{grain}' AND period_start >= :from_{tag} AND period_start < :to_{tag} {group}"
            )
    if query.start < first:
        parts.append(_charges(query.start, first, "head", keys, sums, time, parameters))
    if last < query.end:
        parts.append(_charges(last, query.end, "tail", keys, sums, time, parameters))
    return parts


def _charges(
    start: datetime,
    end: datetime,
    tag: str,
    keys: Sequence[str],
    sums: tuple[str, ...],
    time: str,
    parameters: dict[str, Any],
) -> str:
    parameters[f"from_{tag}"], parameters[f"to_{tag}"] = start, end
    parameters[f"month_{tag}"] = start.astimezone(UTC).date().replace(day=1)
    parameters[f"last_{tag}"] = end.astimezone(UTC).date()
    names = ", ".join("line.bucket" if key == "bucket" else f"c.{key}" for key in keys)
    by_line = sums == LINE_SUMS
    amounts = added(sums, "line") if by_line else of_charges("c", wanted=sums)
    lines = f" CROSS JOIN {lines_of_charges('c')}" if by_line else ""
    at = time.format("c.end_at")
    return (
        f"SELECT {names}, {at} AS at, {amounts} FROM charges c{lines} WHERE c.project_id = ANY(:projects) "
        f"AND c.end_at >= :from_{tag} AND c.end_at < :to_{tag} AND c.superseded_at IS NULL "
        f"AND c.month >= :month_{tag} AND c.month <= :last_{tag} GROUP BY {names}, {len(keys) + 1}"
    )


def conditions(query: CostQuery, parameters: dict[str, Any]) -> str:
    """The filters as SQL: values of one dimension are alternatives, dimensions narrow; None finds what has none."""
    wanted: dict[str, list[str | None]] = {}
    for name, value in query.filters:
        wanted.setdefault(name, []).append(value)
    clauses: list[str] = []
    for position, (name, values) in enumerate(wanted.items()):
        column = column_of(name, parameters)
        parameters[f"filter_{position}"] = [value for value in values if value is not None]
        clause = f"{column} = ANY(CAST(:filter_{position} AS text[]))"
        clauses.append(f"({clause} OR {column} IS NULL)" if None in values else clause)
    return " AND ".join(clauses) or "true"


def joined(plan: Plan) -> str:
    """FROM clause of a plan's cells with what they belong to. Inner joins: every id is interned with its charge."""
    units = " JOIN work_units u ON u.project_id = s.project_id AND u.unit_id = s.unit_id" if plan.by_unit else ""
    return (
        "cells s JOIN projects p ON p.id = s.project_id "
        f"JOIN attributions a ON a.project_id = s.project_id AND a.attribution_id = s.attribution_id{units}"
    )


def _up(moment: datetime, width: timedelta) -> datetime:
    lower = _down(moment, width)
    return lower if lower == moment else lower + width


def _down(moment: datetime, width: timedelta) -> datetime:
    utc = moment.astimezone(UTC)
    whole = utc.replace(minute=0, second=0, microsecond=0)
    return whole if width == _HOUR else whole.replace(hour=0)
