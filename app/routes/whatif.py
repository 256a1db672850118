"""What-if: real calls under another price book, hardware, cache or model."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from app import wiring
from app.auth import Principal, viewer
from app.routes.asking import cost_query
from app.routes.hardware import catalogue
from app.whatif import answer_whatif
from models.core.hardware import HardwareCatalogue
from models.core.vocabulary import CostBasis

router = APIRouter(prefix="/api/v1", tags=["what-if"])


class WhatIfBody(BaseModel):
    """Which calls, and what would be different. `filter` as in `/api/v1/costs`; kinds of scenario: docs/hardware.md."""

    model_config = ConfigDict(extra="forbid")

    start: datetime | None = None
    end: datetime | None = None
    filter: list[str] = Field(default_factory=list, max_length=100)
    scenario: dict[str, Any]


@router.post("/whatif")
def whatif(
    body: WhatIfBody,
    who: Annotated[Principal, Depends(viewer)],
    known: Annotated[HardwareCatalogue, Depends(catalogue)],
) -> dict[str, Any]:
    """Replay the calls of a period under a scenario."""
    query = cost_query(who, body.start, body.end, (), body.filter, CostBasis.EFFECTIVE, 1, None)
    with wiring.transaction() as connection:
        return answer_whatif(connection, who.project_id, query, body.scenario, known).as_json()
