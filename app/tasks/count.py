"""The `count` task: parts of units of work are put into their totals, so that long lists are read quickly."""

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app.tasks.loop import until_empty
from app.worker import celery
from models.store.unit_sums import MANY_PARTS, merge_units, parts_are_due


@celery.task(name="count", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def count() -> int:
    """Merge parts until few are left or the time box ends; returns how many were merged.

    Answers do not wait for this: a part not merged yet is read with the sums. A part leaves the queue in the
    transaction that adds it to them, so twice is once.
    """
    return until_empty("count", count_batch)


def count_batch(connection: Connection) -> int:
    """Merge the oldest parts, where it is worth its price."""
    return merge_units(connection, MANY_PARTS) if parts_are_due(connection) else 0
