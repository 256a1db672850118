"""`/api/v1/traces/{trace_id}`: the span tree with self and inclusive cost."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import json_response, tree_json
from app.routes.calls import trace_bytes
from models.core.errors import NotFound
from models.core.queries import TraceTree
from models.core.time import ns_of_utc
from models.core.vocabulary import INPUT_BUCKETS
from models.costs.anatomy import Sent, context_curves, drafts_of, request_sizes, sections_of

router = APIRouter(prefix="/api/v1", tags=["traces"])


@router.get("/traces/{trace_id}")
def trace(trace_id: str, who: Annotated[Principal, Depends(viewer)], project: str | None = None) -> Response:
    """One trace, of the first project that may be seen and holds it, unless one is named."""
    wanted = trace_bytes(trace_id)
    for project_id in who.readable(project):
        tree = wiring.current().reader.trace(project_id, wanted)
        if tree is not None:
            return json_response({**tree_json(tree), "anatomy": anatomy_json(tree)})
    raise NotFound(f"no span of trace {trace_id} is stored. Check the id, and whether its spans arrived.")


def anatomy_json(tree: TraceTree) -> dict[str, Any]:
    """Context per turn and agent with its compactions, and how large the requests of the trace are."""
    requests = [
        Sent(str(call["span_id"]), ns_of_utc(_moment(call["end"])), call["agent_path"], _context(call["tokens"]))
        for node in tree.spans
        if (call := node.call) is not None
    ]
    sizes = request_sizes(requests)
    calls = [node.call for node in tree.spans if node.call is not None]
    drafts = drafts_of((call.get("details") or {}) for call in calls)
    return {
        "prompt_sections": sections_of((_context(call["tokens"]), (call.get("details") or {})) for call in calls),
        "drafts": None if drafts is None else {**asdict(drafts), "acceptance": float(drafts.acceptance)},
        "context": [
            {
                "agent_path": path,
                "compactions": sum(turn.is_compacted for turn in turns),
                "turns": [
                    {"span_id": turn.span_id, "tokens": turn.tokens, "is_compacted": turn.is_compacted}
                    for turn in turns
                ],
            }
            for path, turns in context_curves(requests).items()
        ],
        "request_sizes": {
            **asdict(sizes),
            "share_long": None if sizes.share_long is None else float(sizes.share_long),
        },
    }


def _context(tokens: dict[str, int | None]) -> int | None:
    told = [count for bucket in INPUT_BUCKETS if (count := tokens.get(bucket.value)) is not None]
    return sum(told) if told else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
