"""A question about costs as SQL: which sums to read, over which cells, grouped and filtered how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from models.core.errors import BadInput
from models.core.queries import CostQuery
from models.core.vocabulary import DIMENSIONS, NARROW_DIMENSIONS, WIDE_DIMENSIONS, Granularity
from models.store.cover import WIDTHS, Part, cover
from models.store.sums import CALL_SUMS, LINE_SUMS, lines_of_charges, listed, of_charges

TAG = "tag:"
# Looked up one by one, whatever the planner expects: these are few, and reading all units would take seconds.
UNIT = (
    "LATERAL (SELECT u.task, u.session, u.user_id, u.tags FROM work_units u "
    "WHERE u.project_id = r.project_id AND u.unit_id = r.unit_id OFFSET 0) u"
)


@dataclass(slots=True)
class Plan:
    """What a question needs to read."""

    by_bucket: bool
    sums: tuple[str, ...]
    cells: str
    """A query of (project_id, at, attribution_id[, unit_id][, bucket], sums…), a WITH clause named `cells`.

    Cells come as they are kept: adding them up twice, first over time and then by group, would double the work.
    """
    source: str
    """FROM clause of the cells with what they belong to. Inner joins: every id is interned with its charge."""
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """Dimensions that the cells hold themselves."""


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


def column_of(name: str, parameters: dict[str, Any], columns: Mapping[str, str] | None = None) -> str:
    """The SQL of a dimension over `p` (projects), `a` (attributions), `u` (work units) and `s` (cells)."""
    if columns is not None and name in columns:
        return columns[name]
    if name == "project":
        return "p.name"
    if name == "bucket":
        return "s.bucket"
    if name.startswith(TAG):
        key = f"tag_{len(parameters)}"
        parameters[key] = name.removeprefix(TAG)
        tags = columns[TAG] if columns is not None and TAG in columns else "u.tags"
        return f"({tags} ->> CAST(:{key} AS text))"
    if name == "user":
        return "u.user_id"
    if name in WIDE_DIMENSIONS:
        return f"u.{name}"
    return f"a.{name}"


def needs_unit(name: str) -> bool:
    """Whether a dimension belongs to the unit of work and not to the attribution."""
    return name in WIDE_DIMENSIONS or name.startswith(TAG)


def plan(query: CostQuery, *, by_bucket: bool, units_only: bool = False) -> Plan:
    """Choose the cells for a question: months, days and hours and, at the edges, the charges themselves.

    `units_only` asks which units of work there were, and adds up nothing but their calls.
    """
    used = (*query.group_by, *(name for name, _ in query.filters))
    by_unit = units_only or any(map(needs_unit, used))
    sums = LINE_SUMS if by_bucket else ("calls",) if units_only else CALL_SUMS
    parameters: dict[str, Any] = {"projects": list(query.projects)}
    keys = ["project_id", "attribution_id"]
    keys += ["unit_id"] if by_unit else []
    keys += ["bucket"] if by_bucket else []
    names = ", ".join(keys)
    time = moment_of(query.granularity)
    # No rollup holds buckets by unit of work: the charges of the period are read.
    widths = () if by_bucket and by_unit else ("hour",) if by_unit else WIDTHS[query.granularity]
    table = "unit_cells" if by_unit else "rollup_lines" if by_bucket else "rollup_calls"
    parts: list[str] = []
    for each in cover(query.start, query.end, widths):
        if each.width is None:
            parts.append(charges_of_period(each, keys, sums, time, parameters))
            continue
        grain = "" if by_unit else f"AND grain = '{each.width}' "
        parts.append(
            f"SELECT {names}, {time.format('period_start')} AS at, {listed(sums, each.sign)} FROM {table} "
            f"WHERE project_id = ANY(:projects) {grain}AND {each.within('period_start', parameters)}"
        )
    cells = " UNION ALL ".join(parts)
    source = f"cells s{belonging(query, by_unit=by_unit)}"
    return Plan(by_bucket, sums, f"WITH cells AS NOT MATERIALIZED ({cells})", source, parameters)


def belonging(query: CostQuery, *, by_unit: bool) -> str:
    """The joins of cells `s` with what they belong to, as far as it is asked for.

    Over one project the joins name it: the planner then knows how many rows an id finds.
    """
    used = (*query.group_by, *(name for name, _ in query.filters))
    one = len(query.projects) == 1
    joins = ""
    if "project" in used:
        joins += " JOIN projects p ON p.id = s.project_id"
    if any(name in NARROW_DIMENSIONS and name != "project" for name in used):
        on = "a.project_id = ANY(:projects)" if one else "a.project_id = s.project_id"
        joins += f" JOIN attributions a ON {on} AND a.attribution_id = s.attribution_id"
    if by_unit:
        on = "u.project_id = ANY(:projects)" if one else "u.project_id = s.project_id"
        joins += f" JOIN work_units u ON {on} AND u.unit_id = s.unit_id"
    return joins


def moment_of(grain: Granularity) -> str:
    """The SQL of an answer's `time`, with a place for the column it is made from."""
    return "CAST(NULL AS timestamptz)" if grain is Granularity.NONE else f"date_trunc('{grain.value}', {{}}, 'UTC')"


def charges_of_period(
    part: Part,
    keys: Sequence[str],
    sums: tuple[str, ...],
    time: str,
    parameters: dict[str, Any],
) -> str:
    """A query of the live charges of some minutes, added up, or taken off, by the keys and `at`."""
    sign = str(part.sign)
    of_charge = {key: f"c.{key}" for key in keys if key != "bucket"} | {"at": time.format("c.end_at")}
    within = part.within("c.end_at", parameters)
    first, last = part.start.astimezone(UTC).date().replace(day=1), part.end.astimezone(UTC).date()
    source = (
        f"charges c WHERE c.project_id = ANY(:projects) AND {within} AND c.superseded_at IS NULL "
        f"AND c.month >= '{first}' AND c.month <= '{last}'"
    )
    if sums == LINE_SUMS:
        return f"SELECT {', '.join(keys)}, at, {', '.join(sums)} FROM ({lines_of_charges(source, of_charge, sign)}) l"
    names = ", ".join(f"{value} AS {key}" for key, value in of_charge.items())
    places = ", ".join(str(place) for place in range(1, len(of_charge) + 1))
    return f"SELECT {names}, {of_charges('c', sign, sums)} FROM {source} GROUP BY {places}"


def conditions(
    query: CostQuery, parameters: dict[str, Any], columns: Mapping[str, str] | None = None, mark: str = "filter"
) -> str:
    """The filters as SQL: values of one dimension are alternatives, dimensions narrow; None finds what has none.

    `mark` names their parameters: filters that go to different places of one statement need different ones.
    """
    wanted: dict[str, list[str | None]] = {}
    for name, value in query.filters:
        wanted.setdefault(name, []).append(value)
    clauses: list[str] = []
    for position, (name, values) in enumerate(wanted.items()):
        column = column_of(name, parameters, columns)
        parameters[f"{mark}_{position}"] = [value for value in values if value is not None]
        clause = f"{column} = ANY(CAST(:{mark}_{position} AS text[]))"
        clauses.append(f"({clause} OR {column} IS NULL)" if None in values else clause)
    return " AND ".join(clauses) or "true"
