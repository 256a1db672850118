"""The instance under test: `jevons up` in a directory of its own, its processes' CPU and memory seen from outside."""

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
SETTLED_SECONDS = 300.0


class Instance:
    """A running instance and what it uses."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, data_dir: Path) -> None:
        self.process, self.port, self.data_dir = process, port, data_dir
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.http.get(path, params=query)
        if answer.status_code != 200:
            raise BenchFailed(f"GET {path} was answered with {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def settle(self) -> float:
        """Wait until everything acknowledged is in the figures; returns how long that took, in seconds."""
        began = time.monotonic()
        while self.get("/api/v1/status")["spans_pending"]:
            if time.monotonic() - began > SETTLED_SECONDS:
                raise BenchFailed(f"spans were still pending after {SETTLED_SECONDS:.0f} s")
            time.sleep(0.05)
        return time.monotonic() - began

    def cpu_seconds(self) -> float:
        """CPU of every process of the instance so far, ended ones included."""
        total = 0.0
        for process in self._tree():
            try:
                used = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += used.user + used.system + used.children_user + used.children_system
        return total

    def resident_mb(self, service: str) -> float:
        """Resident memory of the largest process of one service: `api`, `worker`."""
        sizes: list[int] = []
        for process in self._tree():
            try:
                words = process.cmdline()
                if words[-2:] == ["app.service", service]:
                    sizes.append(process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        return max(sizes) / 2**20

    @contextmanager
    def without_workers(self) -> Iterator[None]:
        """Hold derivation and pricing still, so that receiving alone is measured. Call it when nothing is pending."""
        held = [process for process in self._tree() if process.cmdline()[-2:-1] == ["app.service"]]
        held = [process for process in held if process.cmdline()[-1] in ("worker", "beat")]
        for process in held:
            process.suspend()
        try:
            yield
        finally:
            for process in held:
                process.resume()

    @property
    def database_url(self) -> str:
        """Address of its database.

        Raises   BenchFailed where the instance is gone.
        """
        found = runtime.running(self.data_dir)
        if found is None:
            raise BenchFailed("the instance under test has ended")
        return found.database_url

    def _tree(self) -> list[psutil.Process]:
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]


@contextmanager
def started(api_processes: int, workers: int, say: Callable[[str], None]) -> Iterator[Instance]:
    """An instance on free ports of loopback, stopped and removed at the end.

    Raises   BenchFailed with the end of its output where it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="jevons-bench-"))
    # PostgreSQL runs as another user where we are root.
    folder.chmod(0o755)
    port, grpc_port = free_port(), free_port()
    chosen = {key: value for key, value in os.environ.items() if not key.startswith("JEVONS_")}
    chosen |= {
        "JEVONS_API_PROCESSES": str(api_processes),
        "JEVONS_WORKERS": str(workers),
        "JEVONS_LOG_LEVEL": "WARNING",
    }
    arguments = ["up", "--data-dir", str(folder / "data"), "--port", str(port), "--grpc-port", str(grpc_port)]
    log = folder / "up.log"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from app.cli import main; main()", *arguments],
            env=chosen | {"PYTHONPATH": os.pathsep.join(word for word in sys.path if word)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    instance = Instance(process, port, folder / "data")
    try:
        while "jevons     ready" not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise BenchFailed(f"the instance under test did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        say(f"instance ready after {time.monotonic() - began:.1f} s")
        yield instance
    finally:
        instance.http.close()
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)
