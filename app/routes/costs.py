"""`/api/v1/costs`, and the lists of agents, tasks, sessions, models and teams with their costs."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import cost_query, costs_json, dimensions, json_response
from models.core.vocabulary import CostBasis, Granularity

router = APIRouter(prefix="/api/v1", tags=["costs"])

Who = Annotated[Principal, Depends(viewer)]
Start = Annotated[datetime | None, Query(description="First moment; default: the first of this UTC month.")]
End = Annotated[datetime | None, Query(description="First moment after the period; default: now.")]
Filters = Annotated[
    list[str] | None,
    Query(alias="filter", description="`dimension:value`, `tag:KEY:value`; nothing after the colon: no value."),
]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Cursor = Annotated[str | None, Query(max_length=2_000)]

LISTS = {
    "agents": ("agent", "agent_path"),
    "tasks": ("task",),
    "sessions": ("session",),
    "models": ("provider", "model"),
    "teams": ("team",),
}
"""Route → the dimensions of its rows."""


@router.get("/costs")
def costs(
    who: Who,
    start: Start = None,
    end: End = None,
    group_by: Annotated[str | None, Query(description="Comma-separated dimensions, `tag:KEY` included.")] = None,
    granularity: Granularity = Granularity.NONE,
    filter_texts: Filters = None,
    basis: CostBasis = CostBasis.EFFECTIVE,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Response:
    """Cost and tokens per group. Totals are the same for every grouping, and the sum of the rows of all pages."""
    names = dimensions(group_by)
    query = cost_query(who, start, end, names, filter_texts, basis, limit, cursor, granularity)
    return json_response(costs_json(wiring.current().reader.costs(query)))


def _list(names: tuple[str, ...]) -> Callable[..., Response]:
    def listed(
        who: Who,
        start: Start = None,
        end: End = None,
        filter_texts: Filters = None,
        basis: CostBasis = CostBasis.EFFECTIVE,
        limit: Limit = 1000,
        cursor: Cursor = None,
    ) -> Response:
        query = cost_query(who, start, end, names, filter_texts, basis, limit, cursor)
        return json_response(costs_json(wiring.current().reader.costs(query)))

    return listed


for _path, _names in LISTS.items():
    router.add_api_route(
        f"/{_path}",
        _list(_names),
        methods=["GET"],
        name=_path,
        operation_id=f"list_{_path}",
        description=f"Costs by {' and '.join(_names)}, the costliest first; shaped like /api/v1/costs.",
    )
