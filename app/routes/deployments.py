"""Deployments: models on hardware of one's own, what a chip-hour costs, and the chip-hours provisioned."""

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from app import wiring
from app.auth import Principal, editor, viewer
from app.routes.hardware import catalogue
from models.core.hardware import HardwareCatalogue
from models.core.money import plain
from models.core.time import rfc3339
from models.costs.hardware_estimate import accelerator_named, architecture_named
from models.store.audit import append_audit
from models.store.capacity import (
    Deployment,
    DeploymentRate,
    add_deployment,
    change_deployment,
    deployment_of,
    list_deployments,
    retire_deployment,
    set_capacity,
    set_rate,
)

router = APIRouter(prefix="/api/v1/deployments", tags=["hardware"])
Reads = Annotated[Principal, Depends(viewer)]
Edits = Annotated[Principal, Depends(editor)]
Known = Annotated[HardwareCatalogue, Depends(catalogue)]
Precision = Literal["bf16", "fp16", "fp8", "int8", "fp4", "int4", "mxfp4"]


class DeploymentBody(BaseModel):
    """A deployment. `architecture` and `accelerator` are ids of the catalogue; the rule needs at least one part."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    architecture: str
    accelerator: str
    engine: str | None = Field(None, max_length=200)
    precision: Precision = "fp8"
    kv_precision: Literal["bf16", "fp16", "fp8", "int8", "int4"] = "bf16"
    chips: int = Field(ge=1, le=1_000_000)
    attention_groups: int = Field(1, ge=1, le=10_000)
    concurrency: int = Field(1, ge=1, le=1_000_000)
    role: Literal["aggregated", "prefill", "decode"] = "aggregated"
    match_service: str | None = Field(None, min_length=1, max_length=500)
    match_model: str | None = Field(None, min_length=1, max_length=500)
    match_server_address: str | None = Field(None, min_length=1, max_length=500)

    @model_validator(mode="after")
    def rule_says_something(self) -> "DeploymentBody":
        """A rule without parts would take calls to providers as well."""
        if self.match_service is None and self.match_model is None and self.match_server_address is None:
            raise ValueError("give at least one of match_service, match_model, match_server_address")
        return self


class RateBody(BaseModel):
    """What a chip-hour costs from a moment on."""

    model_config = ConfigDict(extra="forbid")

    valid_from: AwareDatetime
    usd_per_chip_hour: Decimal = Field(ge=0, le=1_000_000, max_digits=20, decimal_places=9, allow_inf_nan=False)
    source: str = Field(min_length=1, max_length=500)


class CapacityBody(BaseModel):
    """Chip-hours provisioned in the hour that begins at `hour`, and the invoice's amount where it is known."""

    model_config = ConfigDict(extra="forbid")

    hour: AwareDatetime
    chip_hours: Decimal = Field(ge=0, le=1_000_000, decimal_places=6, allow_inf_nan=False)
    billed_cost: Decimal | None = Field(None, ge=0, le=1_000_000_000, decimal_places=15, allow_inf_nan=False)

    @model_validator(mode="after")
    def hour_is_whole(self) -> "CapacityBody":
        """Capacity is kept by whole hours of UTC."""
        if self.hour.astimezone(UTC).replace(minute=0, second=0, microsecond=0) != self.hour:
            raise ValueError(f"hour {rfc3339(self.hour)} is not the start of an hour in UTC")
        return self


def shown(deployment: Deployment) -> dict[str, Any]:
    """A deployment as answered."""
    return {
        "id": deployment.deployment_id,
        **deployment.fields,
        "created_at": rfc3339(deployment.created_at),
        "retired_at": None if deployment.retired_at is None else rfc3339(deployment.retired_at),
        "rates": [
            {
                "valid_from": rfc3339(rate.valid_from),
                "usd_per_chip_hour": plain(rate.usd_per_chip_hour),
                "source": rate.source,
            }
            for rate in deployment.rates
        ],
    }


@router.get("")
def list_all(who: Reads, retired: bool = False) -> dict[str, Any]:
    """Deployments in service, or all."""
    with wiring.transaction() as connection:
        return {"rows": [shown(each) for each in list_deployments(connection, who.project_ids, retired=retired)]}


@router.post("", status_code=201)
def add(body: DeploymentBody, who: Edits, known: Known) -> dict[str, Any]:
    """Add a deployment."""
    architecture_named(known, body.architecture)
    accelerator_named(known, body.accelerator)
    with wiring.transaction() as connection:
        added = add_deployment(connection, who.project_id, body.model_dump())
        _audit(connection, who, "deployment.add", added, after=body.model_dump())
        return shown(deployment_of(connection, who.project_id, added))


@router.put("/{deployment_id}")
def change(deployment_id: int, body: DeploymentBody, who: Edits, known: Known) -> dict[str, Any]:
    """Replace a deployment's fields."""
    architecture_named(known, body.architecture)
    accelerator_named(known, body.accelerator)
    with wiring.transaction() as connection:
        before = deployment_of(connection, who.project_id, deployment_id)
        after = change_deployment(connection, who.project_id, deployment_id, body.model_dump())
        _audit(connection, who, "deployment.change", deployment_id, before=before.fields, after=after.fields)
        return shown(after)


@router.delete("/{deployment_id}", status_code=204)
def retire(deployment_id: int, who: Edits) -> Response:
    """Take a deployment out of service; what it cost stays."""
    with wiring.transaction() as connection:
        retire_deployment(connection, who.project_id, deployment_id)
        _audit(connection, who, "deployment.retire", deployment_id)
    return Response(status_code=204)


@router.put("/{deployment_id}/rates")
def price(deployment_id: int, body: RateBody, who: Edits) -> dict[str, Any]:
    """Set what a chip-hour costs from a moment on."""
    with wiring.transaction() as connection:
        deployment_of(connection, who.project_id, deployment_id)
        rate = DeploymentRate(**body.model_dump())
        set_rate(connection, who.project_id, deployment_id, rate)
        _audit(connection, who, "deployment.price", deployment_id, after=asdict(rate))
        return shown(deployment_of(connection, who.project_id, deployment_id))


@router.put("/{deployment_id}/capacity")
def provision(
    deployment_id: int, body: Annotated[list[CapacityBody], Field(min_length=1, max_length=10_000)], who: Edits
) -> dict[str, int]:
    """Set the chip-hours of some hours; of two rows for one hour the later one counts."""
    hours = {each.hour: (each.hour, each.chip_hours, each.billed_cost) for each in body}
    with wiring.transaction() as connection:
        deployment_of(connection, who.project_id, deployment_id)
        kept = set_capacity(connection, who.project_id, deployment_id, list(hours.values()))
        _audit(connection, who, "deployment.capacity", deployment_id, after={"hours": kept})
    return {"hours": kept}


def _audit(
    connection: Any,
    who: Principal,
    action: str,
    deployment_id: int,
    before: Any = None,
    after: Any = None,
) -> None:
    append_audit(
        connection,
        actor=who.actor,
        action=action,
        subject=f"deployment:{deployment_id}",
        at=datetime.now(UTC),
        before=before,
        after=after,
        project_id=who.project_id,
    )
