"""What tokens cost by agent, model and bucket, and how many calls there were: of a whole period, out of kept sums."""

from dataclasses import replace
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, text

from models.core.queries import CostQuery
from models.core.vocabulary import Granularity
from models.costs.cache_report import GROUP
from models.store.cost_sql import belonging, conditions, needs_unit, plan
from models.store.cover import floor, widened
from models.store.sums import lines_of_charges


def calls_by_model(connection: Connection, query: CostQuery) -> list[tuple[Any, ...]]:
    """Calls of a period by agent and model, as rows of GROUPED_COUNTS.

    The sums know calls that were looked at for their price, also those that told no tokens.
    """
    asked = replace(widened(connection, query), group_by=tuple(GROUP), granularity=Granularity.NONE)
    chosen = plan(asked, by_bucket=False)
    where = conditions(asked, chosen.parameters)
    found = connection.execute(
        text(
            f"{chosen.cells} SELECT a.agent, a.model, CAST(sum(s.calls) AS bigint) AS calls FROM {chosen.source} "
            f"WHERE {where} GROUP BY a.agent, a.model HAVING sum(s.charges) <> 0"
        ),
        chosen.parameters,
    )
    return [tuple(row) for row in found]


def lines_by_model(connection: Connection, query: CostQuery) -> list[tuple[Any, ...]]:
    """Tokens and costs of a period by agent, model and bucket, as rows of GROUPED_LINES."""
    asked = replace(widened(connection, query), group_by=(*GROUP, "bucket"), granularity=Granularity.NONE)
    if any(needs_unit(name) for name, _ in asked.filters):
        cells, source, where, parameters = _of_units(connection, asked)
    else:
        chosen = plan(asked, by_bucket=True)
        cells, source, parameters = chosen.cells, chosen.source, chosen.parameters
        where = conditions(asked, parameters)
    # Quantities of lines do not say which of them have a price; tokens do, so these are counted. Tokens of a detail
    # (audio, an image) are those of its bucket: its own row is money alone. What was never priced as plain input
    # (own capacity, a model without a rate for input) counts as having saved nothing, as the ledger's sums say it.
    priced = "sum(s.priced_charges) > 0"
    found = connection.execute(
        text(
            f"{cells} SELECT a.agent, a.model, s.bucket, CAST(sum(s.tokens) AS bigint) AS tokens, "
            "CAST(sum(s.tokens - s.unpriced_tokens) AS bigint) AS quantity, "
            f"CASE WHEN {priced} THEN sum(s.effective_cost) END AS effective_cost, "
            f"CASE WHEN {priced} THEN sum(s.effective_cost + s.cache_savings) END AS cost_without_cache "
            f"FROM {source} WHERE {where} GROUP BY a.agent, a.model, s.bucket HAVING sum(s.charges) <> 0"
        ),
        parameters,
    )
    return [tuple(row) for row in found]


def _of_units(connection: Connection, query: CostQuery) -> tuple[str, str, str, dict[str, Any]]:
    """Cells, source, condition and parameters where filters ask for units of work.

    No sums are kept of their buckets: the charges of these units are added up.
    """
    first, last = (moment.astimezone(UTC).date().replace(day=1) for moment in (query.start, query.end))
    parameters: dict[str, Any] = {
        "projects": list(query.projects),
        "start": query.start,
        "end": query.end,
        "first_hour": floor(query.start, "hour"),
        "first_month": first,
        "last_month": last,
    }
    of_unit = replace(query, filters=tuple(each for each in query.filters if needs_unit(each[0])))
    narrow = replace(query, filters=tuple(each for each in query.filters if not needs_unit(each[0])))
    units = conditions(of_unit, parameters, mark="unit")
    where = conditions(narrow, parameters)
    # A month that is or was closed keeps the charge of a call that belongs to another unit since then.
    was_closed = connection.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM periods WHERE project_id = ANY(:projects) AND state <> 'open' "
            "AND month >= :first_month AND month <= :last_month)"
        ),
        {"projects": list(query.projects), "first_month": first, "last_month": last},
    ).scalar_one()
    of_charge = {name: f"c.{name}" for name in ("project_id", "attribution_id")}
    found = _CHARGES_OF_HOURS if was_closed else _CHARGES_OF_CALLS
    cells = (
        "WITH units AS MATERIALIZED (SELECT u.project_id, u.unit_id FROM work_units u "
        f"WHERE u.project_id = ANY(:projects) AND {units}), found AS MATERIALIZED ({found}), "
        f"cells AS NOT MATERIALIZED ({lines_of_charges('found c', of_charge)})"
    )
    return cells, f"cells s{belonging(narrow, by_unit=False)}", where, parameters


_THEIRS = "(c.project_id, c.unit_id) IN (SELECT project_id, unit_id FROM units)"
_MONTHS = "month >= :first_month AND month <= :last_month"
_LIVE = f"end_at >= :start AND end_at < :end AND {_MONTHS} AND superseded_at IS NULL"
# By the calls of the units, which an index finds; charges of anything else are few.
_CHARGES_OF_CALLS = (
    "SELECT c.* FROM units k, LATERAL (SELECT * FROM calls WHERE project_id = k.project_id AND unit_id = k.unit_id "
    f"AND {_MONTHS} OFFSET 0) call, LATERAL (SELECT * FROM charges WHERE project_id = call.project_id "
    "AND origin_id = call.trace_id AND span_id = call.span_id AND month = call.month AND charge_class = 'usage' "
    f"AND {_LIVE} OFFSET 0) c WHERE {_THEIRS} UNION ALL SELECT c.* FROM charges c "
    f"WHERE c.project_id = ANY(:projects) AND c.charge_class <> 'usage' AND {_LIVE} AND {_THEIRS}"
)
# By the hours in which the units have charges: all of these hours are read.
_CHARGES_OF_HOURS = (
    "SELECT c.* FROM (SELECT k.project_id, r.period_start FROM units k, LATERAL (SELECT period_start "
    "FROM rollup_units WHERE project_id = k.project_id AND unit_id = k.unit_id AND period_start >= :first_hour "
    "AND period_start < :end OFFSET 0) r UNION SELECT c.project_id, c.period_start FROM unit_parts c "
    f"WHERE c.project_id = ANY(:projects) AND c.period_start >= :first_hour AND c.period_start < :end AND {_THEIRS}"
    ") hours, LATERAL (SELECT * FROM charges WHERE project_id = hours.project_id "
    "AND end_at >= hours.period_start AND end_at < hours.period_start + interval '1 hour' "
    f"AND {_LIVE} OFFSET 0) c WHERE {_THEIRS}"
)
