"""`jevons up` as a user runs it: status lines, second start, taken ports, deaths, a clean end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.embedded.process import free_port

COMMAND = [sys.executable, "-c", "from app.cli import main; main()"]
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0


class Instance:
    """A running `jevons up` on its own directory and ports."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port, self.grpc_port = free_port(), free_port()
        self.out = data_dir / "up.out"
        ports = ["--port", str(self.port), "--grpc-port", str(self.grpc_port)]
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--data-dir", str(data_dir), *ports],
                stdout=out,
                stderr=out,
                env=environment(),
                cwd=ROOT,
            )

    @property
    def said(self) -> str:
        """Everything printed so far."""
        return self.out.read_text()

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Until something is so; its own end is a failure."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def service(self, name: str) -> psutil.Process:
        """The direct child that is a service of this name."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if child.environ().get("JEVONS_SERVICE") == name)

    def child(self, word: str) -> psutil.Process:
        """The direct child whose command line has this word."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if any(word in part for part in child.cmdline()))


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JEVONS_")}
    return inherited | {"PYTHONWARNINGS": "default"}


def jevons(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=environment() | more,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    folder = Path(tempfile.mkdtemp(prefix="jevons-up-"))
    running = Instance(folder)
    running.wait_for(lambda: "jevons     ready" in running.said)
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(60)
    shutil.rmtree(folder, ignore_errors=True)


def test_every_service_says_that_it_is_ready(instance: Instance) -> None:
    ready = [line.split()[0] for line in instance.said.splitlines() if line.split()[1] == "ready"]
    assert sorted(ready) == ["api", "beat", "grpc", "jevons", "postgres", "schema", "valkey", "worker-1", "worker-2"]
    with urllib.request.urlopen(f"http://127.0.0.1:{instance.port}/readyz", timeout=10) as answer:
        assert json.load(answer)["status"] == "ok"


def test_other_commands_find_the_running_instance(instance: Instance) -> None:
    done = jevons("migrate", "--json", "--data-dir", str(instance.data_dir))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["revision"]
    made = jevons("keys", "create", "ci", "--json", "--data-dir", str(instance.data_dir))
    assert json.loads(made.stdout)["key"].startswith("jev_")


def test_a_second_start_names_the_first(instance: Instance) -> None:
    second = jevons("up", "--data-dir", str(instance.data_dir), "--port", str(free_port()))
    assert second.returncode == 1
    assert f"pid {instance.process.pid}" in second.stderr
    assert "--data-dir" in second.stderr


def test_a_worker_killed_is_started_again(instance: Instance) -> None:
    before = instance.service("worker-1").pid
    os.kill(before, signal.SIGKILL)
    instance.wait_for(lambda: instance.said.count("worker-1   ready") == 2)
    assert instance.service("worker-1").pid != before


def test_a_database_killed_is_started_again_and_requests_go_on(instance: Instance) -> None:
    os.kill(instance.child("bin/postgres").pid, signal.SIGKILL)
    instance.wait_for(lambda: instance.said.count("postgres   ready") == 2)
    with urllib.request.urlopen(f"http://127.0.0.1:{instance.port}/readyz", timeout=10) as answer:
        assert json.load(answer)["checks"]["database"] == "ok"


def test_sigterm_ends_everything_cleanly(instance: Instance) -> None:
    family = instance.family()
    assert len(family) > 6
    instance.process.send_signal(signal.SIGTERM)
    assert instance.process.wait(60) == 0, instance.said
    assert instance.said.rstrip().endswith("stopped")
    assert [process for process in family if process.is_running()] == []
    assert not (instance.data_dir / "runtime.json").exists()
    assert not (instance.data_dir / "postgres" / "cluster" / "postmaster.pid").exists()


def test_a_killed_supervisor_leaves_no_process_and_the_next_one_starts(instance: Instance) -> None:
    again = Instance(instance.data_dir)
    again.wait_for(lambda: "jevons     ready" in again.said)
    family = again.family()
    again.process.kill()
    again.process.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert [(process.pid, process.name()) for process in alive] == []
    third = Instance(instance.data_dir)
    third.wait_for(lambda: "jevons     ready" in third.said)
    third.process.terminate()
    assert third.process.wait(60) == 0


def test_a_taken_port_is_named_with_the_way_to_another() -> None:
    folder = Path(tempfile.mkdtemp(prefix="jevons-up-"))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        refused = jevons("up", "--data-dir", str(folder), "--port", str(port))
    assert refused.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in refused.stderr
    assert "--port or JEVONS_PORT" in refused.stderr
    assert not (folder / "postgres").exists()
    shutil.rmtree(folder)


def test_an_open_network_is_refused() -> None:
    refused = jevons("up", "--host", "0.0.0.0", JEVONS_AUTH="off")
    assert refused.returncode == 2
    assert "everybody on the network" in refused.stderr


def test_without_keys_or_users_nothing_listens_beyond_loopback() -> None:
    folder = Path(tempfile.mkdtemp(prefix="jevons-up-"))
    ports = ["--port", str(free_port()), "--grpc-port", str(free_port())]
    refused = jevons("up", "--host", "0.0.0.0", "--data-dir", str(folder), *ports)
    assert refused.returncode == 2
    assert "jevons users create" in refused.stderr
    assert not (folder / "postgres" / "cluster" / "postmaster.pid").exists()
    made = jevons("keys", "create", "--data-dir", str(folder))
    assert made.returncode == 0, made.stderr
    listed = jevons("keys", "list", "--json", "--data-dir", str(folder))
    assert [key["hint"] for key in json.loads(listed.stdout)] == [made.stdout[:10]]
    shutil.rmtree(folder)


def test_wrong_settings_name_the_variable() -> None:
    refused = jevons("up", JEVONS_PORT="many")
    assert refused.returncode == 2
    assert "JEVONS_PORT" in refused.stderr


def test_wrong_usage_is_2_and_a_missing_instance_is_1(tmp_path: Path) -> None:
    assert jevons("up", "--no-such-option").returncode == 2
    missing = jevons("status", "--data-dir", str(tmp_path))
    assert missing.returncode == 1
    assert "jevons up" in missing.stderr
    assert jevons("--version").stdout.startswith("jevons ")
