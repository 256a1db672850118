"""The composition root: who gets which connection, broker and reader. The only place that knows all parts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from app.hints import Hints
from app.runtime import addresses
from app.settings import Settings, settings
from app.statistics_process import StatisticsProcess
from models.store.engine import APP_ROLE, OWNER_ROLE, make_engine

if TYPE_CHECKING:
    from dashboards.reader import Reader


@dataclass
class Wiring:
    """Everything a process shares, made when first asked for."""

    settings: Settings
    database_url: str
    broker_url: str | None = None

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

    @cached_property
    def hints(self) -> Hints | None:
        """What tells the workers; None without a broker."""
        return Hints(self.broker_url) if self.broker_url else None

    def hint(self, task: str) -> None:
        """Tell the workers that there may be work of this kind. Never fails: the sweeper finds what was missed."""
        if self.hints is not None:
            self.hints.send(task)

    def rest(self, task: str, seconds: float) -> None:
        """Hold hints of this kind back for so long: what arrives meanwhile gathers."""
        if self.hints is not None:
            self.hints.rest(task, seconds)

    def close(self) -> None:
        """Give all connections back and end what was started."""
        if "statistics" in self.__dict__:
            self.statistics.close()
        if self.hints is not None:
            self.hints.close()
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
