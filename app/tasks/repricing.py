"""Re-pricing and re-deriving open periods: what differs is superseded, what is equal stays."""

import time
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta

from sqlalchemy.exc import OperationalError

from app import wiring
from app.tasks.derive import BATCH_TRACES, derive_batch
from app.tasks.price_again import Repriced, can_be_rated_alone, would_change
from app.tasks.pricing import charge_rows
from app.tasks.rate import BATCH_CALLS
from models.core.money import plain
from models.core.time import rfc3339
from models.store.audit import append_audit
from models.store.calls import load_calls
from models.store.closed_months import closed_months, enter_ledger
from models.store.cover import ceiling
from models.store.link_groups import link_group
from models.store.revisiting import calls_between, mark_traces_dirty
from models.store.rollups import rebuild_hours


def reprice(project_id: int, start: datetime, end: datetime, *, actor: str, dry_run: bool) -> Repriced:
    """Price the calls that end in [start, end) again by the rates in force now.

    Safe to repeat and to break off: each batch is a transaction. A dry run writes nothing: open months are rated in
    memory; where more than prices decides (closed months, own hardware), it does the same and rolls back.
    """
    if dry_run:
        return _would_change(project_id, start, end)
    done = _batch_by_batch(project_id, start, end, keep=True)
    with wiring.transaction() as connection:
        append_audit(
            connection,
            actor=actor,
            action="reprice",
            subject=f"{rfc3339(start)}/{rfc3339(end)}",
            at=datetime.now(UTC),
            after={"calls": done.calls, "changed": done.changed, "change": plain(done.change)},
            project_id=project_id,
        )
    return done


def _would_change(project_id: int, start: datetime, end: datetime) -> Repriced:
    done = Repriced()
    options = {"isolation_level": "REPEATABLE READ"}
    with wiring.current().engine.connect().execution_options(**options) as connection:
        alone = can_be_rated_alone(connection, project_id)
        for first, last, is_closed in _by_state(closed_months(connection, project_id), start, end):
            if is_closed or not alone:
                part = _batch_by_batch(project_id, first, last, keep=False)
            else:
                part = would_change(connection, project_id, first, last)
            done.calls += part.calls
            done.changed += part.changed
            done.change += part.change
        connection.rollback()
    return done


def _by_state(closed: Collection[date], start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, bool]]:
    """The period in parts of whole closed months and of what lies between them."""
    at = start
    for month in sorted(closed):
        first = max(datetime(month.year, month.month, 1, tzinfo=UTC), start)
        last = min(ceiling(datetime(month.year, month.month, 2, tzinfo=UTC), "month"), end)
        if first >= last:
            continue
        if at < first:
            yield at, first, False
        yield first, last, True
        at = last
    if at < end:
        yield at, end, False


def _batch_by_batch(project_id: int, start: datetime, end: datetime, *, keep: bool) -> Repriced:
    done = Repriced()
    after = None
    while True:
        with wiring.current().engine.connect() as connection:
            rows = calls_between(connection, project_id, start, end, after, BATCH_CALLS)
            if rows.is_empty():
                return done
            after = (rows["trace_id"][-1], rows["span_id"][-1])
            link_group(connection, project_id, set(rows["trace_id"]))
            enter_ledger(connection, project_id)
            # Read again under the locks: a derivation or a new rule may have changed them since.
            rows = load_calls(connection, project_id, list(zip(rows["trace_id"], rows["span_id"], strict=True)))
            recorded = charge_rows(connection, project_id, rows)
            done.calls += rows.height
            done.changed += recorded.added
            done.change += recorded.change
            if keep:
                connection.commit()
            else:
                connection.rollback()


def rebuild(project_id: int, start: datetime) -> int:
    """Derive every trace from a UTC day on again and add the sums up anew; returns how many traces were done."""
    day = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with wiring.transaction() as connection:
        marked = mark_traces_dirty(connection, project_id, day)
    while True:
        with wiring.transaction() as connection:
            if not derive_batch(connection, BATCH_TRACES):
                break
    _sum_again(project_id, day, datetime.now(UTC) + timedelta(days=2))
    return marked


def _sum_again(project_id: int, start: datetime, end: datetime, attempts: int = 8) -> None:
    """Rebuild the rollups; a merge that runs meanwhile makes the snapshot stale, and the whole is done again."""
    for attempt in range(1, attempts + 1):
        try:
            with wiring.current().engine.connect() as connection:
                with connection.execution_options(isolation_level="REPEATABLE READ").begin():
                    rebuild_hours(connection, project_id, start, end)
                return
        except OperationalError:
            if attempt == attempts:
                raise
            time.sleep(0.1 * attempt)
