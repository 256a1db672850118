"""A whole instance, started as a user starts it: `jevons up --demo` with its embedded servers."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

JEVONS = str(Path(sys.executable).with_name("jevons"))
"""The console script beside the interpreter that runs the tests."""


@dataclass(frozen=True)
class Instance:
    """A running `jevons up`."""

    url: str
    grpc_port: int
    data_dir: Path
    process: "subprocess.Popen[str]"

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = httpx.get(self.url + path, params=query, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settled(self, seconds: float = 60) -> dict[str, Any]:
        """The status once everything acknowledged is resolved, priced and rolled up."""
        return eventually(lambda: (s := self.get("/api/v1/status"))["spans_pending"] == 0 and s, seconds)

    def jevons(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line against this instance."""
        return subprocess.run(
            [JEVONS, *arguments],
            env=os.environ | {"JEVONS_DATA_DIR": str(self.data_dir)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def eventually(question: Callable[[], Any], seconds: float = 20) -> Any:
    """The first true answer within the time, or a failure that shows the last one."""
    deadline = time.monotonic() + seconds
    answer = None
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s; the last answer was {answer!r}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """One instance with the sample loaded, stopped cleanly at the end."""
    # Under /tmp and open to traverse, because PostgreSQL runs as another user when the tests run as root.
    with tempfile.TemporaryDirectory(prefix="jevons-e2e-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        data_dir = Path(folder) / "data"
        port, grpc_port = free_port(), free_port()
        log = Path(folder) / "up.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [
                    *(JEVONS, "up", "--demo", "--data-dir", str(data_dir)),
                    *("--port", str(port), "--grpc-port", str(grpc_port)),
                ],
                # Alerts of these tests go to a receiver on this machine.
                env=os.environ | {"JEVONS_ALLOW_PRIVATE_WEBHOOKS": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        running = Instance(f"http://127.0.0.1:{port}", grpc_port, data_dir, process)

        def ready() -> bool:
            assert process.poll() is None, f"jevons up ended with {process.returncode}:\n{log.read_text()}"
            try:
                return httpx.get(running.url + "/readyz", timeout=2).status_code == 200
            except httpx.TransportError:
                return False

        try:
            eventually(ready, 90)
            # The whole sample: what still comes would be counted as a test's own.
            eventually(lambda: re.search(r"^demo +loaded", log.read_text(), re.MULTILINE), 90)
            running.settled()
            yield running
        finally:
            process.terminate()
            process.wait(60)


EVER = {"start": "2025-01-01T00:00:00Z", "end": "2030-01-01T00:00:00Z"}
"""A period that holds the sample and everything the tests send."""
