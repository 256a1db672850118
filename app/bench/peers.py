"""Peers on demand: each in an environment of its own, on loopback, against a PostgreSQL of its own, sent the load.

They get the same requests as Jevons; what counts are the rows in its database."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg
from psycopg import sql

from app.bench.client import BenchFailed, Order, send
from app.bench.instance import Say
from app.bench.payloads import templates
from app.embedded.postgres import Postgres
from app.embedded.process import free_port

READY_SECONDS = 180.0
QUIET_SECONDS = 20.0
"""A peer that stores nothing more for so long is done."""
SETTLE_SECONDS = 240.0
WARM_UP_SPANS = 512
"""The first requests import half of a peer: they are not measured."""
BATCHES = (512, 64)


@dataclass(slots=True, frozen=True)
class Peer:
    """How to install and start a peer."""

    name: str
    packages: tuple[str, ...]
    command: Callable[[Path, int, str, Path], list[str]]
    """(virtual environment, port, database URL, folder) → command line."""
    environment: Callable[[int, str, Path], dict[str, str]]
    alive: str
    headers: str = ""
    spans: int = 6_144
    """Of a burst: a few seconds to a minute of its work."""


def _mlflow_command(home: Path, port: int, url: str, folder: Path) -> list[str]:
    words = [str(home / "bin" / "mlflow"), "server", "--backend-store-uri", url, "--workers", "2"]
    return [*words, "--default-artifact-root", str(folder), "--host", "127.0.0.1", "--port", str(port)]


PEERS: dict[str, Peer] = {
    "phoenix": Peer(
        name="phoenix",
        packages=("arize-phoenix[pg]",),
        command=lambda home, port, url, folder: [str(home / "bin" / "phoenix"), "serve"],
        environment=lambda port, url, folder: {
            "PHOENIX_SQL_DATABASE_URL": url,
            "PHOENIX_PORT": str(port),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        alive="/healthz",
        spans=3_072,
    ),
    "mlflow": Peer(
        name="mlflow",
        packages=("mlflow==3.17.2", "psycopg[binary]"),
        command=_mlflow_command,
        environment=lambda port, url, folder: {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        alive="/health",
        headers="x-mlflow-experiment-id: 0\r\n",
    ),
}
LITELLM_SCRIPT = """
import time
from litellm import cost_per_token
MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "gpt-4o", "gpt-4.1", "gemini/gemini-2.5-pro")
def one(n):
    tokens = {"prompt_tokens": 1000 + n, "completion_tokens": n % 900, "cache_read_input_tokens": n % 800}
    cost_per_token(model=MODELS[n % 5], **tokens)
for n in range(50):
    one(n)
began = time.perf_counter()
for n in range(3000):
    one(n)
print(3000 * 4 / (time.perf_counter() - began))
"""
"""Four buckets a call, as the other rating measurements count."""


def environment_of(name: str, packages: tuple[str, ...], root: Path, say: Say) -> Path:
    """The peer's virtual environment below `root`, made and filled where it is not there yet."""
    home = root / name
    if not (home / "installed").exists():
        say(f"{name}: installing {' '.join(packages)} into {home}")
        venv.create(home, with_pip=True)
        log = home / "install.log"
        with log.open("wb") as output:
            done = subprocess.run(
                [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages],
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise BenchFailed(f"{name} cannot be installed:\n{log.read_text(errors='replace')[-1500:]}")
        (home / "installed").touch()
    return home


def measure_peers(names: list[str], root: Path, say: Say) -> dict[str, float]:
    """Durable spans per second and CPU-seconds per 1,000 spans of each peer; LiteLLM's speed of pricing where named."""
    found: dict[str, float] = {}
    for name in names:
        if name == "litellm":
            home = environment_of(name, ("litellm",), root, say)
            done = subprocess.run(
                [str(home / "bin" / "python"), "-c", LITELLM_SCRIPT], capture_output=True, timeout=180, check=True
            )
            found["litellm: buckets/s"] = float(done.stdout.split()[-1])
            say(f"litellm: {found['litellm: buckets/s']:,.0f} buckets/s")
            continue
        if name not in PEERS:
            raise BenchFailed(f"there is no peer {name!r}; known: {', '.join((*PEERS, 'litellm'))}")
        try:
            found |= _measure(PEERS[name], environment_of(name, PEERS[name].packages, root, say), say)
        except BenchFailed as failed:
            # A peer that does not work here must not cost the other figures of the run.
            say(f"{name}: {failed}")
    return found


def _measure(peer: Peer, home: Path, say: Say) -> dict[str, float]:
    found: dict[str, float] = {}
    with _running(peer, home, say) as (server, port, postgres, database):
        count = _counter(database)
        send(port, templates(2, 64), Order(connections=8, spans=WARM_UP_SPANS, headers=peer.headers, survives=True))
        _settle(count, WARM_UP_SPANS)
        for batch in BATCHES:
            before = count()
            cpu, began = _cpu(server) + _cpu(postgres), time.monotonic()
            order = Order(connections=8, spans=peer.spans, headers=peer.headers, when_busy="again")
            sent = send(port, templates(8, batch), order)
            stored, ended = _settle(count, before + sent.spans)
            cpu = _cpu(server) + _cpu(postgres) - cpu
            stored -= before
            label = f"{peer.name}, batch {batch}"
            found |= {
                f"{label}: spans/s": stored / (ended - began),
                f"{label}: CPU-s per 1,000": cpu / max(stored, 1) * 1000,
                f"{label}: ack p99 ms": sent.percentile(0.99),
                f"{label}: acknowledged and not stored": sent.spans - stored,
                f"{label}: seconds stored after the last acknowledgement": ended - began - sent.seconds,
            }
            say(f"{label}: {found[f'{label}: spans/s']:,.0f} durable spans/s")
        found[f"{peer.name}: resident MB"] = (
            sum(one.memory_full_info().pss for one in (server, *server.children(recursive=True))) / 2**20
        )
    return found


@contextmanager
def _running(peer: Peer, home: Path, say: Say) -> Iterator[tuple[psutil.Process, int, psutil.Process, str]]:
    folder = Path(tempfile.mkdtemp(prefix=f"jevons-peer-{peer.name}-"))
    folder.chmod(0o755)
    postgres = Postgres(folder)
    postgres.start()
    child: subprocess.Popen[bytes] | None = None
    try:
        ours = postgres.url.replace("+psycopg", "", 1)
        with psycopg.connect(ours, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(peer.name)))
        database = ours.rsplit("/", 1)[0] + f"/{peer.name}"
        port = free_port()
        log = folder / "peer.log"
        words = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        words["PATH"] = f"{home / 'bin'}{os.pathsep}{words.get('PATH', '')}"
        began = time.monotonic()
        with log.open("wb") as output:
            child = subprocess.Popen(
                peer.command(home, port, database, folder),
                env=words | peer.environment(port, database, folder),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
        while not _answers(port, peer.alive):
            if child.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise BenchFailed(f"{peer.name} did not start:\n{log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.3)
        say(f"{peer.name} ready after {time.monotonic() - began:.0f} s")
        assert postgres.pid is not None
        yield psutil.Process(child.pid), port, psutil.Process(postgres.pid), database
    finally:
        if child is not None:
            _end(child)
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=3).status_code == 200
    except httpx.HTTPError:
        return False


def _end(child: "subprocess.Popen[bytes]") -> None:
    every = [*psutil.Process(child.pid).children(recursive=True)] if child.poll() is None else []
    child.terminate()
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for process in every:
        if process.is_running():
            process.kill()


def _counter(database: str) -> Callable[[], int]:
    connection = psycopg.connect(database, autocommit=True)

    def count() -> int:
        row = connection.execute("SELECT count(*) FROM spans").fetchone()
        return int(row[0]) if row else 0

    return count


def _settle(count: Callable[[], int], wanted: int) -> tuple[int, float]:
    """Wait until so many rows are there, or none was added for a while; returns the rows and when the last came."""
    began = changed = time.monotonic()
    rows = -1
    while time.monotonic() - began < SETTLE_SECONDS and time.monotonic() - changed < QUIET_SECONDS and rows < wanted:
        found = count()
        if found != rows:
            rows, changed = found, time.monotonic()
        if rows < wanted:
            time.sleep(0.1)
    return rows, changed


def _cpu(process: psutil.Process) -> float:
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            used = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system + used.children_user + used.children_system
    return total


def default_root() -> Path:
    """Where virtual environments of peers are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "jevons" / f"peers-{sys.version_info.major}.{sys.version_info.minor}"
