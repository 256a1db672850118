"""The `keep` task: every hour, partitions for the days to come, and none for days that are past keeping."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from app import wiring
from app.worker import celery
from models.store.link_groups import forget_large
from models.store.retention import bound_waiting, drop_day, has_dirty, kept_days, left_behind, open_for
from models.store.telemetry import ensure_partitions

log = logging.getLogger(__name__)

DAYS_AHEAD = 2
"""Beyond today: a collector that meets a new day finds its partition there."""
MOST_DROPPED = 31
"""Days of one round."""

OpenFor = Callable[[Connection, date], Sequence[str]]
"""Which projects still need the spans of a day."""


@celery.task(name="keep", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3)
def keep() -> list[str]:
    """Make partitions ahead and drop expired ones; returns the days that were dropped.

    Safe to repeat: what there is is not made again, and what was begun to be dropped is dropped.
    """
    parts = wiring.current()
    today = datetime.now(UTC).date()
    with parts.transaction() as connection:
        bound_waiting(connection)
        forget_large(connection)
        ensure_partitions(connection, days_ahead(today))
    expired = today - timedelta(days=parts.settings.retention_days)
    return [day.isoformat() for day in drop_expired(parts.engine, parts.owner_engine, expired)]


def days_ahead(today: date) -> list[date]:
    """Yesterday, for what comes late, to DAYS_AHEAD."""
    return [today + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1)]


def drop_expired(engine: Engine, owner: Engine, before: date, needs: OpenFor = open_for) -> list[date]:
    """Drop the oldest days, one by one, up to `before` or the first that somebody needs.

    Never out of order: what is kept is everything from one day on, and derivation relies on that.
    """
    with engine.connect() as connection:
        begun = left_behind(connection)
    for day in begun:
        drop_day(owner, day)
    dropped = list(begun)
    while len(dropped) < MOST_DROPPED:
        with engine.connect() as connection:
            day = next(iter(kept_days(connection)), None)
            if day is None or day >= before:
                return dropped
            users = needs(connection, day)
            if users:
                log.info("spans of %s are past keeping; %s has to close the month first", day, ", ".join(users))
                return dropped
            if has_dirty(connection, day):
                return dropped
        drop_day(owner, day)
        log.info("spans of %s were dropped", day)
        dropped.append(day)
    return dropped
