"""Answers by task, session, user or tag from the sums kept for them: pages of the costliest without adding all up.

A task or session whose hours all lie in the period is answered by its total. Those that the period cuts through, and
those with parts that no total holds yet, are *apart*: they are added up from their own cells.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from models.core.queries import CostQuery
from models.core.vocabulary import CostBasis, Granularity
from models.store.cost_sql import UNIT, Part, Plan, charges_of_period, conditions, moment_of
from models.store.cover import WIDTHS, cover, floor, rounded
from models.store.engine import PLANNED_ANEW
from models.store.sums import CALL_SUMS, added, listed
from models.store.unit_sums import UNPRICED

TAG = "tag:"
LONG = timedelta(hours=48)
"""From this age on a task or session is found by an index of its own."""
_SUMS = ", ".join(CALL_SUMS)
_NAMES = {"task": "u.task", "session": "u.session", "user": "u.user_id", "tags": "u.tags::text"}


def kind_of(query: CostQuery) -> str | None:
    """`task`, `session`, `user` or `tags` where the rows are those (and projects), and nothing else is asked."""
    wide = {"tags" if name.startswith(TAG) else name for name in query.group_by if name != "project"}
    if len(wide) != 1 or any(name != "project" for name, _ in query.filters):
        return None
    [kind] = wide
    if kind not in _NAMES:
        return None
    if kind in ("task", "session") and (query.granularity is not Granularity.NONE or not whole_hours(query)):
        return None
    return kind


def whole_hours(query: CostQuery) -> bool:
    """Whether the period can be read as whole UTC hours, but for its edges."""
    hours = hours_of(query)
    return hours.start < hours.end


def keyed_plan(
    query: CostQuery, kind: str, shared: dict[str, Any] | None = None, sums: tuple[str, ...] = CALL_SUMS
) -> Plan:
    """Cells per user or set of tags; of tasks and sessions, those of calls that have none.

    Months and days are kept so; hours, minutes and parts that are not in them yet are looked up. `shared` are the
    parameters of a statement that this becomes a part of. `sums` are those wanted, in the order of CALL_SUMS.
    """
    parameters: dict[str, Any] = {"projects": list(query.projects)} if shared is None else shared
    time = moment_of(query.granularity)
    is_listed = kind in ("user", "tags")
    name = _NAMES[kind] if is_listed else "CAST(NULL AS text)"
    names = ", ".join(sums)
    kept: list[str] = []
    looked_up: list[str] = []
    for part in cover(query.start, query.end, WIDTHS[query.granularity]):
        if part.width is None:
            looked_up.append(charges_of_period(part, ("project_id", "unit_id"), sums, time, parameters))
            continue
        within = f"r.project_id = ANY(:projects) AND {part.within('r.period_start', parameters)}"
        if part.width != "hour":
            kept.append(
                f"SELECT r.project_id, {time.format('r.period_start')} AS at, r.name, "
                f"{listed(sums, part.sign)} FROM rollup_keys r "
                f"WHERE {within} AND r.kind = '{kind}' AND r.grain = '{part.width}'"
            )
        only = "" if is_listed else f" AND r.{kind}_id IS NULL"
        looked_up.append(
            f"SELECT r.project_id, r.unit_id, {time.format('r.period_start')} AS at, "
            f"{added(sums, sign=part.sign)} "
            f"FROM {'unit_cells' if part.width == 'hour' else 'unit_parts'} r WHERE {within}{only} GROUP BY 1, 2, 3"
        )
    of_units = " UNION ALL ".join(
        f"SELECT r.project_id, r.at, {name} AS name, {names} FROM ({each}) r, {UNIT} "
        f"WHERE {'true' if is_listed else f'{_NAMES[kind]} IS NULL'}"
        for each in looked_up
    )
    columns = {kind: "s.name"} if kind != "tags" else {TAG: "CAST(s.name AS jsonb)"}
    source = "cells s JOIN projects p ON p.id = s.project_id"
    every = " UNION ALL ".join([*kept, "SELECT * FROM looked_up"])
    cells = f"WITH looked_up AS MATERIALIZED ({of_units}), cells AS NOT MATERIALIZED ({every})"
    return Plan(False, sums, cells, source, parameters, columns)


def edge_cells(query: CostQuery, whole: Part, kind: str, parameters: dict[str, Any]) -> list[str]:
    """Queries of charges, as cells of units of work, that the whole hours of a period lack or hold too much."""
    by = ("project_id", "attribution_id", "unit_id")
    return [
        f"SELECT r.project_id, hashtextextended({_NAMES[kind]}, 0) AS key_id, r.attribution_id, r.unit_id, {_SUMS} "
        f"FROM ({charges_of_period(part, by, CALL_SUMS, moment_of(Granularity.NONE), parameters)}) r, {UNIT} "
        f"WHERE {_NAMES[kind]} IS NOT NULL"
        for part in (
            Part(None, query.start, whole.start),
            Part(None, whole.end, query.end),
            Part(None, whole.start, query.start, -1),
            Part(None, query.end, whole.end, -1),
        )
        if part.start < part.end
    ]


def hours_of(query: CostQuery) -> Part:
    """The whole UTC hours that a period is read as, but for its edges; empty where it is too short for any."""
    return Part("hour", *rounded(query.start, query.end, "hour", datetime.now(UTC)))


def apart_of(query: CostQuery, kind: str, parameters: dict[str, Any], *, by_unit: bool = False) -> str:
    """The CTEs `apart` (keys) and `apart_cells` (what they sum up to in the period) for a kind with totals.

    Where the period cuts through a task or session, its own cells are read. Of one that only has parts beside its
    total, or minutes to be added or taken off, the total is the first cell: it may go on for months, and grow all the
    time. `by_unit`: cells are wanted by unit of work, so that all are read.
    """
    whole = hours_of(query)
    parameters |= {
        "start_hour": floor(query.start, "hour"),
        "first_hour": whole.start,
        "last_hour": whole.end,
        "before_first": whole.start - LONG,
        "before_last": whole.end - LONG,
        "end": query.end,
    }
    totals = (
        "SELECT t.project_id, t.key_id FROM unit_totals t "
        f"WHERE t.project_id = ANY(:projects) AND t.kind = '{kind}' AND "
    )
    at_start = "t.first_hour < :first_hour AND t.last_hour >= :start_hour"
    at_end = "t.first_hour < :end AND t.last_hour >= :last_hour"
    cell = f"r.project_id, r.{kind}_id AS key_id, NULL AS name, r.attribution_id, r.unit_id"
    edges = edge_cells(query, whole, kind, parameters)
    seen = f"edges AS MATERIALIZED ({' UNION ALL '.join(edges)}), " if edges else ""
    at_edges = "UNION SELECT project_id, key_id FROM edges " if edges else ""
    within = whole.within("r.period_start", parameters)
    cells = [
        f"SELECT {cell}, {', '.join(f'r.{name}' for name in CALL_SUMS)} "
        f"FROM {'apart' if by_unit else 'crossing'} c, LATERAL (SELECT * "
        f"FROM rollup_units r WHERE r.project_id = c.project_id AND r.{kind}_id = c.key_id "
        # By the key alone: a table not analysed yet would be looked up by the hours, all of it for every key.
        f"OFFSET 0) r WHERE {within}",
        # Every key of a part is apart.
        f"SELECT {cell}, {_SUMS} FROM unit_parts r WHERE r.project_id = ANY(:projects) "
        f"AND r.{kind}_id IS NOT NULL AND {within}",
    ]
    if not by_unit:
        cells.append(
            f"SELECT t.project_id, t.key_id, t.name, NULL, NULL, {', '.join(f't.{name}' for name in CALL_SUMS)} "
            "FROM (SELECT * FROM apart EXCEPT SELECT * FROM crossing) k, LATERAL (SELECT * FROM unit_totals "
            f"WHERE project_id = k.project_id AND kind = '{kind}' AND key_id = k.key_id "
            "OFFSET 0) t WHERE t.first_hour >= :first_hour AND t.last_hour < :last_hour"
        )
    if edges:
        cells.append(f"SELECT project_id, key_id, NULL, attribution_id, unit_id, {_SUMS} FROM edges")
    return (
        f"{seen}crossing AS MATERIALIZED ({totals} t.first_hour >= :before_first AND {at_start} "
        f"UNION {totals} t.first_hour >= :before_last AND {at_end} "
        f"UNION {totals} (t.last_hour - t.first_hour) >= interval '48:00:00' AND (({at_start}) OR ({at_end}))), "
        f"apart AS MATERIALIZED (SELECT * FROM crossing "
        f"{at_edges}UNION SELECT r.project_id, r.{kind}_id FROM unit_parts r WHERE r.project_id = ANY(:projects) "
        f"AND r.{kind}_id IS NOT NULL), apart_cells AS ({' UNION ALL '.join(cells)})"
    )


INSIDE = (
    "t.first_hour >= :first_hour AND t.last_hour < :last_hour "
    "AND (t.project_id, t.key_id) NOT IN (SELECT project_id, key_id FROM apart)"
)
"""Which totals hold what the period holds. A hashed subplan, and no join, so that an index keeps its order."""


def totals_page(
    connection: Connection, query: CostQuery, kind: str, after: str, parameters: dict[str, Any]
) -> Sequence[Any]:
    """One page of tasks or sessions with their sums, `sort_cost` and `place`, the costliest first.

    `after` is the condition on sort_cost and place that begins the page, `parameters` its values.
    """
    projects = _with_charges(connection, query)
    parameters = {**parameters, "projects": projects, "page": query.limit + 1}
    nameless = keyed_plan(query, kind, parameters).cells
    apart = apart_of(query, kind, parameters)
    known = "listed_charges" if query.basis is CostBasis.LIST else "priced_charges"
    cost = f"CASE WHEN {known} > 0 THEN {query.basis.value}_cost ELSE {UNPRICED}::numeric END"
    of = {"project": "p.name", kind: "e.name"}
    keys = ", ".join(f"{of[name]} AS key_{position}" for position, name in enumerate(query.group_by))
    place = f'jsonb_build_array({", ".join(of[name] for name in query.group_by)})::text COLLATE "C"'
    total = f"SELECT t.project_id, t.name, {', '.join(f't.{name}' for name in CALL_SUMS)} FROM unit_totals t"
    if "project" in query.group_by or len(projects) == 1:
        # Only effective cost has an index; the other two are sorted.
        ordered = "t.sort_cost" if query.basis is CostBasis.EFFECTIVE else cost
        own_place = place.replace("e.name", "t.name") if "project" in query.group_by else "t.place"
        inner = after.replace("sort_cost", f"({ordered})").replace("place >", "q.place >")
        begins = "true" if query.cursor is None else f"{ordered} <= :after_cost"
        inside = (
            "SELECT top.* FROM unnest(CAST(:projects AS bigint[])) AS each (id) JOIN projects p ON p.id = each.id, "
            f"LATERAL ({total}, LATERAL (SELECT {own_place} AS place) q "
            f"WHERE t.project_id = each.id AND t.kind = '{kind}' AND {INSIDE} AND {begins} AND {inner} "
            f"ORDER BY {ordered} DESC, t.place LIMIT :page) top"
        )
        every = "SELECT * FROM named"
    else:
        inside = f"{total} WHERE t.project_id = ANY(:projects) AND t.kind = '{kind}' AND {INSIDE}"
        every = f"SELECT min(project_id) AS project_id, name, {added(CALL_SUMS)} FROM named GROUP BY name"
    return connection.execute(
        text(
            f"{nameless}, {apart}, groups AS (SELECT project_id, key_id, max(name) AS name, max(unit_id) AS unit_id, "
            f"{added(CALL_SUMS)} FROM apart_cells GROUP BY project_id, key_id HAVING sum(charges) <> 0), "
            f"named AS (({inside}) UNION ALL SELECT g.project_id, coalesce(g.name, {_NAMES[kind]}), "
            f"{', '.join(f'g.{name}' for name in CALL_SUMS)} FROM groups g "
            f"LEFT JOIN {UNIT.replace('r.', 'g.')} ON true "
            f"UNION ALL SELECT project_id, NULL, {added(CALL_SUMS)} FROM cells GROUP BY project_id "
            "HAVING sum(charges) <> 0), "
            f"placed AS (SELECT {keys}, CAST(NULL AS timestamptz) AS at, "
            f"{', '.join(f'e.{name}' for name in CALL_SUMS)}, {cost} AS sort_cost, {place} AS place "
            f"FROM ({every}) e JOIN projects p ON p.id = e.project_id) "
            f"SELECT * FROM placed WHERE {after} ORDER BY sort_cost DESC, place LIMIT :page"
        ),
        parameters,
        execution_options=PLANNED_ANEW,
    ).all()


def _with_charges(connection: Connection, query: CostQuery) -> list[int]:
    """The projects asked for that have charges in the months of the period: often one, where many may be seen."""
    parameters: dict[str, Any] = {
        "projects": list(query.projects),
        "start": floor(query.start, "month"),
        "end": query.end,
    }
    where = conditions(query, parameters)
    found = connection.execute(
        text(
            f"SELECT p.id FROM projects p WHERE p.id = ANY(:projects) AND {where} AND EXISTS (SELECT 1 "
            "FROM rollup_calls r WHERE r.project_id = p.id AND r.grain = 'month' AND r.period_start >= :start "
            "AND r.period_start < :end) ORDER BY p.id"
        ),
        parameters,
    )
    return list(found.scalars())
