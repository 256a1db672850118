"""Hardware: the catalogue, and what one request costs on a piece of it."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from app import wiring
from app.auth import Principal, viewer
from app.hardware import catalogue_of
from models.core.hardware import HardwareCatalogue
from models.costs.hardware_estimate import EstimateRequest, estimate
from models.costs.hardware_listing import listing

router = APIRouter(prefix="/api/v1/hardware", tags=["hardware"])
LARGEST_COUNT = 10**9


def catalogue() -> HardwareCatalogue:
    """FastAPI dependency: the catalogue of this instance."""
    return catalogue_of(wiring.current().settings.data_dir)


class EstimateBody(BaseModel):
    """A request and the hardware it would run on; ids as in the catalogue, `input_tokens` without cached ones."""

    model_config = ConfigDict(extra="forbid")

    accelerator: str
    chips: int = Field(ge=1, le=1_000_000)
    model: str
    precision: str = "fp8"
    kv_precision: str = "bf16"
    concurrency: float = Field(1, ge=1, le=1_000_000)
    input_tokens: int = Field(ge=0, le=LARGEST_COUNT)
    cache_read_tokens: int = Field(0, ge=0, le=LARGEST_COUNT)
    output_tokens: int = Field(ge=0, le=LARGEST_COUNT)
    usd_per_chip_hour: Decimal | None = Field(None, ge=0, le=1_000_000, allow_inf_nan=False)
    calibration: str = "prior"


@router.get("")
def list_hardware(
    known: Annotated[HardwareCatalogue, Depends(catalogue)], _: Annotated[Principal, Depends(viewer)]
) -> dict[str, Any]:
    """Accelerators, models and storage tiers with the source and confidence of each figure."""
    return listing(known)


@router.post("/estimate")
def estimate_request(
    body: EstimateBody,
    known: Annotated[HardwareCatalogue, Depends(catalogue)],
    _: Annotated[Principal, Depends(viewer)],
) -> dict[str, Any]:
    """Accelerator-seconds, time, memory and dollars of one request under a steady load."""
    return estimate(EstimateRequest(**body.model_dump()), known).as_json()
