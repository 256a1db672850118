"""Who pays: ownership rules, owners of cost centres, outcomes of tasks, billing periods and their snapshots."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Count, Moment, Usd


class TagRuleRow(Base):
    """One version of an ownership rule. A change supersedes it and adds a version; nothing is overwritten."""

    __tablename__ = "tag_rules"
    __table_args__ = (
        CheckConstraint("target IN ('team', 'cost_center')", name="target"),
        CheckConstraint("stage BETWEEN 1 AND 3", name="stage"),
        CheckConstraint("valid_from IS NULL OR valid_to IS NULL OR valid_from < valid_to", name="period_is_not_empty"),
        CheckConstraint("jsonb_array_length(conditions) > 0", name="has_a_condition"),
        Index(
            "uq_tag_rules_live", "project_id", "rule_id", unique=True, postgresql_where=text("superseded_at IS NULL")
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    rule_id: Mapped[Count]
    """Stays the same over the versions of a rule; attributions name it."""
    version: Mapped[int] = mapped_column(Integer)
    position: Mapped[int] = mapped_column(Integer)
    stage: Mapped[int] = mapped_column(SmallInteger)
    target: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)
    conditions: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    """Each `{"dimension", "match", "pattern"}`; all have to hold."""
    valid_from: Mapped[Moment | None]
    valid_to: Mapped[Moment | None]
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    recorded_by: Mapped[str] = mapped_column(Text)
    superseded_at: Mapped[Moment | None]


class CostCenterOwnerRow(Base):
    """Who answers for a cost centre from a day on, until the next such row."""

    __tablename__ = "cost_center_owners"

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    cost_center: Mapped[str] = mapped_column(Text, primary_key=True)
    valid_from: Mapped[date] = mapped_column(Date, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)


class OutcomeRow(Base):
    """How a task ended, and who says so. The latest word counts; earlier ones stay."""

    __tablename__ = "outcomes"
    __table_args__ = (
        CheckConstraint("outcome IN ('accepted', 'rejected', 'failed', 'unknown')", name="outcome"),
        Index("uq_outcomes_live", "project_id", "task", unique=True, postgresql_where=text("superseded_at IS NULL")),
        Index(None, "project_id", "recorded_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    task: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    """`human`, `ci`, `judge`, …: whoever decided."""
    note: Mapped[str | None] = mapped_column(Text)
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    recorded_by: Mapped[str] = mapped_column(Text)
    superseded_at: Mapped[Moment | None]


class PeriodRow(Base):
    """The state of one month of one project. A month without a row is open."""

    __tablename__ = "periods"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'soft_closed', 'closed', 'reopened')", name="state"),
        CheckConstraint("extract(day FROM month) = 1", name="month_is_its_first_day"),
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[Moment]
    changed_by: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)


class PeriodSnapshotRow(Base):
    """What a month was when it closed. Append-only; reopening and closing again adds another number."""

    __tablename__ = "period_snapshots"

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    """Of the canonical lines of its live charges."""
    charges: Mapped[Count]
    unpriced_charges: Mapped[Count]
    list_cost: Mapped[Usd]
    billed_cost: Mapped[Usd]
    effective_cost: Mapped[Usd]
    """Sums over the priced charges; 0 where there are none, and `unpriced_charges` says what is not in it."""
    rules: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """The ownership rules in force."""
    checks: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    taken_at: Mapped[Moment]
    taken_by: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it was closed although a check failed."""
