"""`/api/v1/periods`: months, their checklist, closing and reopening; who owns a cost centre."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app import closing, wiring
from app.auth import PROJECT_HEADER, Principal, editor, viewer
from app.routes.asking import json_response
from models.core.queries import Project
from models.core.time import rfc3339
from models.store.audit import append_audit
from models.store.owners import set_owner
from models.store.period_checks import FAIL, OK, WARN, checks_of, month_bounds
from models.store.periods import list_periods, month_named, soft_close_period

router = APIRouter(prefix="/api/v1", tags=["periods"])

Reads = Annotated[Principal, Depends(viewer)]
Edits = Annotated[Principal, Depends(editor)]


def named_project(
    request: Request,
    project: Annotated[str | None, Query(description="Only this project; default: every one that may be seen.")] = None,
) -> str | None:
    """The project that a request is about, by parameter or header; None for all."""
    return project or request.headers.get(PROJECT_HEADER)


Named = Annotated[str | None, Depends(named_project)]


class Close(BaseModel):
    """How to close. `force` passes failing checks, with a reason; `soft` marks a month as under review only."""

    model_config = ConfigDict(extra="forbid")

    force: bool = False
    soft: bool = False
    reason: str | None = Field(default=None, max_length=2000)


class Reopen(BaseModel):
    """Why a closed month is opened again."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=2000)


class Owner(BaseModel):
    """Who answers for a cost centre from a day on."""

    model_config = ConfigDict(extra="forbid")

    owner: str = Field(min_length=1, max_length=200)
    valid_from: date


def chosen(who: Principal, name: str | None) -> Sequence[Project]:
    """The projects a request is about. Raises NotFound for a name that does not exist."""
    ids = who.readable(name)
    return [project for project in who.projects if project.id in ids]


@router.get("/periods")
def periods(who: Reads, named: Named) -> Response:
    """Months with charges or with a state, the newest first."""
    with wiring.transaction() as connection:
        rows = list_periods(connection, who.readable(named))
    return json_response({"rows": [row.as_json() for row in rows], "next_cursor": None})


@router.get("/periods/{period}")
@router.get("/periods/{period}/summary")
def summary(period: str, who: Reads, named: Named) -> Response:
    """A month: its state per project, its totals, what has no owner or no price, and what corrects it later."""
    month, ids = month_named(period), who.readable(named)
    start, end = month_bounds(month)
    statement = wiring.current().reader.statement(ids, month)
    with wiring.transaction() as connection:
        rows = [row.as_json() for row in list_periods(connection, ids, month)]
    states = {row["state"] for row in rows}
    told = statement.as_json()
    unallocated = [row for row in told["rows"] if row["cost_center"] is None]
    return json_response(
        {
            "period": period,
            "start": rfc3339(start),
            "end": rfc3339(end),
            "state": states.pop() if len(states) == 1 else "mixed",
            "projects": rows,
            "total": told["total"],
            "amount": told["amount"],
            "ledger_total": told["ledger_total"],
            "currency": "USD",
            "unpriced_calls": told["unpriced_calls"],
            "without_cost_center": unallocated[0]["total"] if unallocated else "0",
        }
    )


@router.get("/periods/{period}/checks")
def checks(period: str, who: Reads, named: Named) -> Response:
    """The checklist of a month: each line with its number, and what to do where it is not in order."""
    month, at = month_named(period), datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    with wiring.transaction() as connection:
        for project in chosen(who, named):
            found = checks_of(connection, project.id, month, at)
            rows += [{"project": project.name, **check.as_json()} for check in found]
    worst = next((state for state in (FAIL, WARN, OK) if any(row["state"] == state for row in rows)), OK)
    return json_response({"period": period, "state": worst, "ready": worst != FAIL, "rows": rows})


@router.post("/periods/{period}/close")
def close(period: str, who: Edits, named: Named, how: Close | None = None) -> Response:
    """Close a month in every project, or in the one named; 409 names each failing check."""
    month, asked = month_named(period), how or Close()
    projects = chosen(who, named)
    if asked.soft:
        with wiring.transaction() as connection:
            for project in projects:
                at = datetime.now(UTC)
                soft_close_period(connection, project.id, month, actor=who.actor, at=at, reason=asked.reason)
        return json_response({"period": period, "state": "soft_closed"})
    taken = closing.close(projects, month, actor=who.actor, force=asked.force, reason=asked.reason)
    return json_response(
        {
            "period": period,
            "state": "closed",
            "snapshots": {name: snapshot.as_json() for name, snapshot in taken.items()},
        }
    )


@router.post("/periods/{period}/reopen")
def reopen(period: str, who: Edits, named: Named, how: Reopen) -> Response:
    """Open a closed month again; its snapshots stay."""
    month = month_named(period)
    closing.reopen(chosen(who, named), month, actor=who.actor, reason=how.reason)
    return json_response({"period": period, "state": "reopened"})


@router.put("/cost-centers/{cost_center}/owner", status_code=204)
def owner(cost_center: str, who: Edits, how: Owner) -> Response:
    """Name who answers for a cost centre from a day on; statements show it."""
    with wiring.transaction() as connection:
        set_owner(connection, who.project_id, cost_center, how.owner, how.valid_from)
        append_audit(
            connection,
            actor=who.actor,
            action="cost_center.owner",
            subject=f"cost_center:{cost_center}",
            at=datetime.now(UTC),
            after={"owner": how.owner, "valid_from": how.valid_from.isoformat()},
            project_id=who.project_id,
        )
    return Response(status_code=204)
