"""Guardrails: budgets, channels, incidents and their deliveries, and the traces waiting to be watched."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Moment, Usd


class ChannelRow(Base):
    """Where alerts go. One without a filter takes every alert of its project."""

    __tablename__ = "channels"
    __table_args__ = (
        CheckConstraint("kind IN ('webhook', 'slack', 'email')", name="kind"),
        Index(None, "project_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    """Address of the webhook; `mailto:` for e-mail."""
    secret: Mapped[str | None] = mapped_column(Text)
    """Key of the signature. Needed in the clear to sign, and never shown again."""
    filters: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    removed_at: Mapped[Moment | None]


class BudgetRow(Base):
    """An amount for a period over what a filter selects."""

    __tablename__ = "budgets"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_is_positive"),
        CheckConstraint("period IN ('day', 'week', 'month', 'rolling')", name="period"),
        CheckConstraint("(period = 'rolling') = (rolling_days IS NOT NULL)", name="rolling_days_iff_rolling"),
        CheckConstraint("mode IN ('notify', 'enforce')", name="mode"),
        Index(None, "project_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(Text)
    filters: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    period: Mapped[str] = mapped_column(Text)
    rolling_days: Mapped[int | None] = mapped_column(Integer)
    amount: Mapped[Usd]
    thresholds: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    channels: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))
    mode: Mapped[str] = mapped_column(Text, server_default="notify")
    owner: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    removed_at: Mapped[Moment | None]
    revision: Mapped[int] = mapped_column(Integer, server_default="1")


class IncidentRow(Base):
    """Something that pages. What is found again updates the row of its dedup key instead of opening another."""

    __tablename__ = "incidents"
    __table_args__ = (
        # Delivered twice, found twice, crashed in between: one incident.
        UniqueConstraint("project_id", "dedup_key", name="uq_incidents_dedup_key"),
        CheckConstraint("state IN ('open', 'acknowledged', 'snoozed', 'resolved')", name="state"),
        CheckConstraint("(state = 'snoozed') = (snoozed_until IS NOT NULL)", name="snoozed_until_iff_snoozed"),
        CheckConstraint("(state = 'resolved') = (resolved_at IS NOT NULL)", name="resolved_at_iff_resolved"),
        Index(None, "project_id", "opened_at"),
        Index("ix_incidents_live", "last_seen_at", postgresql_where=text("state <> 'resolved'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    dedup_key: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    agent: Mapped[str | None] = mapped_column(Text)
    team: Mapped[str | None] = mapped_column(Text)
    session: Mapped[str | None] = mapped_column(Text)
    trace_id: Mapped[bytes | None] = mapped_column(LargeBinary)
    budget_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("budgets.id"))
    repeats: Mapped[int | None] = mapped_column(BigInteger)
    cost_so_far: Mapped[Usd | None]
    cost_per_minute: Mapped[Usd | None]
    waste: Mapped[Usd | None]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB)
    quiet: Mapped[bool]
    """Found only in spans that arrived long after they ended: shown, not sent."""
    opened_at: Mapped[Moment]
    last_seen_at: Mapped[Moment]
    acknowledged_at: Mapped[Moment | None]
    acknowledged_by: Mapped[str | None] = mapped_column(Text)
    snoozed_until: Mapped[Moment | None]
    resolved_at: Mapped[Moment | None]
    resolved_by: Mapped[str | None] = mapped_column(Text)


class DeliveryRow(Base):
    """One message owed to one channel: written with the incident, sent afterwards, at least once."""

    __tablename__ = "deliveries"
    __table_args__ = (
        # An event of an incident is owed to a channel once, however often the watch runs.
        UniqueConstraint("incident_id", "channel_id", "event", name="uq_deliveries_event"),
        CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
        Index("ix_deliveries_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    incident_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("incidents.id"))
    channel_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("channels.id"))
    event: Mapped[str] = mapped_column(Text)
    """`opened`, `threshold:80`, `reopened:…` or `resolved:…`."""
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    delivered_at: Mapped[Moment | None]


class UnwatchedTrace(Base):
    """A trace whose spans changed and that the detectors have not seen since: a queue. Twice is harmless."""

    __tablename__ = "unwatched_traces"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class SpendMinute(Base):
    """Effective cost of calls by minute and attribution, as commits of charges brought it: parts that add up.

    Kept for as long as burn rates look back; `spend` merges the parts and drops what is older.
    """

    __tablename__ = "spend_minutes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    attribution_id: Mapped[int] = mapped_column(BigInteger)
    minute: Mapped[Moment]
    cost: Mapped[Usd]
