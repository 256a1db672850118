"""Re-pricing and re-deriving open periods: what differs is superseded, what is equal stays."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy.exc import OperationalError

from app import wiring
from app.tasks.derive import BATCH_TRACES, derive_batch
from app.tasks.pricing import charge_rows
from app.tasks.rate import BATCH_CALLS
from models.core.money import plain
from models.core.time import rfc3339
from models.store.audit import append_audit
from models.store.calls import load_calls
from models.store.closed_months import enter_ledger
from models.store.link_groups import link_group
from models.store.revisiting import calls_between, mark_traces_dirty
from models.store.rollups import rebuild_hours


@dataclass(slots=True)
class Repriced:
    """What pricing a period again did, or would do."""

    calls: int = 0
    changed: int = 0
    change: Decimal = Decimal(0)
    """Effective cost after less before, over what is priced."""


def reprice(project_id: int, start: datetime, end: datetime, *, actor: str, dry_run: bool) -> Repriced:
    """Price the calls that end in [start, end) again by the rates in force now.

    A dry run does the same and rolls every batch back. Safe to repeat and to break off: each batch is a transaction.
    """
    done = Repriced()
    after = None
    while True:
        with wiring.current().engine.connect() as connection:
            rows = calls_between(connection, project_id, start, end, after, BATCH_CALLS)
            if rows.is_empty():
                break
            after = (rows["trace_id"][-1], rows["span_id"][-1])
            link_group(connection, project_id, set(rows["trace_id"]))
            enter_ledger(connection, project_id)
            # Read again under the locks: a derivation or a new rule may have changed them since.
            rows = load_calls(connection, project_id, list(zip(rows["trace_id"], rows["span_id"], strict=True)))
            recorded = charge_rows(connection, project_id, rows)
            done.calls += rows.height
            done.changed += recorded.added
            done.change += recorded.change
            if dry_run:
                connection.rollback()
            else:
                connection.commit()
    if not dry_run:
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
