"""What happens while a load is on: the backlog as the database has it, and the memory of every process."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from app.bench.client import BenchFailed
from app.bench.instance import Instance
from models.store.backlog import freshness
from models.store.engine import make_engine
from models.store.projects import list_projects

MIB = 2**20


@dataclass(slots=True, frozen=True)
class Seen:
    """The backlog at one moment."""

    at: float
    """time.time() after the answer."""
    pending: int
    lag_seconds: float
    priced_through: float
    """Everything received before this moment (seconds since 1970) is priced and in the figures."""


class Backlog:
    """Asks how much waits, a few times a second and over one connection, so that asking itself costs next to nothing.

    Use      as a context manager around a load; `seen` grows meanwhile.
    """

    def __init__(self, instance: Instance, every_seconds: float = 0.25) -> None:
        self.engine: Engine = make_engine(instance.database_url, pool_size=1)
        self.every_seconds = every_seconds
        self.seen: list[Seen] = []
        self.failures = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._project_ids: list[int] | None = None

    def __enter__(self) -> Self:
        self.seen.append(self.look())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self.engine.dispose()

    def look(self) -> Seen:
        """The backlog now."""
        with self.engine.connect() as connection:
            if self._project_ids is None:
                self._project_ids = [project.id for project in list_projects(connection)]
            fresh = freshness(connection, self._project_ids)
        through = fresh.waiting_since or fresh.now
        lag = 0.0 if fresh.waiting_since is None else max((fresh.now - fresh.waiting_since).total_seconds(), 0.0)
        return Seen(time.time(), fresh.spans_pending + fresh.calls_pending, lag, through.timestamp())

    def settle(self, limit_seconds: float) -> float:
        """Wait until nothing is pending; returns the seconds that took.

        Raises   BenchFailed when something still is after the limit.
        """
        began = time.monotonic()
        while True:
            try:
                seen = self.look()
                if not seen.pending:
                    return time.monotonic() - began
                pending = str(seen.pending)
            except DBAPIError as away:
                pending = type(away).__name__
            if time.monotonic() - began > limit_seconds:
                raise BenchFailed(f"{pending} spans were still pending after {limit_seconds:.0f} s")
            time.sleep(self.every_seconds)

    @property
    def last(self) -> Seen:
        """The latest look."""
        return self.seen[-1]

    def _watch(self) -> None:
        while not self._over.wait(self.every_seconds):
            try:
                self.seen.append(self.look())
            except DBAPIError:
                self.failures += 1


@dataclass(slots=True, frozen=True)
class Memory:
    """Memory of every service at one moment, in MB."""

    at: float
    by_service: dict[str, float]
    """Resident; of PostgreSQL what its processes have beside the shared buffers, which fill up by design."""


def anonymous_bytes(process: psutil.Process) -> int:
    """Bytes of a process that lie in no file and in no memory made to be shared, as Linux counts them.

    Memory unique to a process (USS) is more: of the shared buffers it holds every page that no other process has
    touched yet, so it moves with the age of connections.
    """
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        name, _, size = line.partition(":")
        if name == "Pss_Anon":
            return int(size.split()[0]) * 1024
    raise OSError(f"this kernel does not tell the anonymous memory of process {process.pid}")


class MemoryWatch:
    """Samples memory every few seconds in the background; `samples` grows meanwhile."""

    def __init__(self, instance: Instance, every_seconds: float = 1.0, *, with_postgres: bool = False) -> None:
        self.instance, self.every_seconds, self.with_postgres = instance, every_seconds, with_postgres
        self.samples: list[Memory] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self.samples.append(self.look())

    def look(self) -> Memory:
        """Memory now."""
        found: dict[str, float] = {}
        for name, process in self.instance.processes().items():
            try:
                if name != "postgres":
                    found[name] = process.memory_info().rss / MIB
                elif self.with_postgres:
                    every = [process, *process.children()]
                    found[name] = sum(map(anonymous_bytes, every)) / MIB
            except (psutil.Error, OSError):
                continue
        return Memory(time.time(), found)

    def largest(self, service: str) -> float:
        """Most memory that any process of a service (api, worker) was seen to have."""
        return max(
            size for each in self.samples for name, size in each.by_service.items() if name.partition("-")[0] == service
        )

    def _watch(self) -> None:
        while True:
            with suppress(psutil.Error):  # A process may end while it is looked at.
                self.samples.append(self.look())
            if self._over.wait(self.every_seconds):
                return
