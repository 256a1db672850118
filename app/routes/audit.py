"""`/api/v1/audit`: who changed what, when and why."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import json_response
from models.store.audit import list_events

router = APIRouter(prefix="/api/v1", tags=["operations"])

# PostgreSQL's text holds no NUL.
Exactly = Annotated[str | None, Query(max_length=500, pattern=r"^[^\x00]*$")]


@router.get("/audit")
def audit(
    who: Annotated[Principal, Depends(viewer)],
    subject: Exactly = None,
    action: Exactly = None,
    actor: Exactly = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> Response:
    """Changes in the projects that may be seen, the newest first; those of keys and people are for administrators."""
    with wiring.transaction() as connection:
        found = list_events(
            connection,
            who.project_ids,
            with_instance=who.role == "admin",
            subject=subject,
            action=action,
            actor=actor,
            before_id=cursor,
            limit=limit + 1,
        )
    page = found[:limit]
    following = page[-1].id if len(found) > limit else None
    return json_response({"rows": [event.as_json() for event in page], "next_cursor": following})
