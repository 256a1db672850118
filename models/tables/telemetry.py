"""Tables of telemetry: spans as kept, what ties their traces together, and what is still to be derived."""

from datetime import date

from sqlalchemy import (
    BigInteger,
    Date,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Moment

Id64 = BigInteger
"""A 64-bit hash of content, or a counter."""


class Resource(Base):
    """The attributes of a resource, kept once per project however many spans share them."""

    __tablename__ = "resources"

    project_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    resource_id: Mapped[int] = mapped_column(Id64, primary_key=True, autoincrement=False)
    attributes: Mapped[dict[str, object]] = mapped_column(JSONB)


class Scope(Base):
    """An instrumentation scope, kept once per project."""

    __tablename__ = "scopes"

    project_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    scope_id: Mapped[int] = mapped_column(Id64, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)


class SpanBlock(Base):
    """Spans of one trace that came together. A fact: appended, never changed, dropped by the day.

    Spans that share their row, key and compression take a third of the space and a fraction of the time that each
    would take alone. No span lies in two blocks of a day: whoever adds to a trace holds its row of `trace_days`. The
    view `spans` has one row per span. The columns stand in the order of their alignment.
    """

    __tablename__ = "span_blocks"
    __table_args__ = (
        # The first id is that of one block alone. The day is in the key because a key of a partitioned table must
        # hold it.
        PrimaryKeyConstraint("project_id", "trace_id", "span_id", "day"),
        # Serves scans by time; a thousandth of a btree's size, as spans arrive nearly in order of their end.
        Index("ix_span_blocks_last_end_ns", "last_end_ns", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (day)"},
    )

    resource_id: Mapped[int] = mapped_column(Id64)
    scope_id: Mapped[int] = mapped_column(Id64)
    last_end_ns: Mapped[int] = mapped_column(BigInteger)
    """When the last of its spans ended."""
    received_at: Mapped[Moment] = mapped_column(server_default=func.now())
    project_id: Mapped[int] = mapped_column(Integer)
    day: Mapped[date] = mapped_column(Date)
    """The UTC day on which all of its spans ended."""
    signal: Mapped[int] = mapped_column(SmallInteger)
    """0 traces, 1 logs, 2 metrics."""
    trace_id: Mapped[bytes] = mapped_column(LargeBinary)
    span_id: Mapped[bytes] = mapped_column(LargeBinary)
    """The lowest of its span ids."""
    span_ids: Mapped[bytes] = mapped_column(LargeBinary)
    """Every span id, eight bytes each, ascending."""
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """The spans: JSON in a zstandard frame (`models.store.span_codec`)."""


class TraceDay(Base):
    """On which days a trace has spans, so that reading a trace opens those partitions and no other.

    Who adds spans to a trace inserts or locks this row first, so that two commits cannot store one span twice.
    """

    __tablename__ = "trace_days"

    project_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)


class StoredSpans(Base):
    """Spans stored of a day, by commit: parts that add up, so that counting them reads no span."""

    __tablename__ = "stored_spans"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project_id: Mapped[int] = mapped_column(Integer)
    day: Mapped[date] = mapped_column(Date)
    spans: Mapped[int] = mapped_column(BigInteger)


class TraceLink(Base):
    """A provider response or gateway id that a trace mentions: traces that share one are derived together.

    The id is kept as a 64-bit hash. Two ids of one hash would be derived together, which costs time and changes
    no figure.
    """

    __tablename__ = "trace_links"
    __table_args__ = (Index(None, "project_id", "trace_id"),)

    project_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    link_id: Mapped[int] = mapped_column(Id64, primary_key=True, autoincrement=False)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)


class DirtyTrace(Base):
    """A trace with spans that no derivation has seen yet: one row per commit that brought some.

    Rows are only inserted and deleted, never updated, so a derivation that holds some never makes the collector
    wait; a span that arrives meanwhile brings a row with another version, and the trace is derived again.
    """

    __tablename__ = "dirty_traces"

    project_id: Mapped[int] = mapped_column(Integer)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(Id64, Identity(always=True), primary_key=True)
    spans: Mapped[int] = mapped_column(Integer)
    """How many new spans the commit brought."""
    since: Mapped[Moment] = mapped_column(server_default=func.now())


class LargeTrace(Base):
    """A trace of many spans and when it was derived last: the next derivation waits in proportion to its size."""

    __tablename__ = "large_traces"

    project_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    spans: Mapped[int] = mapped_column(Integer)
    derived_at: Mapped[Moment] = mapped_column(server_default=func.now())


class RejectionRow(Base):
    """Input that could not be taken: position and reason, never its content."""

    __tablename__ = "rejections"
    __table_args__ = (
        # The same fault of the same body, sent again, is one rejection.
        Index("uq_rejections_digest", "project_id", "digest", unique=True),
        Index(None, "project_id", "received_at"),
    )

    id: Mapped[int] = mapped_column(Id64, Identity(always=True), primary_key=True)
    project_id: Mapped[int] = mapped_column(Integer)
    received_at: Mapped[Moment] = mapped_column(server_default=func.now())
    digest: Mapped[int] = mapped_column(Id64)
    """Of position, reason, ids and body."""
    position: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    trace_id: Mapped[bytes | None] = mapped_column(LargeBinary)
    span_id: Mapped[bytes | None] = mapped_column(LargeBinary)


class RedactionKey(Base):
    """The installation's key for hashes of tool arguments; one row, made by the migration."""

    __tablename__ = "redaction_keys"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    key: Mapped[bytes] = mapped_column(LargeBinary)
