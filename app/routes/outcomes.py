"""`/api/v1/outcomes`: how tasks ended, and what an accepted one costs with the failed ones paid for."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app import wiring
from app.auth import Forbidden, Principal, principal, viewer
from app.routes.asking import json_response, period
from models.core.time import rfc3339
from models.store.outcomes import list_outcomes, outcome_summary, record_outcome

router = APIRouter(prefix="/api/v1/outcomes", tags=["outcomes"])

Reads = Annotated[Principal, Depends(viewer)]


def may_tell(who: Annotated[Principal, Depends(principal)]) -> Principal:
    """FastAPI dependency: agents by their ingest key, and whoever may change things; not who only reads."""
    if who.role == "viewer":
        raise Forbidden(f"{who.actor} may only read; an outcome needs a key of scope ingest, or the role editor.")
    return who


Sends = Annotated[Principal, Depends(may_tell)]


class OutcomeBody(BaseModel):
    """How a task ended. `source` says who decided: `human`, `ci`, `judge`, …"""

    model_config = ConfigDict(extra="forbid")

    task_id: str = Field(min_length=1, max_length=1000)
    outcome: Literal["accepted", "rejected", "failed", "unknown"]
    source: str = Field("human", min_length=1, max_length=200)
    note: str | None = Field(default=None, max_length=2000)


@router.post("", status_code=201)
def record(body: OutcomeBody, who: Sends) -> Response:
    """Keep how a task ended; agents may send it with their ingest key. The latest word counts."""
    with wiring.transaction() as connection:
        kept = record_outcome(
            connection,
            who.project_id,
            task=body.task_id,
            outcome=body.outcome,
            source=body.source,
            note=body.note,
            actor=who.actor,
        )
    answer = json_response(kept.as_json())
    answer.status_code = 201
    return answer


@router.get("")
def outcomes(
    who: Reads,
    task_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Outcomes in force, the latest first."""
    with wiring.transaction() as connection:
        rows = list_outcomes(connection, who.project_ids, task=task_id, before_id=cursor, limit=limit + 1)
    page = rows[:limit]
    following = str(page[-1].id) if len(rows) > limit else None
    return json_response({"rows": [row.as_json() for row in page], "next_cursor": following})


@router.get("/summary")
def summary(
    who: Reads,
    start: datetime | None = None,
    end: datetime | None = None,
    by: Annotated[
        str, Query(description="agent, model, provider, team, cost_center, service, tag:task.type")
    ] = "agent",
) -> Response:
    """Cost per accepted task: the cost of all tasks, failed ones included, over the accepted ones."""
    since, until = period(start, end)
    with wiring.transaction() as connection:
        rows, totals = outcome_summary(connection, who.project_ids, since, until, by)
    whole = totals.as_json(by)
    del whole[by]
    return json_response(
        {
            "start": rfc3339(since),
            "end": rfc3339(until),
            "by": by,
            "rows": [row.as_json(by) for row in rows],
            "totals": whole,
        }
    )
