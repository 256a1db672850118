"""Sharing one billed request among the agents that took part in it: the rules, and each agent's share."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Index,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Moment, Usd


class AllocationRuleRow(Base):
    """Which calls are shared, among whom and by what. A fact: retired, never changed."""

    __tablename__ = "allocation_rules"
    __table_args__ = (
        CheckConstraint("method IN ('equal', 'by_output', 'first_payer')", name="method"),
        CheckConstraint("jsonb_array_length(conditions) > 0", name="has_a_condition"),
        Index(
            "uq_allocation_rules_name", "project_id", "name", unique=True, postgresql_where=text("retired_at IS NULL")
        ),
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    rule_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    conditions: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    """Each `{"dimension", "match", "pattern"}`; all have to hold."""
    agents: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """Null: the agents that each call names itself."""
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    recorded_by: Mapped[str] = mapped_column(Text)
    retired_at: Mapped[Moment | None]


class Allocation(Base):
    """One agent's share of one charge under one rule. Σ shares = the charge, exactly. A conclusion.

    The shares stand in the ledger as charges of class `allocation`, beside one that takes the whole off the agent
    that the call names, so that every sum by agent holds them and every other sum stays what it was.
    """

    __tablename__ = "allocations"
    __table_args__ = (Index(None, "project_id", "end_at"),)

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    origin_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """The trace of the call; with its span the charge that is shared."""
    span_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    rule_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    agent: Mapped[str] = mapped_column(Text, primary_key=True)
    month: Mapped[date] = mapped_column(Date)
    end_at: Mapped[Moment]
    position: Mapped[int] = mapped_column(SmallInteger)
    """The agent's place in the order in which they spoke."""
    rule: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    weight: Mapped[Decimal] = mapped_column(Numeric)
    list_cost: Mapped[Usd]
    billed_cost: Mapped[Usd]
    effective_cost: Mapped[Usd]
