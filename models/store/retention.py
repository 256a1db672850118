"""Span partitions by the day: made before they are needed, dropped when they are old and their month is closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

from sqlalchemy import Connection, Engine, text

LOCK_SECONDS = 2
"""Longest wait for a lock that others would queue behind; the next round tries again."""

# A partition taken off but not yet dropped (we were killed in between) is a plain table of the same name.
_DAYS = text("""
select to_date(right(c.relname, 8), 'YYYYMMDD') as day, i.inhparent is not null as attached,
       coalesce(i.inhdetachpending, false) as leaving
from pg_class c left join pg_inherits i on i.inhrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname ~ '^spans_[0-9]{8}$'
order by day
""")
_OPEN = text("""
select p.name from projects p
where not p.is_demo and exists (select 1 from span_blocks s where s.project_id = p.id and s.day = :day)
and not exists (
    select 1 from periods c where c.project_id = p.id and c.month = date_trunc('month', cast(:day as date))::date
    and c.state = 'closed'
) order by p.id
""")


def kept_days(connection: Connection) -> list[date]:
    """Days that have a partition, the oldest first."""
    return [row.day for row in connection.execute(_DAYS) if row.attached]


def left_behind(connection: Connection) -> list[date]:
    """Days whose drop was begun and not ended."""
    return [row.day for row in connection.execute(_DAYS) if row.leaving or not row.attached]


def gone_before(connection: Connection) -> datetime | None:
    """Spans that ended before this moment are no longer kept, so their calls stand as they are; None: all are."""
    days = kept_days(connection)
    return datetime.fromisoformat(f"{days[0]}T00:00:00+00:00") if days else None


def open_for(connection: Connection, day: date) -> list[str]:
    """Projects with spans of this day whose month is not closed: they may still be derived anew. The sample aside."""
    return list(connection.execute(_OPEN, {"day": day}).scalars())


def has_dirty(connection: Connection, day: date) -> bool:
    """Whether spans of this day wait for their derivation."""
    found = connection.execute(
        text(
            "select exists (select 1 from dirty_traces d join trace_days t "
            "on t.project_id = d.project_id and t.trace_id = d.trace_id where t.day = :day)"
        ),
        {"day": day},
    )
    return bool(found.scalar_one())


def bound_waiting(connection: Connection) -> None:
    """Give up on a lock after LOCK_SECONDS in this transaction, rather than hold up all who wait behind."""
    connection.execute(text(f"set local lock_timeout = '{LOCK_SECONDS}s'"))


def drop_day(engine: Engine, day: date) -> None:
    """Drop a day's partition online, with what tied its traces together. `engine` connects as `jevons_owner`.

    The parent is never locked against reading or writing: the partition is detached concurrently, then it is a
    table of its own. Safe to repeat from any point at which it was interrupted.
    Raises   OperationalError where a lock is not had within LOCK_SECONDS.
    """
    name = f"spans_{day:%Y%m%d}"
    with _outside_of_transactions(engine) as connection:
        state = next((row for row in connection.execute(_DAYS) if row.day == day), None)
        if state is None:
            return
        if state.attached:
            how = "finalize" if state.leaving else "concurrently"
            connection.execute(text(f"alter table span_blocks detach partition {name} {how}"))
    with engine.begin() as connection:
        bound_waiting(connection)
        connection.execute(
            text(
                f"delete from trace_days t using (select distinct project_id, trace_id from {name}) s "
                "where t.project_id = s.project_id and t.trace_id = s.trace_id and t.day = :day"
            ),
            {"day": day},
        )
        # A link to a trace without spans would have that trace derived again, from nothing.
        connection.execute(
            text(
                f"delete from trace_links l using (select distinct project_id, trace_id from {name}) s "
                "where l.project_id = s.project_id and l.trace_id = s.trace_id and not exists "
                "(select 1 from trace_days t where t.project_id = l.project_id and t.trace_id = l.trace_id)"
            )
        )
        connection.execute(text("delete from stored_spans where day = :day"), {"day": day})
        connection.execute(text(f"drop table {name}"))


@contextmanager
def _outside_of_transactions(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"set lock_timeout = '{LOCK_SECONDS}s'"))
        try:
            yield connection
        finally:
            connection.execute(text("reset lock_timeout"))
