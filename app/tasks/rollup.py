"""The `rollup` task: sums that lie in several parts are put together, so that reading stays fast."""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app import wiring
from app.tasks.loop import until_empty
from app.worker import celery
from models.store.rollups import claim_dirty_hours, hours_are_due, merge_hours
from models.store.telemetry import merge_span_counts

BATCH_MARKS = 20_000
"""Marks of one transaction: a commit leaves one for each hour that it touches, mostly the same few."""


@celery.task(name="rollup", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def rollup() -> int:
    """Merge dirty hours until none has waited for long or the time box ends; returns how many were merged.

    Figures do not wait for this: a part is written with its charges. Merging twice changes nothing.
    """
    with wiring.current().transaction() as connection:
        merge_span_counts(connection)
    # Under load new parts come all the time: merged as they come, the same sums would be written over and over.
    return until_empty("rollup", lambda connection: rollup_batch(connection, BATCH_MARKS, only_due=True))


def rollup_batch(connection: Connection, limit: int, *, only_due: bool = False) -> int:
    """Claim up to `limit` marks and merge their hours, days and months; `only_due`: where some have waited for long."""
    if only_due and not hours_are_due(connection):
        return 0
    by_project: dict[int, list[datetime]] = {}
    for project_id, hour in claim_dirty_hours(connection, limit):
        by_project.setdefault(project_id, []).append(hour)
    for project_id, hours in by_project.items():
        merge_hours(connection, project_id, hours)
    return sum(map(len, by_project.values()))
