"""`/api/v1/calls`: billable calls with their buckets, charges and where each count was read."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import filters, json_response, period, visible
from models.core.errors import BadInput
from models.core.queries import CallQuery

router = APIRouter(prefix="/api/v1", tags=["calls"])


@router.get("/calls")
def calls(
    who: Annotated[Principal, Depends(viewer)],
    trace_id: str | None = None,
    session: str | None = None,
    agent: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    filter_texts: Annotated[list[str] | None, Query(alias="filter")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Calls, newest first; without a period all of them."""
    chosen = filters(filter_texts)
    since, until = period(start, end) if start is not None else (None, period(None, end)[1] if end else None)
    page = wiring.current().reader.calls(
        CallQuery(
            projects=visible(who, chosen),
            start=since,
            end=until,
            trace_id=None if trace_id is None else trace_bytes(trace_id),
            session=session,
            agent=agent,
            filters=chosen,
            limit=limit,
            cursor=cursor,
        )
    )
    return json_response({"calls": page.calls, "next_cursor": page.next_cursor})


def trace_bytes(text: str) -> bytes:
    """A trace id from its 32 hex digits.

    Raises   BadInput.
    """
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 16 or len(text) != 32:
        reason = f"{text[:64]!r} is no trace id: 32 hex digits are"
        raise BadInput(reason, [{"field": "trace_id", "reason": reason}])
    return found
