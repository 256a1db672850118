"""Deployments, their prices and their capacity in the database. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from models.core.errors import Conflict, NotFound
from models.core.frames import USD
from models.store.capacity_queue import mark_hours, mark_hours_of_deployment, queue_matching_calls
from models.tables.capacity import CapacityHourRow, DeploymentRateRow, DeploymentRow

FIELDS = (
    "name",
    "architecture",
    "accelerator",
    "engine",
    "precision",
    "kv_precision",
    "chips",
    "attention_groups",
    "concurrency",
    "role",
    "match_service",
    "match_model",
    "match_server_address",
)


@dataclass(slots=True, frozen=True, kw_only=True)
class DeploymentRate:
    """What a chip-hour costs from a moment on, until the next."""

    valid_from: datetime
    usd_per_chip_hour: Decimal
    source: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Deployment:
    """A model on hardware as kept, with its prices in the order of time."""

    deployment_id: int
    fields: Mapping[str, Any]
    """By FIELDS."""
    created_at: datetime
    retired_at: datetime | None
    rates: Sequence[DeploymentRate]


def list_deployments(connection: Connection, projects: Sequence[int], *, retired: bool = False) -> list[Deployment]:
    """Deployments of some projects by name; retired ones only when asked for."""
    wanted = select(DeploymentRow.__table__).where(DeploymentRow.project_id.in_(projects)).order_by(DeploymentRow.name)
    if not retired:
        wanted = wanted.where(DeploymentRow.retired_at.is_(None))
    rows = connection.execute(wanted).mappings().all()
    priced = select(DeploymentRateRow.__table__).where(DeploymentRateRow.project_id.in_(projects))
    rates: dict[int, list[DeploymentRate]] = {}
    for rate in connection.execute(priced.order_by(DeploymentRateRow.valid_from)).mappings():
        rates.setdefault(rate["deployment_id"], []).append(
            DeploymentRate(
                valid_from=rate["valid_from"], usd_per_chip_hour=rate["usd_per_chip_hour"], source=rate["source"]
            )
        )
    return [
        Deployment(
            deployment_id=row["deployment_id"],
            fields={name: row[name] for name in FIELDS},
            created_at=row["created_at"],
            retired_at=row["retired_at"],
            rates=rates.get(row["deployment_id"], []),
        )
        for row in rows
    ]


def deployment_of(connection: Connection, project_id: int, deployment_id: int) -> Deployment:
    """One deployment of a project.

    Raises   NotFound.
    """
    for found in list_deployments(connection, [project_id], retired=True):
        if found.deployment_id == deployment_id:
            return found
    raise NotFound(f"there is no deployment {deployment_id} in this project. GET /api/v1/deployments lists them.")


def add_deployment(connection: Connection, project_id: int, fields: Mapping[str, Any]) -> int:
    """Keep a new deployment, and have the calls that its rule takes priced again; returns its id.

    Raises   Conflict where one of the name is in service.
    """
    added = connection.execute(
        insert(DeploymentRow)
        .values(project_id=project_id, **{name: fields[name] for name in FIELDS})
        .on_conflict_do_nothing()
        .returning(DeploymentRow.deployment_id)
    ).scalar()
    if added is None:
        raise Conflict(f"a deployment named {fields['name']!r} is in service. Change it, or retire it first.")
    queue_matching_calls(connection, project_id, [fields], added)
    return added


def change_deployment(
    connection: Connection, project_id: int, deployment_id: int, fields: Mapping[str, Any]
) -> Deployment:
    """Replace the fields of a deployment; calls are placed again, and its hours are shared again.

    Raises   NotFound; Conflict where it is retired or another one has the name.
    """
    before = deployment_of(connection, project_id, deployment_id)
    if before.retired_at is not None:
        raise Conflict(f"deployment {deployment_id} was retired. Add a new one.")
    queue_matching_calls(connection, project_id, [before.fields, fields], deployment_id)
    mark_hours_of_deployment(connection, project_id, deployment_id)
    taken = [
        other
        for other in list_deployments(connection, [project_id])
        if other.fields["name"] == fields["name"] and other.deployment_id != deployment_id
    ]
    if taken:
        raise Conflict(f"a deployment named {fields['name']!r} is in service. Choose another name.")
    connection.execute(
        update(DeploymentRow)
        .where(DeploymentRow.project_id == project_id, DeploymentRow.deployment_id == deployment_id)
        .values({name: fields[name] for name in FIELDS})
    )
    return deployment_of(connection, project_id, deployment_id)


def retire_deployment(connection: Connection, project_id: int, deployment_id: int) -> None:
    """Take a deployment out of service; it stays, because charges name it. Twice is once.

    Raises   NotFound.
    """
    before = deployment_of(connection, project_id, deployment_id)
    queue_matching_calls(connection, project_id, [before.fields], deployment_id)
    connection.execute(
        update(DeploymentRow)
        .where(
            DeploymentRow.project_id == project_id,
            DeploymentRow.deployment_id == deployment_id,
            DeploymentRow.retired_at.is_(None),
        )
        .values(retired_at=func.now())
    )


def set_rate(connection: Connection, project_id: int, deployment_id: int, rate: DeploymentRate) -> None:
    """Set what a chip-hour costs from a moment on; the same moment again replaces the price.

    Hours with capacity from then on are shared again.
    """
    values = {"usd_per_chip_hour": rate.usd_per_chip_hour, "source": rate.source}
    keys = {"project_id": project_id, "deployment_id": deployment_id, "valid_from": rate.valid_from}
    statement = insert(DeploymentRateRow).values(**keys, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=values))
    mark_hours_of_deployment(connection, project_id, deployment_id, rate.valid_from - timedelta(hours=1))


def set_capacity(
    connection: Connection,
    project_id: int,
    deployment_id: int,
    hours: Sequence[tuple[datetime, Decimal, Decimal | None]],
) -> int:
    """Set the chip-hours of some hours and what they were billed; an hour set again is replaced. Returns how many.

    These hours are shared (again).
    """
    if not hours:
        return 0
    statement = insert(CapacityHourRow).values(
        [
            {
                "project_id": project_id,
                "deployment_id": deployment_id,
                "hour": hour,
                "chip_hours": chip_hours,
                "billed_cost": billed_cost,
            }
            for hour, chip_hours, billed_cost in hours
        ]
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["project_id", "deployment_id", "hour"],
            set_={"chip_hours": statement.excluded.chip_hours, "billed_cost": statement.excluded.billed_cost},
        )
    )
    mark_hours(connection, project_id, [hour for hour, _, _ in hours])
    return len(hours)


def capacity_bills(connection: Connection, project_id: int, start: datetime, end: datetime) -> pl.DataFrame:
    """Capacity by deployment and hour as hardware_reconcile.BILLS, with the deployment's id beside its name.

    Units    chip_seconds; USD: the billed amount, else chip-hours × the rate in force; null where no rate is known.
    """
    rows = connection.execute(
        text(
            "SELECT c.project_id, d.name, c.hour, c.chip_hours * 3600, "
            "coalesce(c.billed_cost, c.chip_hours * r.usd_per_chip_hour), c.deployment_id "
            "FROM capacity_hours c JOIN deployments d USING (project_id, deployment_id) "
            "LEFT JOIN LATERAL (SELECT usd_per_chip_hour FROM deployment_rates r WHERE r.project_id = c.project_id "
            "AND r.deployment_id = c.deployment_id AND r.valid_from <= c.hour ORDER BY valid_from DESC LIMIT 1) r "
            "ON true WHERE c.project_id = :project_id AND c.hour >= :start AND c.hour < :end ORDER BY c.hour, d.name"
        ),
        {"project_id": project_id, "start": start, "end": end},
    ).all()
    schema = {
        "project_id": pl.Int64(),
        "deployment": pl.String(),
        "hour": pl.Datetime("us", "UTC"),
        "chip_seconds": pl.Float64(),
        "cost": USD,
        "deployment_id": pl.Int64(),
    }
    values = [(row[0], row[1], row[2], float(row[3]), row[4], row[5]) for row in rows]
    return pl.DataFrame(values, schema=schema, orient="row")
