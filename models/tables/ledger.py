"""The ledger: calls, what they belong to, their charges, and the sums that pages read."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    desc,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Count, Moment, Usd

MONTHLY = {"postgresql_partition_by": "RANGE (month)"}


class TokenColumns:
    """Tokens in disjoint buckets, in the order of the vocabulary."""

    input: Mapped[Count | None]
    cache_read: Mapped[Count | None]
    cache_write_5m: Mapped[Count | None]
    cache_write_1h: Mapped[Count | None]
    cache_write_unknown: Mapped[Count | None]
    tool_use_input: Mapped[Count | None]
    output: Mapped[Count | None]
    reasoning: Mapped[Count | None]


class Attribution(Base):
    """One set of narrow dimensions, interned: the id is a 64-bit hash of the values."""

    __tablename__ = "attributions"

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    attribution_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    team: Mapped[str | None] = mapped_column(Text)
    cost_center: Mapped[str | None] = mapped_column(Text)
    environment: Mapped[str | None] = mapped_column(Text)
    service: Mapped[str | None] = mapped_column(Text)
    agent: Mapped[str | None] = mapped_column(Text)
    agent_path: Mapped[str | None] = mapped_column(Text)
    provider: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    deployment: Mapped[str | None] = mapped_column(Text)
    operation: Mapped[str | None] = mapped_column(Text)
    hardware: Mapped[str | None] = mapped_column(Text)
    team_rule_id: Mapped[int | None] = mapped_column(BigInteger)
    """The rule that gave the team; null: the span states it, or nobody does."""
    cost_center_rule_id: Mapped[int | None] = mapped_column(BigInteger)


class WorkUnit(Base):
    """One unit of work: task, session, user and tags of calls, interned like an attribution."""

    __tablename__ = "work_units"
    __table_args__ = (
        Index(None, "project_id", "session"),  # serves /api/v1/calls?session=
        Index(None, "project_id", "task"),
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    unit_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    task: Mapped[str | None] = mapped_column(Text)
    session: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))


class Call(TokenColumns, Base):
    """One real request to a provider. A conclusion: replaced whole when its link group reads differently."""

    __tablename__ = "calls"
    __table_args__ = (
        Index(None, "project_id", desc("end_at"), "trace_id", "span_id"),  # serves pages of /api/v1/calls
        Index(None, "project_id", "unit_id"),
        MONTHLY,
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    span_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    end_at: Mapped[Moment]
    start_ns: Mapped[Count]
    end_ns: Mapped[Count]
    status: Mapped[str] = mapped_column(Text)
    attribution_id: Mapped[Count]
    unit_id: Mapped[Count]
    provider: Mapped[str | None] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    request_model: Mapped[str | None] = mapped_column(Text)
    operation: Mapped[str] = mapped_column(Text)
    instrumentation: Mapped[str] = mapped_column(Text)
    usage_source: Mapped[str] = mapped_column(Text)
    convention: Mapped[str] = mapped_column(Text)
    convention_reason: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, int] | None] = mapped_column(JSONB)
    inferred: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    response_id: Mapped[str | None] = mapped_column(Text)
    service_tier: Mapped[str | None] = mapped_column(Text)
    region: Mapped[str | None] = mapped_column(Text)
    server_address: Mapped[str | None] = mapped_column(Text)
    reported_cost: Mapped[Decimal | None] = mapped_column(Numeric)
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    described_by: Mapped[list[bytes] | None] = mapped_column(ARRAY(LargeBinary))
    agents: Mapped[list[list[Any]] | None] = mapped_column(JSONB)
    """Agents that answered inside this one request, each with its output tokens (null: not told), in their order."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """Hash of everything above: an equal digest means that nothing has to be written."""


class UnratedCall(Base):
    """A call that waits for its charge: a queue, cleared by rating. Twice the same call is harmless."""

    __tablename__ = "unrated_calls"
    __table_args__ = (Index(None, "project_id", "trace_id", "span_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary)
    span_id: Mapped[bytes] = mapped_column(LargeBinary)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Suppression(Base):
    """A span with usage that is no call of its own, and why."""

    __tablename__ = "suppressions"

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    span_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    why: Mapped[str] = mapped_column(Text)
    of: Mapped[str | None] = mapped_column(Text)


class Charge(TokenColumns, Base):
    """One call (or purchase, credit, …) priced once, its bucket lines inside as arrays. Append-only but for
    `superseded_at`.

    Lines are arrays and not rows of their own: they are written and read with their charge, never alone, and ten
    million calls a month would be forty million rows with keys longer than their figures.
    """

    __tablename__ = "charges"
    __table_args__ = (
        # Twice is once: one live charge per origin and class, whatever the price book.
        Index(
            "uq_charges_live",
            "project_id",
            "origin_id",
            "span_id",
            "charge_class",
            "month",
            unique=True,
            postgresql_where=text("superseded_at IS NULL AND charge_class <> 'correction'"),
        ),
        Index(
            "uq_charges_corrections",
            "project_id",
            "origin_id",
            "span_id",
            "correction_part",
            "corrects_id",
            "month",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("superseded_at IS NULL AND charge_class = 'correction'"),
        ),
        Index(  # serves statements: corrections, idle capacity and the like are few beside usage
            "ix_charges_other",
            "project_id",
            "month",
            postgresql_where=text("superseded_at IS NULL AND charge_class <> 'usage'"),
        ),
        Index(None, "project_id", "end_at"),  # serves the edge hours of a period, and exports
        Index(  # serves the list of models without a price, and the checklist of a month: few beside those with one
            "ix_charges_unpriced",
            "project_id",
            "end_at",
            postgresql_where=text("superseded_at IS NULL AND price_status = 'unpriced'"),
        ),
        # Own hardware has a cost without anybody listing a price, or a list price and no bill yet.
        CheckConstraint(
            "deployment_id IS NOT NULL OR (price_status = 'priced') = (list_cost IS NOT NULL)",
            name="list_cost_iff_priced",
        ),
        CheckConstraint("(price_status = 'priced') = (billed_cost IS NOT NULL)", name="billed_cost_iff_priced"),
        CheckConstraint("(price_status = 'priced') = (effective_cost IS NOT NULL)", name="effective_cost_iff_priced"),
        CheckConstraint("(price_status = 'priced') = (unpriced_reason IS NULL)", name="reason_iff_unpriced"),
        CheckConstraint(
            "cardinality(line_buckets) = cardinality(line_quantities)"
            " AND cardinality(line_buckets) = cardinality(line_list_costs)",
            name="lines_are_whole",
        ),
        CheckConstraint(
            "(charge_class = 'correction') = (correction_part IS NOT NULL)"
            " AND (charge_class = 'correction') = (usage_at IS NOT NULL)"
            " AND (charge_class = 'correction') = (call_count IS NOT NULL)"
            " AND (corrects_id IS NULL OR charge_class = 'correction')",
            name="correction_is_whole",
        ),
        CheckConstraint("correction_part IN ('late', 'reversal', 'rebooking')", name="correction_part"),
        MONTHLY,
    )

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    charge_id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    origin_id: Mapped[bytes] = mapped_column(LargeBinary)
    span_id: Mapped[bytes] = mapped_column(LargeBinary)
    charge_class: Mapped[str] = mapped_column(Text)
    end_at: Mapped[Moment]
    is_error: Mapped[bool]
    attribution_id: Mapped[Count]
    unit_id: Mapped[Count]
    deployment_id: Mapped[int | None] = mapped_column(BigInteger)
    """The deployment of one's own that served the call, or whose idle time or purchase this is; null: a provider."""
    price_status: Mapped[str] = mapped_column(Text)
    unpriced_reason: Mapped[str | None] = mapped_column(Text)
    list_cost: Mapped[Usd | None]
    billed_cost: Mapped[Usd | None]
    effective_cost: Mapped[Usd | None]
    uncached_cost: Mapped[Usd | None]
    """Effective cost had nothing been cached; null also where the rate of fresh input is unknown."""
    unpriced_tokens: Mapped[Count]
    line_buckets: Mapped[list[str]] = mapped_column(ARRAY(Text))
    line_quantities: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    line_rate_ids: Mapped[list[int | None]] = mapped_column(ARRAY(BigInteger))
    line_prices_per_m: Mapped[list[Decimal | None]] = mapped_column(ARRAY(Numeric(20, 9)))
    line_list_costs: Mapped[list[Decimal | None]] = mapped_column(ARRAY(Numeric(38, 15)))
    # A null array below means "as list" for every line: most charges have no contract and no cache.
    line_billed_rate_ids: Mapped[list[int | None] | None] = mapped_column(ARRAY(BigInteger))
    line_billed_prices_per_m: Mapped[list[Decimal | None] | None] = mapped_column(ARRAY(Numeric(20, 9)))
    line_billed_costs: Mapped[list[Decimal | None] | None] = mapped_column(ARRAY(Numeric(38, 15)))
    line_effective_costs: Mapped[list[Decimal | None] | None] = mapped_column(ARRAY(Numeric(38, 15)))
    line_uncached_costs: Mapped[list[Decimal | None] | None] = mapped_column(ARRAY(Numeric(38, 15)))
    line_assumptions: Mapped[list[str | None] | None] = mapped_column(ARRAY(Text))
    """Null: none of the lines was priced at another part's rate."""
    book_id: Mapped[int | None] = mapped_column(BigInteger)
    correction_part: Mapped[str | None] = mapped_column(Text)
    """Of a correction: `late` (arrived after the close), `reversal` or `rebooking`."""
    usage_at: Mapped[Moment | None]
    """Of a correction: the end of the call it is about, in a closed month. `end_at` is when it was booked."""
    corrects_id: Mapped[int | None] = mapped_column(BigInteger)
    """Of a reversal or rebooking: the charge of the closed month."""
    call_count: Mapped[int | None] = mapped_column(SmallInteger)
    """Of a correction: the calls it adds, 1, 0 (only their cost) or -1."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """Hash of everything above but the moment of recording: an equal one means nothing has to be superseded. What a
    capacity bill gives to a call is not part of it: pricing the call again leaves its share alone."""
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    superseded_at: Mapped[Moment | None]


class DirtyHour(Base):
    """An hour whose sums lie in several parts and wait to be merged into one row per cell."""

    __tablename__ = "dirty_hours"
    __table_args__ = (Index(None, "project_id", "hour"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    hour: Mapped[Moment]
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class SumColumns:
    """What a rollup adds up. Costs are sums over the priced charges; unknown when `priced_charges` is 0.

    List cost has a count of its own, `listed_charges`: calls on own hardware may have a cost and no list price.
    """

    charges: Mapped[Count]
    priced_charges: Mapped[Count]
    listed_charges: Mapped[Count]
    calls: Mapped[Count]
    errors: Mapped[Count]
    unpriced_calls: Mapped[Count]
    unpriced_tokens: Mapped[Count]
    input: Mapped[Count]
    cache_read: Mapped[Count]
    cache_write_5m: Mapped[Count]
    cache_write_1h: Mapped[Count]
    cache_write_unknown: Mapped[Count]
    tool_use_input: Mapped[Count]
    output: Mapped[Count]
    reasoning: Mapped[Count]
    list_cost: Mapped[Usd]
    billed_cost: Mapped[Usd]
    effective_cost: Mapped[Usd]
    cache_savings: Mapped[Usd]


class RollupCall(SumColumns, Base):
    """Sums per period and attribution. A cell may lie in several parts, which add up; merging replaces them."""

    __tablename__ = "rollup_calls"
    __table_args__ = (Index(None, "project_id", "grain", "period_start"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    grain: Mapped[str] = mapped_column(Text)
    """`hour`, `day` or `month`, UTC."""
    period_start: Mapped[Moment]
    attribution_id: Mapped[Count]


class RollupUnit(SumColumns, Base):
    """Sums per UTC hour, attribution and unit of work: what wide groupings with narrow filters read.

    What was charged lately lies in `unit_parts`; the view `unit_cells` is both together.
    """

    __tablename__ = "rollup_units"
    __table_args__ = (
        Index(None, "project_id", "period_start"),
        Index(None, "project_id", "unit_id"),
        # Serve store.task_counts and store.unit_costs: the cells of some tasks or sessions.
        Index(
            "ix_rollup_units_project_id_task_id", "project_id", "task_id", postgresql_where=text("task_id IS NOT NULL")
        ),
        Index(
            "ix_rollup_units_project_id_session_id",
            "project_id",
            "session_id",
            postgresql_where=text("session_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    period_start: Mapped[Moment]
    attribution_id: Mapped[Count]
    unit_id: Mapped[Count]
    task_id: Mapped[Count | None]
    """64-bit hash of the unit's task; null: it has none."""
    session_id: Mapped[Count | None]
    """64-bit hash of the unit's session; null: it has none."""


class TaskShape(Base):
    """The (day, attribution) cells that a task's calls lie in, as it was last counted."""

    __tablename__ = "task_shapes"

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    shape_id: Mapped[Count]
    """64-bit hash of the cells."""
    days: Mapped[list[date]] = mapped_column(ARRAY(Date))
    attribution_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class RollupTask(Base):
    """How many tasks have a shape, in parts that add up: what distinct counts read."""

    __tablename__ = "rollup_tasks"
    __table_args__ = (
        Index(None, "project_id", "shape_id"),
        Index(None, "project_id", "last_day"),
        Index("ix_rollup_tasks_unmerged", "id", postgresql_where=text("NOT merged")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    shape_id: Mapped[Count]
    first_day: Mapped[date] = mapped_column(Date)
    last_day: Mapped[date] = mapped_column(Date)
    days: Mapped[list[date]] = mapped_column(ARRAY(Date))
    attribution_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    tasks: Mapped[Count]
    merged: Mapped[bool]


class RollupLine(Base):
    """Sums per period, attribution and bucket: what groupings by bucket read."""

    __tablename__ = "rollup_lines"
    __table_args__ = (Index(None, "project_id", "grain", "period_start"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(BigInteger)
    grain: Mapped[str] = mapped_column(Text)
    period_start: Mapped[Moment]
    attribution_id: Mapped[Count]
    bucket: Mapped[str] = mapped_column(Text)
    charges: Mapped[Count]
    """Buckets with tokens and lines with a cost, added up: 0 when a cell is empty."""
    priced_charges: Mapped[Count]
    listed_charges: Mapped[Count]
    tokens: Mapped[Count]
    unpriced_tokens: Mapped[Count]
    quantity: Mapped[Count]
    """What the lines were priced by: tokens without the parts priced apart, or requests."""
    list_cost: Mapped[Usd]
    billed_cost: Mapped[Usd]
    effective_cost: Mapped[Usd]
    cache_savings: Mapped[Usd]
