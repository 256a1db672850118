"""`/api/v1/quality`: how far the figures can be trusted, with examples and what to change."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import filters, json_response, period, visible
from models.core.money import plain
from models.core.quality import Quality

router = APIRouter(prefix="/api/v1", tags=["operations"])


@router.get("/quality")
def quality(
    who: Annotated[Principal, Depends(viewer)],
    start: datetime | None = None,
    end: datetime | None = None,
    filter_texts: Annotated[list[str] | None, Query(alias="filter")] = None,
) -> Response:
    """Coverage by instrumentation, findings, and estimates of calls without usage, which no total contains.

    Only `project` filters apply: data quality is a property of what was sent.
    """
    since, until = period(start, end)
    projects = visible(who, filters(filter_texts))
    return json_response(quality_json(wiring.current().reader.quality(projects, since, until)))


def quality_json(found: Quality) -> dict[str, Any]:
    """The answer as JSON: money as exact decimal strings, ids in hex."""
    return {
        "start": found.start,
        "end": found.end,
        "calls": found.calls,
        "is_all": found.is_all,
        "coverage": [asdict(row) for row in found.coverage],
        "findings": [{**asdict(row), "kind": row.kind.value} for row in found.findings],
        "unmetered": [
            {**asdict(row), **{name: plain(getattr(row, name)) for name in ("cost", "cost_low", "cost_high")}}
            for row in found.unmetered
        ],
        "metrics": [{**asdict(gap), "missing": gap.missing} for gap in found.metrics],
    }
