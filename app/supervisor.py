"""One supervisor: starts everything in order, restarts what dies, stops everything in the opposite order."""

import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import psutil

from app import runtime
from app.auth_mode import NobodyMayEnter, is_required, refuse_open_network
from app.children import EmbeddedService, PythonService, Service, Watch, end_left_behind, remember
from app.embedded import process
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.runtime import Runtime
from app.settings import Settings
from models.core.errors import JevonsError

READY_SECONDS = 180.0
"""Longer than a slow machine needs: a service that fails ends, and that is seen at once."""
DRAIN_SECONDS = 15.0


class AlreadyRunning(JevonsError):
    """Another instance holds the data directory."""

    code = "already_running"


class PortTaken(JevonsError):
    """Somebody else listens where we should."""

    code = "port_taken"


class StartFailed(JevonsError):
    """A service ended before it was ready."""

    code = "start_failed"


class Stopped(Exception):
    """A stop was asked for while starting."""


def check_port(host: str, port: int, option: str) -> None:
    """Make sure that a port is free before anything starts.

    Raises   PortTaken with the port, who has it where that can be seen, and how to choose another.
    """
    if process.is_port_free(port, host):
        return
    holder = ""
    try:
        for link in psutil.net_connections("tcp"):
            if link.laddr and link.laddr[1] == port and link.status == psutil.CONN_LISTEN and link.pid:
                holder = f" by {psutil.Process(link.pid).name()} (pid {link.pid})"
    except psutil.Error:
        pass  # Only root sees the processes of others.
    name = option.strip("-").replace("-", "_").upper()
    raise PortTaken(f"port {port} on {host} is taken{holder}. Choose another with {option} or JEVONS_{name}.")


@contextmanager
def sole_instance(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; the kernel lets go of it however we end.

    Raises   AlreadyRunning with the pid and address of the holder.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open(data_dir / "jevons.lock", "a")  # noqa: SIM115 - held until the end
    except PermissionError as refused:
        raise StartFailed(f"{data_dir} cannot be written: {refused}. Choose another with --data-dir.") from refused
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = runtime.running(data_dir)
            who = f"pid {found.pid}, {found.base_url}" if found else "still starting"
            raise AlreadyRunning(
                f"Jevons is already running on {data_dir} ({who}). Stop it first, or choose another --data-dir."
            ) from None
        yield


class Supervisor:
    """Runs one instance until told to stop.

    Use      `run()` in the main thread: signals arrive there, and children are tied to it.
    """

    def __init__(self, settings: Settings, *, load_demo: bool = False, out: TextIO = sys.stdout) -> None:
        self.settings = settings
        self.load_demo = load_demo
        self.out = out
        self.data_dir = settings.data_dir.resolve()
        self.wake = threading.Event()
        self.stopping = False
        self.impatient = False
        self.watches: list[Watch] = []
        self.details: dict[str, str] = {}
        self.address_file = self.data_dir / "run" / "addresses.json"
        """Where the children meet the addresses of database and broker; private, for it holds passwords."""
        self.measures_dir = self.data_dir / "run" / "measures"
        """Counters that all children share, so that any of them answers `/metrics` for all."""
        self.database_url = settings.database_url.get_secret_value() if settings.database_url else None
        self.redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None

    def run(self) -> None:
        """Start, watch, stop.

        Raises   JevonsError where the start fails; everything started is stopped by then.
        """
        refuse_open_network(self.settings)
        with sole_instance(self.data_dir):
            self._listen_to_signals()
            try:
                self._start()
                self._watch()
            except Stopped:
                pass
            finally:
                self._stop()

    def say(self, name: str, state: str, detail: str = "") -> None:
        """One line per event."""
        self.out.write(f"{name:<10} {state:<9} {detail}".rstrip() + "\n")
        self.out.flush()

    def _listen_to_signals(self) -> None:
        def on_stop(_number: int, _frame: object) -> None:
            # The second request does not wait for what is in hand.
            self.impatient = self.stopping
            self.stopping = True
            self.wake.set()

        signal.signal(signal.SIGINT, on_stop)
        signal.signal(signal.SIGTERM, on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self.wake.set())

    def _start(self) -> None:
        began = time.monotonic()
        for folder in ("run", "logs"):
            (self.data_dir / folder).mkdir(mode=0o700, exist_ok=True)
        for name in end_left_behind(self.data_dir / "run" / "children.json"):
            self.say(name, "ended", "left behind by an earlier start")
        check_port(self.settings.host, self.settings.port, "--port")
        check_port(self.settings.host, self.settings.grpc_port, "--grpc-port")
        # Importing is most of a start: the children begin with it while database and broker come up.
        self._spawn_children()
        if self.database_url is None:
            postgres = Postgres(self.data_dir)
            self._start_embedded("postgres", postgres)
            self.database_url = postgres.url
        if self.redis_url is None:
            valkey = Valkey(self.data_dir)
            self._start_embedded("valkey", valkey)
            self.redis_url = valkey.url
        self._migrate()
        self._await_children()
        runtime.write(self.data_dir, self._runtime())
        base_url = self._runtime().base_url
        self.say("jevons", "ready", f"{base_url}  ({time.monotonic() - began:.1f} s; Ctrl-C stops it)")
        self.say("", "", f"point an agent here: OTEL_EXPORTER_OTLP_ENDPOINT={base_url}")

    def _start_embedded(self, name: str, server: Postgres | Valkey) -> None:
        began = time.monotonic()
        watch = Watch(EmbeddedService(name, server))
        self.watches.append(watch)
        watch.start()
        watch.was_ready = True
        self._go_on()
        self.say(name, "ready", f"embedded, data in {server.home} ({time.monotonic() - began:.1f} s)")

    def _migrate(self) -> None:
        from app.migrate import upgrade  # The import is slow, and PostgreSQL had to be up first.

        began = time.monotonic()
        assert self.database_url is not None
        reached = upgrade(self.database_url)
        if is_required(self.settings):
            self._check_credentials(self.database_url)
        self._go_on()
        self.say("schema", "ready", f"{reached} ({time.monotonic() - began:.1f} s)")

    def _check_credentials(self, url: str) -> None:
        from models.store.engine import make_engine
        from models.store.projects import has_credentials

        engine = make_engine(url, pool_size=1)
        try:
            with engine.connect() as connection:
                if not has_credentials(connection):
                    raise NobodyMayEnter(self.settings)
        finally:
            engine.dispose()

    def _spawn_children(self) -> None:
        self.address_file.unlink(missing_ok=True)
        shutil.rmtree(self.measures_dir, ignore_errors=True)
        self.measures_dir.mkdir(mode=0o700)
        environment = self._environment()
        host, port, grpc_port = self.settings.host, self.settings.port, self.settings.grpc_port
        plans: list[tuple[str, str, tuple[str, int] | None, str]] = [
            ("api", "api", None, f"http://{host}:{port}  collector, API, pages"),
            *((f"api-{n}", "api", None, "") for n in range(2, self.settings.api_processes + 1)),
            ("grpc", "grpc", (self._reachable(host), grpc_port), f"{host}:{grpc_port}  OTLP/gRPC"),
            *((f"worker-{n}", "worker", None, "") for n in range(1, self.settings.workers + 1)),
            ("beat", "beat", None, ""),
        ]
        for name, role, at, detail in plans:
            watch = Watch(PythonService(name, role, self.data_dir, environment, at))
            self.details[name] = detail
            self.watches.append(watch)
            watch.start()
            self._go_on()
        remember(self.data_dir / "run" / "children.json", [watch.service for watch in self.watches])

    def _await_children(self) -> None:
        process.write_private(self.address_file, json.dumps(self._addresses()))
        deadline = time.monotonic() + READY_SECONDS
        while waiting := [watch for watch in self.watches if not watch.was_ready]:
            self._go_on()
            for watch in waiting:
                service = watch.service
                if service.is_ready():
                    watch.was_ready = True
                    self.say(service.name, "ready", self.details[service.name])
                elif service.poll() is not None or time.monotonic() > deadline:
                    state = "ended" if service.poll() is not None else f"was not ready in {READY_SECONDS:.0f} s"
                    raise StartFailed(f"{service.name} {state}:\n{service.last_words()}")
            self.wake.wait(0.05)
            self.wake.clear()

    def _watch(self) -> None:
        demo = self._start_demo() if self.load_demo else None
        while not self.stopping:
            for watch in self.watches:
                self._look_after(watch)
            if demo is not None and (status := demo.poll()) is not None:
                there = f"{self._runtime().base_url}/?project=demo"
                self.say("demo", "loaded" if status == 0 else "failed", demo.last_words() if status else there)
                demo = None
            self.wake.wait(0.25 if demo or any(not watch.was_ready for watch in self.watches) else 1.0)
            self.wake.clear()
        if demo is not None:
            demo.ask_to_stop()
            demo.end(DRAIN_SECONDS)

    def _look_after(self, watch: Watch) -> None:
        service = watch.service
        if watch.start_again_at is not None:
            if time.monotonic() >= watch.start_again_at:
                self._start_again(watch)
        elif (status := service.poll()) is not None:
            # What a dead process had in hand is not there any more; what it counted stays counted.
            for gauge in self.measures_dir.glob(f"gauge_live*_{service.pid}.db"):
                gauge.unlink()
            pause = watch.note_death()
            self.say(service.name, "died", f"status {status}; starting again in {pause:g} s")
        elif not watch.was_ready and service.is_ready():
            watch.was_ready = True
            self.say(service.name, "ready", "again")

    def _start_again(self, watch: Watch) -> None:
        try:
            watch.start()
        except JevonsError as failed:
            pause = watch.note_death()
            self.say(watch.service.name, "failed", f"{failed}; once more in {pause:g} s")
        remember(self.data_dir / "run" / "children.json", [watch.service for watch in self.watches])

    def _start_demo(self) -> Service:
        demo = PythonService("demo", "demo", self.data_dir, self._environment())
        demo.start()
        return demo

    def _stop(self) -> None:
        runtime.remove(self.data_dir)
        embedded = [watch.service for watch in self.watches if isinstance(watch.service, EmbeddedService)]
        children = [watch.service for watch in self.watches if not isinstance(watch.service, EmbeddedService)]
        for service in children:
            service.ask_to_stop()
        deadline = time.monotonic() + DRAIN_SECONDS
        while any(child.poll() is None for child in children) and time.monotonic() < deadline and not self.impatient:
            self.wake.wait(0.1)
            self.wake.clear()
        for service in children:
            service.end(0)
        for service in reversed(embedded):
            service.end(DRAIN_SECONDS)
        (self.data_dir / "run" / "children.json").unlink(missing_ok=True)
        self.address_file.unlink(missing_ok=True)
        if self.watches:
            self.say("jevons", "stopped")

    def _go_on(self) -> None:
        if self.stopping:
            raise Stopped

    def _addresses(self) -> dict[str, str]:
        assert self.database_url is not None
        assert self.redis_url is not None
        return {"JEVONS_DATABASE_URL": self.database_url, "JEVONS_REDIS_URL": self.redis_url}

    def _environment(self) -> dict[str, str]:
        return {
            # An arena of its own for every thread keeps what one of them once needed for a large body.
            "MALLOC_ARENA_MAX": "2",
            **os.environ,
            "JEVONS_ADDRESS_FILE": str(self.address_file),
            "PROMETHEUS_MULTIPROC_DIR": str(self.measures_dir),
            "JEVONS_DATA_DIR": str(self.data_dir),
            "JEVONS_HOST": self.settings.host,
            "JEVONS_PORT": str(self.settings.port),
            "JEVONS_GRPC_PORT": str(self.settings.grpc_port),
            "JEVONS_API_PROCESSES": str(self.settings.api_processes),
        }

    def _runtime(self) -> Runtime:
        assert self.database_url is not None
        assert self.redis_url is not None
        return Runtime(
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            database_url=self.database_url,
            redis_url=self.redis_url,
            host=self.settings.host,
            port=self.settings.port,
            grpc_port=self.settings.grpc_port,
        )

    @staticmethod
    def _reachable(host: str) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
