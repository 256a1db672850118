"""The instance under test: `jevons up` in a directory of its own, its processes seen from outside."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from app import runtime
from app.bench.client import BenchFailed
from app.embedded.process import free_port

READY_SECONDS = 240.0
STOP_SECONDS = 60.0
Say = Callable[[str], None]


class Instance:
    """An instance on free ports of loopback and what it uses.

    Use      `start()`, then anything; `stop()`. Between the two its processes may be killed and it may be started
             again on what it stored.
    """

    def __init__(self, folder: Path, api_processes: int, workers: int, settings: dict[str, str] | None = None) -> None:
        self.folder, self.data_dir, self.log = folder, folder / "data", folder / "up.log"
        self.port, self.grpc_port = free_port(), free_port()
        chosen = {key: value for key, value in os.environ.items() if not key.startswith(("JEVONS_", "POLARS_"))}
        self.environment = chosen | {
            "JEVONS_API_PROCESSES": str(api_processes),
            "JEVONS_WORKERS": str(workers),
            "JEVONS_LOG_LEVEL": "WARNING",
            "PYTHONPATH": os.pathsep.join(word for word in sys.path if word),
            **(settings or {}),
        }
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def start(self) -> float:
        """Start it; returns the seconds until it was ready.

        Raises   BenchFailed with the end of its output where it does not start.
        """
        began = time.monotonic()
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command("up", "--port", str(self.port), "--grpc-port", str(self.grpc_port)),
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        while "jevons     ready" not in (said := self.log.read_bytes()[seen:].decode(errors="replace")):
            if self.process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise BenchFailed(f"the instance under test did not start:\n{said[-2000:]}")
            time.sleep(0.1)
        return time.monotonic() - began

    def stop(self) -> None:
        """Stop it; kills what does not end."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def command(self, *words: str) -> list[str]:
        """A command line of `jevons` on this instance's data."""
        return [sys.executable, "-c", "from app.cli import main; main()", *words, "--data-dir", str(self.data_dir)]

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.http.get(path, params=query)
        if answer.status_code != 200:
            raise BenchFailed(f"GET {path} was answered with {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def processes(self) -> dict[str, psutil.Process]:
        """The living services by name: api, api-2, grpc, worker-1, beat, valkey, postgres."""
        found: dict[str, psutil.Process] = {}
        for process in psutil.Process(self.process.pid).children():
            try:
                words = process.cmdline()
                if words[-2:-1] == ["app.service"]:
                    found[process.environ().get("JEVONS_SERVICE", words[-1])] = process
                elif words and "valkey-server" in words[0]:
                    found["valkey"] = process
                elif words and Path(words[0]).name == "postgres":
                    found["postgres"] = process
            except psutil.Error:
                continue
        return found

    def cpu_seconds(self) -> float:
        """CPU of every process of the instance so far, ended ones included."""
        total = 0.0
        supervisor = psutil.Process(self.process.pid)
        for process in [supervisor, *supervisor.children(recursive=True)]:
            try:
                used = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += used.user + used.system + used.children_user + used.children_system
        return total

    @contextmanager
    def without_workers(self) -> Iterator[None]:
        """Hold derivation and pricing still, so that receiving alone is measured. Call it when nothing is pending."""
        named = self.processes()
        held = [process for name, process in named.items() if name.startswith(("worker", "beat"))]
        for process in held:
            process.suspend()
        try:
            yield
        finally:
            for process in held:
                process.resume()

    @property
    def database_url(self) -> str:
        """Address of its database; good before a restart and after it.

        Raises   BenchFailed where it was never started.
        """
        found = runtime.running(self.data_dir)
        if found is not None:
            return found.database_url
        kept = self.data_dir / "postgres" / "server.json"
        if not kept.exists():
            raise BenchFailed("the instance under test has no database")
        address = json.loads(kept.read_text())
        return f"postgresql+psycopg://jevons:{address['password']}@127.0.0.1:{address['port']}/jevons"


@contextmanager
def started(api_processes: int, workers: int, say: Say, settings: dict[str, str] | None = None) -> Iterator[Instance]:
    """An instance in a folder of its own, stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="jevons-bench-"))
    # PostgreSQL runs as another user where we are root.
    folder.chmod(0o755)
    instance = Instance(folder, api_processes, workers, settings)
    try:
        say(f"instance ready after {instance.start():.1f} s")
        yield instance
    finally:
        instance.http.close()
        instance.stop()
        shutil.rmtree(folder, ignore_errors=True)
