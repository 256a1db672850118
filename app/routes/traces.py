"""`/api/v1/traces/{trace_id}`: the span tree with self and inclusive cost."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import json_response, tree_json
from app.routes.calls import trace_bytes
from models.core.errors import NotFound

router = APIRouter(prefix="/api/v1", tags=["traces"])


@router.get("/traces/{trace_id}")
def trace(trace_id: str, who: Annotated[Principal, Depends(viewer)], project: str | None = None) -> Response:
    """One trace, of the first project that may be seen and holds it, unless one is named."""
    wanted = trace_bytes(trace_id)
    for project_id in who.readable(project):
        tree = wiring.current().reader.trace(project_id, wanted)
        if tree is not None:
            return json_response(tree_json(tree))
    raise NotFound(f"no span of trace {trace_id} is stored. Check the id, and whether its spans arrived.")
