"""Spans are kept in blocks: one row for what came together of a trace, instead of one row per span."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
import zstandard
from alembic import op

import models.store

revision = "0050_span_blocks"
down_revision = "0031_metric_days"
branch_labels = None
depends_on = None

APP_ROLE = "jevons_app"
MAX_DAYS_AT_ONCE = 1000
MAX_SPANS_PER_BLOCK = 64
ROWS_AT_ONCE = 5000
STATUSES = (b"unset", b"ok", b"error")


def _ensure_function(partitioned: str, how: str) -> str:
    """See 0002; only the table and the storage of its partitions differ."""
    return f"""
create or replace function ensure_span_partitions(wanted date[]) returns integer
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
            execute format('create table %I partition of {partitioned} for values from (%L) to (%L){how}',
                partition, one, one + 1);
            made := made + 1;
        end if;
    end loop;
    return made;
end $$
"""


def upgrade() -> None:
    _put_aside("spans", ("pk_spans", "ix_spans_end_ns"))
    op.create_table(
        "span_blocks",
        sa.Column("resource_id", sa.BigInteger(), nullable=False),
        sa.Column("scope_id", sa.BigInteger(), nullable=False),
        sa.Column("last_end_ns", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("signal", sa.SmallInteger(), nullable=False),
        sa.Column("trace_id", sa.LargeBinary(), nullable=False),
        sa.Column("span_id", sa.LargeBinary(), nullable=False),
        sa.Column("span_ids", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "trace_id", "span_id", "day", name="pk_span_blocks"),
        postgresql_partition_by="RANGE (day)",
    )
    # Bodies are compressed before they come: a second try would cost time and gain nothing.
    op.execute("alter table span_blocks alter column body set storage external")
    op.create_index("ix_span_blocks_last_end_ns", "span_blocks", ["last_end_ns"], postgresql_using="brin")
    # A block of forty spans still lies in its row; PostgreSQL would move it out from two kilobytes on.
    op.execute(_ensure_function("span_blocks", " with (toast_tuple_target = 4080)"))
    op.execute(f"grant select, insert, delete on span_blocks to {APP_ROLE}")
    # Locking a trace's day asks for the right to update it; no statement of the product does.
    op.execute(f"grant update (day) on trace_days to {APP_ROLE}")
    op.execute("""
create view spans as
select b.project_id, b.trace_id, substring(b.span_ids from at for 8) as span_id, b.day, b.signal, b.resource_id,
       b.scope_id, b.received_at
from span_blocks b cross join lateral generate_series(1, length(b.span_ids), 8) at
""")
    op.execute(f"grant select on spans to {APP_ROLE}")
    _convert("spans_before", "span_blocks", "trace_id, day, signal, resource_id, scope_id, span_id", _blocks)
    op.execute("drop table spans_before")


def downgrade() -> None:
    op.execute("drop view spans")
    _put_aside("span_blocks", ("pk_span_blocks", "ix_span_blocks_last_end_ns"))
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
    op.execute("alter table spans alter column body set storage external")
    op.create_index("ix_spans_end_ns", "spans", ["end_ns"], postgresql_using="brin")
    op.execute(_ensure_function("spans", ""))
    op.execute(f"grant select, insert, delete on spans to {APP_ROLE}")
    op.execute(f"revoke update (day) on trace_days from {APP_ROLE}")
    _convert("span_blocks_before", "spans", "trace_id, day, span_id", _single_spans)
    op.execute("drop table span_blocks_before")


def _put_aside(table: str, indexes: Iterable[str]) -> None:
    """Free the names of a partitioned table, its partitions and its indexes."""
    connection = op.get_bind()
    found = connection.execute(
        sa.text(
            "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid "
            "where i.inhparent = cast(:parent as regclass)"
        ),
        {"parent": table},
    ).scalars()
    for partition in list(found):
        op.execute(f"alter table {partition} rename to {partition}_before")
    for index in indexes:
        op.execute(f"alter index {index} rename to {index}_before")
    op.execute(f"alter table {table} rename to {table}_before")


def _convert(source: str, target: str, order: str, converted: Any) -> None:
    """Copy every row of `source` in its new shape; a part at a time, so that memory does not grow with the table."""
    connection = op.get_bind()
    days = list(connection.execute(sa.text(f"select distinct day from {source} order by day")).scalars())
    for start in range(0, len(days), MAX_DAYS_AT_ONCE):
        wanted = days[start : start + MAX_DAYS_AT_ONCE]
        connection.execute(sa.text("select ensure_span_partitions(:days)"), {"days": wanted})
    read = sa.text(f"select * from {source} order by project_id, {order}")
    rows = connection.execute(read, execution_options={"yield_per": ROWS_AT_ONCE}).mappings()
    waiting: list[dict[str, Any]] = []
    for row in converted(rows):
        waiting.append(row)
        if len(waiting) == ROWS_AT_ONCE:
            _insert(connection, target, waiting)
            waiting = []
    _insert(connection, target, waiting)


def _insert(connection: sa.Connection, target: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        names = list(rows[0])
        values = ", ".join(f":{name}" for name in names)
        connection.execute(sa.text(f"insert into {target} ({', '.join(names)}) values ({values})"), rows)


_SHARED = ("project_id", "trace_id", "day", "signal", "resource_id", "scope_id")


def _blocks(rows: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Spans one by one → blocks."""
    squeeze, unpack = _codec()
    for key, group in groupby(rows, key=lambda row: tuple(row[name] for name in _SHARED)):
        members = list(group)
        for start in range(0, len(members), MAX_SPANS_PER_BLOCK):
            part = members[start : start + MAX_SPANS_PER_BLOCK]
            elements: list[list[Any]] = []
            for row in part:
                told = orjson.loads(unpack(row["body"]))
                parent = row["parent_span_id"]
                element = [
                    *(None if parent is None else parent.hex(), row["start_ns"], row["end_ns"], row["kind"]),
                    *(row["status"], told["n"], told.get("a", {})),
                ]
                if "m" in told or "e" in told or "l" in told:
                    element += [told.get("m"), told.get("e", []), told.get("l", [])]
                elements.append(element)
            yield {
                **dict(zip(_SHARED, key, strict=True)),
                "last_end_ns": max(row["end_ns"] for row in part),
                "received_at": min(row["received_at"] for row in part),
                "span_id": part[0]["span_id"],
                "span_ids": b"".join(row["span_id"] for row in part),
                "body": squeeze(orjson.dumps(elements, option=orjson.OPT_SORT_KEYS)),
            }


def _single_spans(rows: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Blocks → spans one by one."""
    squeeze, unpack = _codec()
    for row in rows:
        ids = row["span_ids"]
        for number, element in enumerate(orjson.loads(unpack(row["body"]))):
            parent, start_ns, end_ns, kind, status, name, attributes, *rest = element
            told: dict[str, Any] = {"n": name}
            if attributes:
                told["a"] = attributes
            for letter, value in zip("mel", rest, strict=False):
                if value:
                    told[letter] = value
            document = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
            parent_id = None if parent is None else bytes.fromhex(parent)
            numbers = (start_ns, end_ns, kind, row["resource_id"], row["scope_id"])
            head = b"%d %d %d %d %d %b %b" % (*numbers, STATUSES[status], parent_id or b"")
            digest = blake2b(head + document, digest_size=8).digest()
            yield {
                **{shared: row[shared] for shared in _SHARED},
                "received_at": row["received_at"],
                "start_ns": start_ns,
                "end_ns": end_ns,
                "digest": int.from_bytes(digest, "big", signed=True),
                "kind": kind,
                "status": status,
                "span_id": ids[8 * number : 8 * number + 8],
                "parent_span_id": parent_id,
                "body": squeeze(document),
            }


def _codec() -> tuple[Any, Any]:
    """Compression as `models.store.span_codec` has it at this revision."""
    told = zstandard.ZstdCompressionDict((Path(models.store.__file__).parent / "span_body.dict").read_bytes())
    compressor = zstandard.ZstdCompressor(level=3, dict_data=told, write_checksum=False)
    return compressor.compress, zstandard.ZstdDecompressor(dict_data=told).decompress
