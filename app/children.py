"""The supervisor's services: each can be started, asked whether it is ready or dead, and stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import psutil

import app
from app.embedded import process
from app.embedded.postgres import Postgres
from app.embedded.process import Identity
from app.embedded.valkey import Valkey

BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
HEALTHY_SECONDS = 60.0
"""After running this long a service that dies is started at once again."""


class Service(Protocol):
    """What the supervisor watches."""

    name: str

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        ...

    def start(self) -> None:
        """Start it; may return before it is ready."""
        ...

    def is_ready(self) -> bool:
        """Whether it does its work."""
        ...

    def poll(self) -> int | None:
        """None while it runs, else its exit status."""
        ...

    def ask_to_stop(self) -> None:
        """Ask it to finish what it has in hand and end."""
        ...

    def end(self, timeout: float) -> None:
        """Wait for its end; kill it after `timeout` seconds."""
        ...

    def last_words(self) -> str:
        """The end of its log."""
        ...


class EmbeddedService:
    """PostgreSQL or Valkey of our own; ready when started."""

    def __init__(self, name: str, server: Postgres | Valkey) -> None:
        self.name = name
        self.server = server

    @property
    def pid(self) -> int | None:
        """Process id of the server."""
        return self.server.pid

    def start(self) -> None:
        """Start and wait until it takes connections."""
        self.server.start()

    def is_ready(self) -> bool:
        """True once started: starting waits."""
        return self.server.poll() is None

    def poll(self) -> int | None:
        """None while it runs."""
        return self.server.poll()

    def ask_to_stop(self) -> None:
        """Nothing yet: it ends when those who use it have."""

    def end(self, timeout: float) -> None:
        """Stop it cleanly."""
        self.server.stop(timeout)

    def last_words(self) -> str:
        """The end of the server's log."""
        return process.tail(self.server.log)


class PythonService:
    """A child that runs app.service with addresses in its environment and its log in the data directory."""

    def __init__(
        self, name: str, role: str, data_dir: Path, environment: Mapping[str, str], port: tuple[str, int] | None = None
    ) -> None:
        self.name = name
        self.role = role
        self.log = data_dir / "logs" / f"{name}.log"
        self.marker = data_dir / "run" / f"{name}.ready"
        self.port = port
        self.environment = {
            **environment,
            "JEVONS_SERVICE": name,
            "JEVONS_READY_FILE": str(self.marker),
            # Strangers' `app` directories in the working directory must not be imported instead of ours.
            "PYTHONSAFEPATH": "1",
        }
        root = Path(app.__file__).parent.parent
        if (root / "pyproject.toml").exists():
            paths = [str(root), environment.get("PYTHONPATH", "")]
            self.environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child."""
        return self.child.pid if self.child else None

    def start(self) -> None:
        """Start the child; `is_ready` tells when it works."""
        self.marker.unlink(missing_ok=True)
        process.shorten(self.log)
        command = [sys.executable, "-m", "app.service", self.role]
        self.child = process.spawn(command, who=Identity(), log=self.log, environment=self.environment)

    def is_ready(self) -> bool:
        """Whether it announced itself, or takes connections where it listens on a port of its own."""
        if self.marker.exists():
            return True
        if self.port is None:
            return False
        try:
            with socket.create_connection(self.port, timeout=0.2):
                return True
        except OSError:
            return False

    def poll(self) -> int | None:
        """None while it runs, else its exit status."""
        return self.child.poll() if self.child else 1

    def ask_to_stop(self) -> None:
        """SIGTERM: it finishes what it has in hand."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)

    def end(self, timeout: float) -> None:
        """Wait for its end, then kill it."""
        if self.child is None:
            return
        try:
            self.child.wait(max(timeout, 0.1))
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(5)
        self.marker.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The end of its log."""
        return process.tail(self.log)


class Watch:
    """A service with its history of deaths."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self.service = service
        self.clock = clock
        self.deaths = 0
        self.started_at = clock()
        self.start_again_at: float | None = None
        self.was_ready = False

    def start(self) -> None:
        """Start the service now."""
        self.started_at, self.start_again_at, self.was_ready = self.clock(), None, False
        self.service.start()

    def note_death(self) -> float:
        """Remember a death; returns the seconds until the next start."""
        if self.clock() - self.started_at > HEALTHY_SECONDS:
            self.deaths = 0
        pause = BACK_OFF_SECONDS[min(self.deaths, len(BACK_OFF_SECONDS) - 1)]
        self.deaths += 1
        self.start_again_at = self.clock() + pause
        return pause


def remember(path: Path, services: list[Service]) -> None:
    """Write down who was started, so that the next start can end what a killed supervisor left."""
    kept: dict[str, list[float]] = {}
    for service in services:
        if isinstance(service, PythonService) and service.pid is not None and service.poll() is None:
            kept[service.name] = [service.pid, psutil.Process(service.pid).create_time()]
    staging = path.with_suffix(f".{os.getpid()}")
    staging.write_text(json.dumps(kept))
    staging.replace(path)


def end_left_behind(path: Path, timeout: float = 15.0) -> list[str]:
    """End the children of a killed supervisor; returns their names. The kernel ends them on Linux, this elsewhere."""
    if not path.exists():
        return []
    found: dict[str, psutil.Process] = {}
    for name, (pid, created) in json.loads(path.read_text()).items():
        try:
            child = psutil.Process(int(pid))
            if abs(child.create_time() - created) < 1:
                child.terminate()
                found[name] = child
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(found.values(), timeout=timeout)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=5)
    path.unlink()
    return list(found)
