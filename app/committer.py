"""Commits of many bodies at once, each thread on a connection of its own that it keeps."""

import threading
from datetime import date

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from app.intake_queue import Submission
from models.store.availability import is_unavailable
from models.store.span_codec import PreparedSpans
from models.store.telemetry import StoreOutcome, ensure_partitions, record_rejections, store_spans

MAX_KNOWN = 100_000
"""Interned resources remembered as stored; beyond, all are forgotten and inserted again."""
NO_PARTITION = "23514"


class Committer:
    """Stores submissions and remembers what need not be stored again.

    Use      `store(...)` from any thread; `hang_up()` when a thread is done.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mine = threading.local()
        self._known_days: set[date] = set()
        self._known_interned: set[tuple[int, int]] = set()

    def store(self, taken: list[Submission]) -> StoreOutcome:
        """Store bodies in one transaction; when this returns they are durable.

        A connection that was kept may be stale, its server restarted since: then a new one tries once more, which is
        safe also where the commit had happened and only its answer was lost.
        """
        was_kept = self._connection is not None
        try:
            return self._stored(taken)
        except Exception as fault:
            self.hang_up(is_broken=True)
            if not (was_kept and is_unavailable(fault)):
                raise
        try:
            return self._stored(taken)
        except Exception:
            self.hang_up(is_broken=True)
            raise

    def hang_up(self, *, is_broken: bool = False) -> None:
        """Give this thread's connection back, or throw it away."""
        connection, self._mine.connection = self._connection, None
        if connection is not None:
            if is_broken:
                connection.invalidate()
            connection.close()

    def forget(self) -> None:
        """Remember nothing as stored."""
        self._known_days, self._known_interned = set(), set()

    @property
    def _connection(self) -> Connection | None:
        return getattr(self._mine, "connection", None)

    def _connected(self) -> Connection:
        connection = self._connection
        if connection is None:
            connection = self._mine.connection = self._engine.connect()
        return connection

    def _stored(self, taken: list[Submission]) -> StoreOutcome:
        batches = [submission.spans for submission in taken]
        self._make_partitions(batches)
        try:
            return self._stored_once(taken, batches)
        except (DBAPIError, psycopg.Error) as fault:
            # COPY speaks to the driver directly.
            if getattr(getattr(fault, "orig", fault), "sqlstate", None) != NO_PARTITION:
                raise
            # A partition known here was dropped since (retention): make it again.
            self._known_days = set()
            self._make_partitions(batches)
            return self._stored_once(taken, batches)

    def _stored_once(self, taken: list[Submission], batches: list[PreparedSpans]) -> StoreOutcome:
        connection = self._connected()
        with connection.begin():
            outcome = store_spans(connection, batches, self._known_interned)
            for submission in taken:
                if submission.rejections:
                    record_rejections(connection, submission.spans.project_id, submission.rejections, submission.digest)
        if len(self._known_interned) > MAX_KNOWN:
            self._known_interned = set()
        for batch in batches:
            self._known_interned.update((batch.project_id, key) for key in (*batch.resources, *batch.scopes))
        return outcome

    def _make_partitions(self, batches: list[PreparedSpans]) -> None:
        days = {day for batch in batches for day in batch.days} - self._known_days
        if days:
            connection = self._connected()
            with connection.begin():
                ensure_partitions(connection, days)
            self._known_days |= days
