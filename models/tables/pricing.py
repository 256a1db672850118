"""Price books and their rates: immutable, sourced, effective-dated."""

from datetime import datetime, time

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Count, Moment, Price


class PriceBook(Base):
    """A set of rates recorded together. What replaces it supersedes it; its rates stay for the charges made by them."""

    __tablename__ = "price_books"
    __table_args__ = (Index(None, "project_id", "name"),)

    book_id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int | None] = mapped_column(BigInteger)
    """Null: the shipped book, in force for every project."""
    name: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    recorded_by: Mapped[str | None] = mapped_column(Text)
    superseded_at: Mapped[Moment | None]


class Rate(Base):
    """USD per million of one bucket of one model over a half-open period; null bounds are open."""

    __tablename__ = "rates"
    __table_args__ = (
        Index(None, "book_id", "price_provider", "price_model"),
        CheckConstraint("price_per_m >= 0", name="price_is_not_negative"),
        CheckConstraint("valid_from IS NULL OR valid_to IS NULL OR valid_from < valid_to", name="period_is_not_empty"),
        CheckConstraint("kind IN ('list', 'contract')", name="kind"),
    )

    book_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    rate_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """A hash of what the rate says: the same rate in a later book has the same id."""
    kind: Mapped[str] = mapped_column(Text)
    priority: Mapped[Count]
    price_provider: Mapped[str] = mapped_column(Text)
    price_model: Mapped[str] = mapped_column(Text)
    bucket: Mapped[str] = mapped_column(Text)
    tier: Mapped[str] = mapped_column(Text)
    region: Mapped[str | None] = mapped_column(Text)
    context_from: Mapped[Count]
    price_per_m: Mapped[Price]
    valid_from: Mapped[Moment | None]
    valid_to: Mapped[Moment | None]
    daily_start: Mapped[time | None]
    daily_end: Mapped[time | None]
    source: Mapped[str] = mapped_column(Text)
