"""Real calls with what they cost, for replaying them under a scenario."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.errors import BadInput
from models.core.frames import USD
from models.core.queries import CostQuery
from models.core.vocabulary import BUCKETS
from models.store.call_frame import ROW, to_rate
from models.store.calls import frame_of_rows
from models.store.cost_sql import conditions

MOST_CALLS = 2_000_000
"""More than these do not fit the memory of a server process at once; the period has to be narrower."""


def calls_with_costs(connection: Connection, query: CostQuery) -> pl.DataFrame:
    """Calls of a period and filter as frames.CALLS without price keys, with the effective cost of their charge.

    Units    USD; null where the call is unpriced or not yet priced.
    Raises   BadInput for an unknown dimension, the dimension bucket, or too many calls.
    """
    if any(name == "bucket" for name, _ in query.filters):
        raise BadInput(
            "calls cannot be filtered by bucket.", [{"field": "filter", "reason": "bucket is part of a call"}]
        )
    parameters: dict[str, Any] = {
        "projects": list(query.projects),
        "start": query.start,
        "end": query.end,
        "first": _month(query.start),
        "last": _month(query.end),
        "most": MOST_CALLS + 1,
    }
    where = conditions(query, parameters)
    columns = ", ".join(f"c.{name}" for name in ROW)
    found = connection.execute(
        text(
            f"SELECT {columns}, c.month, h.effective_cost FROM calls c JOIN projects p ON p.id = c.project_id "
            "JOIN work_units u ON u.project_id = c.project_id AND u.unit_id = c.unit_id "
            "LEFT JOIN charges h ON h.project_id = c.project_id AND h.origin_id = c.trace_id AND h.span_id = c.span_id "
            "AND h.month = c.month AND h.charge_class = 'usage' AND h.superseded_at IS NULL "
            # Of the charge where there is one: it names the deployment that served the call. See store.call_pages.
            "CROSS JOIN LATERAL (SELECT * FROM attributions WHERE project_id = c.project_id "
            "AND attribution_id = coalesce(h.attribution_id, c.attribution_id) OFFSET 0) a "
            "WHERE c.project_id = ANY(:projects) AND c.end_at >= :start AND c.end_at < :end "
            f"AND c.month BETWEEN :first AND :last AND {where} LIMIT :most"
        ),
        parameters,
    ).all()
    if len(found) > MOST_CALLS:
        raise BadInput(f"the period and filter hold more than {MOST_CALLS:,} calls; narrow them.")
    costs = pl.Series("effective_cost", [row[-1] for row in found], dtype=USD)
    calls = frame_of_rows([tuple(row)[:-1] for row in found])
    names = calls.select("provider", "model")
    return (
        to_rate(calls)
        .with_columns(names.get_columns())
        .with_columns(costs)
        .with_columns(pl.col(bucket.value).cast(pl.Int64) for bucket in BUCKETS)
    )


def _month(moment: datetime) -> date:
    return moment.astimezone(UTC).date().replace(day=1)
