"""The `rollup` task: sums that lie in several parts are put together, so that reading stays fast."""

from datetime import UTC, datetime

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app import wiring
from app.tasks.loop import until_empty
from app.worker import celery
from models.store.rollups import claim_dirty_hours, merge_hours, settled
from models.store.telemetry import merge_span_counts

BATCH_HOURS = 2_000


@celery.task(name="rollup", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def rollup() -> int:
    """Merge dirty hours until none is left or the time box ends; returns how many were merged.

    Figures do not wait for this: a part is written with its charges. Merging twice changes nothing.
    """
    with wiring.current().transaction() as connection:
        merge_span_counts(connection)
    return until_empty("rollup", lambda connection: rollup_batch(connection, BATCH_HOURS))


def rollup_batch(connection: Connection, limit: int) -> int:
    """Claim up to `limit` marks and merge their hours and days."""
    by_project: dict[int, list[datetime]] = {}
    for project_id, hour in claim_dirty_hours(connection, limit):
        by_project.setdefault(project_id, []).append(hour)
    now = datetime.now(UTC)
    for project_id, hours in by_project.items():
        merge_hours(connection, project_id, hours)
        old = [hour for hour in hours if settled(hour, now)]
        if old:
            merge_hours(connection, project_id, old, units=True)
    return sum(map(len, by_project.values()))
