"""`/api/v1/status`: how far the road from bytes to figures has come."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import json_response

router = APIRouter(prefix="/api/v1", tags=["operations"])


@router.get("/status")
def status(who: Annotated[Principal, Depends(viewer)]) -> Response:
    """`spans_pending` 0 means that all that was acknowledged is resolved, priced and summed up."""
    found = wiring.current().reader.status(who.project_ids)
    return json_response(
        {
            "spans_stored": found.spans_stored,
            "spans_pending": found.spans_pending,
            "calls": found.calls,
            "lag_seconds": found.lag_seconds,
            "priced_through": found.priced_through,
            "version": found.version,
        }
    )
