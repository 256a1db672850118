"""The composition root: who gets which connection, broker and reader. The only place that knows all parts."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from app.runtime import addresses
from app.settings import Settings, settings
from app.statistics_process import StatisticsProcess
from models.store.engine import APP_ROLE, OWNER_ROLE, make_engine

if TYPE_CHECKING:
    from dashboards.reader import Reader

log = logging.getLogger(__name__)

HINT_EVERY_SECONDS = 0.05
"""Hints of one kind closer together than this are one hint: the rows are the truth."""


@dataclass
class Wiring:
    """Everything a process shares, made when first asked for."""

    settings: Settings
    database_url: str
    broker_url: str | None = None
    _hinted: dict[str, float] = field(default_factory=dict[str, float])

    @cached_property
    def engine(self) -> Engine:
        """Connections as `jevons_app`: everything but migrations and partitions."""
        return make_engine(self.database_url, role=APP_ROLE, pool_size=8, max_overflow=8)

    @cached_property
    def owner_engine(self) -> Engine:
        """Connections as `jevons_owner`: for making and dropping partitions."""
        return make_engine(self.database_url, role=OWNER_ROLE, pool_size=1, max_overflow=1)

    @cached_property
    def reader(self) -> "Reader":
        """Answers for API and pages."""
        from models.store.reader import StoreReader

        return StoreReader(self.engine, run=self.statistics)

    @cached_property
    def statistics(self) -> StatisticsProcess:
        """Runs what takes memory that is not given back: statistics packages, frames of calls."""
        return StatisticsProcess()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction as `jevons_app`: committed at the end, rolled back on an error."""
        with self.engine.begin() as connection:
            yield connection

    def hint(self, task: str) -> None:
        """Tell the workers that there may be work of this kind. Never fails: the sweeper finds what was missed."""
        now = time.monotonic()
        if self.broker_url is None or now - self._hinted.get(task, 0.0) < HINT_EVERY_SECONDS:
            return
        self._hinted[task] = now
        from app.worker import connect

        try:
            connect().send_task(task, retry=False, expires=60)
        except Exception as unreachable:
            log.warning("no hint %s sent, the sweeper will find the work: %s", task, unreachable)

    def close(self) -> None:
        """Give all connections back and end what was started."""
        if "statistics" in self.__dict__:
            self.statistics.close()
        for name in ("engine", "owner_engine"):
            if name in self.__dict__:
                self.__dict__[name].dispose()


_current: Wiring | None = None
_lock = threading.Lock()


def current() -> Wiring:
    """The wiring of this process, made from the settings at the first use.

    Raises   runtime.NoInstance where no database is named and no instance runs.
    """
    global _current
    with _lock:
        if _current is None:
            database, broker = addresses(settings())
            _current = Wiring(settings(), database, broker)
        return _current


def use(wiring: Wiring | None) -> None:
    """Set the wiring of this process; None forgets it. For tests and commands that bring their own settings."""
    global _current
    with _lock:
        if _current is not None and _current is not wiring:
            _current.close()
        _current = wiring


@contextmanager
def transaction() -> Iterator[Connection]:
    """One transaction on the wiring in force."""
    with current().transaction() as connection:
        yield connection
