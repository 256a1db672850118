"""Telemetry: spans by day, what ties traces together, what is dirty, what was rejected."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002_telemetry"
down_revision = "0001_projects"
branch_labels = None
depends_on = None

APP_ROLE = "jevons_app"
MAX_DAYS_AT_ONCE = 1000

# The app role may insert spans but not create tables, so it asks the owner for partitions through this function.
# Bounded, so that hostile timestamps cannot make thousands of tables; the caller bounds the days it asks for, too.
ENSURE_PARTITIONS = f"""
create function ensure_span_partitions(wanted date[]) returns integer
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    one date;
    made integer := 0;
    partition text;
begin
    if cardinality(wanted) > {MAX_DAYS_AT_ONCE} then
        raise exception 'ensure_span_partitions: % days asked for at once, at most {MAX_DAYS_AT_ONCE} allowed',
            cardinality(wanted) using errcode = 'program_limit_exceeded';
    end if;
    -- One maker at a time: two would wait for each other on the parent's lock.
    perform pg_advisory_xact_lock(hashtext('jevons.span_partitions'));
    for one in select distinct d from unnest(wanted) d order by d loop
        partition := 'spans_' || to_char(one, 'YYYYMMDD');
        if to_regclass('public.' || partition) is null then
            execute format('create table %I partition of spans for values from (%L) to (%L)',
                partition, one, one + 1);
            made := made + 1;
        end if;
    end loop;
    return made;
end $$
"""


def upgrade() -> None:
    op.create_table(
        "resources",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("resource_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attributes", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource_id", name="pk_resources"),
    )
    op.create_table(
        "scopes",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("scope_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "scope_id", name="pk_scopes"),
    )
    op.create_table(
        "spans",
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("resource_id", sa.BigInteger(), nullable=False),
        sa.Column("scope_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("signal", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(), nullable=False),
        sa.Column("span_id", sa.LargeBinary(), nullable=False),
        sa.Column("parent_span_id", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "trace_id", "span_id", "day", name="pk_spans"),
        postgresql_partition_by="RANGE (day)",
    )
    # Bodies are compressed before they come: a second try would cost time and gain nothing.
    op.execute("alter table spans alter column body set storage external")
    op.create_index("ix_spans_end_ns", "spans", ["end_ns"], postgresql_using="brin")
    op.create_table(
        "trace_days",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "trace_id", "day", name="pk_trace_days"),
    )
    op.create_table(
        "trace_links",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("link_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("trace_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "link_id", "trace_id", name="pk_trace_links"),
    )
    op.create_index("ix_trace_links_project_id_trace_id", "trace_links", ["project_id", "trace_id"])
    op.create_table(
        "dirty_traces",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("spans", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "trace_id", "version", name="pk_dirty_traces"),
    )
    op.create_table(
        "stored_spans",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("spans", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stored_spans"),
    )
    op.create_table(
        "rejections",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(), nullable=True),
        sa.Column("span_id", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_rejections"),
    )
    op.create_index("uq_rejections_digest", "rejections", ["project_id", "digest"], unique=True)
    op.create_index("ix_rejections_project_id_received_at", "rejections", ["project_id", "received_at"])
    op.create_table(
        "redaction_keys",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_redaction_keys"),
    )
    op.execute("insert into redaction_keys select 1, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())")
    op.execute(f"grant select on redaction_keys to {APP_ROLE}")
    op.execute(ENSURE_PARTITIONS)
    op.execute("revoke all on function ensure_span_partitions(date[]) from public")
    op.execute(f"grant execute on function ensure_span_partitions(date[]) to {APP_ROLE}")
    for table in (
        *("resources", "scopes", "spans", "stored_spans"),
        *("trace_days", "trace_links", "dirty_traces", "rejections"),
    ):
        op.execute(f"grant select, insert, delete on {table} to {APP_ROLE}")
    # `for update skip locked` asks for the right to update; no statement of the product does.
    op.execute(f"grant update on dirty_traces to {APP_ROLE}")


def downgrade() -> None:
    op.execute("drop function ensure_span_partitions(date[])")
    for table in (
        "redaction_keys",
        "rejections",
        "stored_spans",
        "dirty_traces",
        "trace_links",
        "trace_days",
        "spans",
        "scopes",
        "resources",
    ):
        op.drop_table(table)
