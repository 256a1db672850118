"""The `deliver` task: alerts that are owed go out, each tried again until its channel has it or it is dead."""

import logging
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sqlalchemy.exc import OperationalError

from app import alerts, wiring
from app.worker import celery
from models.store.deliveries import Due, claim_due, delivered, failed

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Deliveries of one claim, sent side by side: all are over within their lease, however slow their channels."""
MOST_CLAIMS = 20


@celery.task(name="deliver", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def deliver() -> int:
    """Send what is due; returns how many arrived.

    At least once: the row is written with its incident and marked when the channel has answered. A worker that dies
    in between leaves it to the next after its lease, with the same dedup key and the same `X-Jevons-Delivery`.
    """
    arrived = 0
    for _ in range(MOST_CLAIMS):
        with wiring.current().transaction() as connection:
            due = claim_due(connection, datetime.now(UTC), AT_ONCE)
        if not due:
            break
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            arrived += sum(pool.map(_send, due))
    return arrived


def _send(due: Due) -> bool:
    """Send one and write down how it went."""
    error, final = None, False
    try:
        if due.channel is None:
            error, final = "the channel was removed", True
        else:
            alerts.send(due.channel, due.incident, due.event, due.id, wiring.current().settings)
    except alerts.AddressRefused as refused:
        error, final = str(refused), True
    except alerts.NotSent as fault:
        error = str(fault)
    except Exception as fault:
        # Whatever it is, it counts as an attempt: a delivery that failed for ever unseen would never be dead.
        log.exception("alert %s failed in a way of its own", due.incident.dedup_key)
        error = f"{type(fault).__name__}: {fault}"
    now = datetime.now(UTC)
    with wiring.current().transaction() as connection:
        if error is None:
            delivered(connection, due.id, now)
        elif failed(connection, due, error, now, random.random(), final=final):
            log.error("alert %s is given up after %d attempts: %s", due.incident.dedup_key, due.attempts, error)
    return error is None
