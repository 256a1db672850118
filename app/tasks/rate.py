"""The `rate` task: calls that wait for a charge get one; also how open periods are priced again."""

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app.tasks.loop import until_empty
from app.tasks.pricing import charge_rows
from app.worker import celery
from models.store.calls import claim_unrated, load_calls
from models.store.closed_months import enter_ledger
from models.store.link_groups import link_group

BATCH_CALLS = 10_000


@celery.task(name="rate", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def rate() -> int:
    """Price waiting calls until none is left or the time box ends; returns how many were taken.

    Delivered at least once, effective once: a call leaves the queue in the transaction that records its charge.
    """
    return until_empty("rate", lambda connection: rate_batch(connection, BATCH_CALLS))


def rate_batch(connection: Connection, limit: int) -> int:
    """Take up to `limit` calls off the queue and record their charges."""
    claimed = claim_unrated(connection, limit)
    by_project: dict[int, set[tuple[bytes, bytes]]] = {}
    for project_id, trace_id, span_id in claimed:
        by_project.setdefault(project_id, set()).add((trace_id, span_id))
    for project_id, keys in sorted(by_project.items()):
        # Under the locks of derivation, so that no call is priced as it was before.
        link_group(connection, project_id, {key[0] for key in keys})
        enter_ledger(connection, project_id)
        charge_rows(connection, project_id, load_calls(connection, project_id, sorted(keys)))
    return len(claimed)
