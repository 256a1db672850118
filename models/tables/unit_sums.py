"""Sums per task, session, user and set of tags: what the long lists read. Conclusions, added up again at any time."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, DateTime, Identity, Index, Numeric, Text, desc, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Count, Moment
from models.tables.ledger import SumColumns


class UnitPart(SumColumns, Base):
    """Sums per hour, attribution and unit of work, as one commit of charges brought them: a queue that is read.

    Every row counts until it is put into the other sums of units, in one transaction: figures never wait for it.
    """

    __tablename__ = "unit_parts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    period_start: Mapped[Moment]
    attribution_id: Mapped[Count]
    unit_id: Mapped[Count]
    task_id: Mapped[Count | None]
    """64-bit hash of the unit's task; null: it has none."""
    session_id: Mapped[Count | None]
    """64-bit hash of the unit's session; null: it has none."""
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class UnitTotal(SumColumns, Base):
    """Everything of one task or session, whatever its hours: a question that holds all its hours needs this alone."""

    __tablename__ = "unit_totals"
    __table_args__ = (
        # Serves pages of the costliest tasks and sessions.
        Index("ix_unit_totals_costliest", "project_id", "kind", desc("sort_cost"), "place"),
        # Serves those that a period cuts through, and distinct counts of tasks by user, session and tags.
        Index(
            "ix_unit_totals_hours",
            "project_id",
            "kind",
            "first_hour",
            "last_hour",
            postgresql_include=("key_id", "session_id", "user_id", "tags_id", "is_mixed", "calls"),
        ),
        Index("ix_unit_totals_mixed", "project_id", "kind", postgresql_where=text("is_mixed")),
        Index(
            "ix_unit_totals_long",
            "project_id",
            "kind",
            postgresql_where=text("(last_hour - first_hour) >= '48:00:00'::interval"),
        ),
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    """`task` or `session`."""
    key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """64-bit hash of the name."""
    name: Mapped[str] = mapped_column(Text)
    place: Mapped[str] = mapped_column(Text(collation="C"))
    """Where it sorts among equals, as answers sort it."""
    first_hour: Mapped[Moment]
    last_hour: Mapped[Moment]
    """All its cells lie in these hours and between them. Hours that became empty may still be inside."""
    session_id: Mapped[Count | None]
    user_id: Mapped[Count | None]
    tags_id: Mapped[Count | None]
    """Of a task: 64-bit hashes of what its units say; 0 where they say nothing. Null for sessions."""
    is_mixed: Mapped[bool] = mapped_column(Boolean)
    """A task whose units differ in session, user or tags: these have to be looked up."""
    sort_cost: Mapped[object] = mapped_column(Numeric)
    """Effective cost; far below zero where nothing is priced."""


class RollupKey(SumColumns, Base):
    """Sums per day or month and user, set of tags, or the calls without a task or session."""

    __tablename__ = "rollup_keys"

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    """`user`, `tags`, `task` or `session`; of the last two only what has none."""
    grain: Mapped[str] = mapped_column(Text, primary_key=True)
    """`day` or `month`, UTC."""
    period_start: Mapped[Moment] = mapped_column(primary_key=True)
    key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """64-bit hash of the name; 0 where there is none."""
    name: Mapped[str | None] = mapped_column(Text)
    """The user, or the tags as JSON."""
