"""Capacity: models served on hardware of one's own, what a chip-hour costs, and the chip-hours provisioned."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Numeric,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Count, Moment, Price, Usd


class DeploymentRow(Base):
    """A model on hardware, and the rule by which calls are found to run on it. Null parts of the rule match all."""

    __tablename__ = "deployments"
    __table_args__ = (
        Index("uq_deployments_name", "project_id", "name", unique=True, postgresql_where=text("retired_at IS NULL")),
        CheckConstraint("role IN ('aggregated', 'prefill', 'decode')", name="role"),
        CheckConstraint("chips > 0 AND attention_groups > 0 AND concurrency > 0", name="sizes_are_positive"),
        # A rule that matches everything would take calls to providers as well.
        CheckConstraint(
            "match_service IS NOT NULL OR match_model IS NOT NULL OR match_server_address IS NOT NULL",
            name="rule_matches_something",
        ),
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    deployment_id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    architecture: Mapped[str] = mapped_column(Text)
    """Id of a model in the hardware catalogue."""
    accelerator: Mapped[str] = mapped_column(Text)
    engine: Mapped[str | None] = mapped_column(Text)
    precision: Mapped[str] = mapped_column(Text)
    kv_precision: Mapped[str] = mapped_column(Text)
    chips: Mapped[int]
    """Chips of one replica."""
    attention_groups: Mapped[int] = mapped_column(server_default=text("1"))
    concurrency: Mapped[int]
    """Requests a replica serves at a time, where the hour does not tell."""
    role: Mapped[str] = mapped_column(Text)
    match_service: Mapped[str | None] = mapped_column(Text)
    match_model: Mapped[str | None] = mapped_column(Text)
    match_server_address: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    retired_at: Mapped[Moment | None]


class DeploymentRateRow(Base):
    """What a chip-hour of a deployment costs from a moment on, until the next such row."""

    __tablename__ = "deployment_rates"
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "deployment_id"], ["deployments.project_id", "deployments.deployment_id"]),
        CheckConstraint("usd_per_chip_hour >= 0", name="price_is_not_negative"),
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    deployment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    valid_from: Mapped[Moment] = mapped_column(primary_key=True)
    usd_per_chip_hour: Mapped[Price]
    source: Mapped[str] = mapped_column(Text)


class CapacityHourRow(Base):
    """Chip-hours provisioned for a deployment in one hour, and what they were billed where the invoice tells."""

    __tablename__ = "capacity_hours"
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "deployment_id"], ["deployments.project_id", "deployments.deployment_id"]),
        CheckConstraint("chip_hours >= 0", name="chip_hours_are_not_negative"),
        CheckConstraint("hour = date_trunc('hour', hour, 'UTC')", name="hour_is_whole"),
        Index(None, "project_id", "hour"),
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    deployment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hour: Mapped[Moment] = mapped_column(primary_key=True)
    chip_hours: Mapped[Decimal] = mapped_column(Numeric(20, 6))
    billed_cost: Mapped[Usd | None]
    """The invoice's amount; null: chip-hours times the rate in force."""


class DirtyCapacityHour(Base):
    """An hour of a project whose capacity has to be shared (again): a queue. Twice the same hour is harmless."""

    __tablename__ = "dirty_capacity_hours"
    __table_args__ = (Index(None, "project_id", "hour"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    hour: Mapped[Moment]
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())


class DeploymentHour(Base):
    """What sharing an hour gave: use and cost by phase, and what nobody used. A conclusion, replaced whole."""

    __tablename__ = "deployment_hours"
    __table_args__ = (Index(None, "project_id", "hour"),)

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    deployment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hour: Mapped[Moment] = mapped_column(primary_key=True)
    calls: Mapped[Count]
    uncached_tokens: Mapped[Count]
    cached_tokens: Mapped[Count]
    generated_tokens: Mapped[Count]
    chip_seconds: Mapped[Decimal | None] = mapped_column(Numeric(24, 9))
    """Provisioned; null where no capacity was entered."""
    prefill_chip_seconds: Mapped[Decimal] = mapped_column(Numeric(24, 9))
    decode_chip_seconds: Mapped[Decimal] = mapped_column(Numeric(24, 9))
    bill: Mapped[Usd | None]
    prefill_cost: Mapped[Usd | None]
    decode_cost: Mapped[Usd | None]
    idle_cost: Mapped[Usd | None]
    """prefill_cost + decode_cost + idle_cost = bill, exactly; all null where the bill is unknown."""
    evidence: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[str | None] = mapped_column(Text)
    """Why calls of this hour have no cost, where some have none."""
