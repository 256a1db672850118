"""The audit trail: who changed what, when and why; each event holds the hash of the one before."""

from typing import Any

from sqlalchemy import BigInteger, Identity, Index, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Moment


class AuditEventRow(Base):
    """One change by a person or a command. Append-only: triggers refuse UPDATE, DELETE and TRUNCATE."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "action", "at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project_id: Mapped[int | None]
    at: Mapped[Moment]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    before: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str | None]
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    """Digest of the event before; 32 zero bytes for the first."""
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
