"""Child processes: started as an unprivileged user, gone when their parent is gone."""

import ctypes
import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.core.errors import JevonsError

UNPRIVILEGED = ("jevons", "postgres", "nobody")
"""Users that root's servers run as, the first one that exists. PostgreSQL refuses to run as root."""
PR_SET_PDEATHSIG = 1


class EmbeddedServerError(JevonsError):
    """An embedded server cannot be installed, started or reached; the message says what to do."""

    code = "embedded_server"


@dataclass(slots=True, frozen=True)
class Identity:
    """The user a server runs as. `uid` None: the present one, nothing to change."""

    uid: int | None = None
    gid: int | None = None
    name: str = ""

    def own(self, path: Path) -> None:
        """Give a file or directory to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def identity() -> Identity:
    """The user for servers: the present one, or for root the first unprivileged user there is.

    Raises   EmbeddedServerError where root finds no such user.
    """
    if os.geteuid() != 0:
        return Identity()
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(entry.pw_uid, entry.pw_gid, name)
    raise EmbeddedServerError(
        f"PostgreSQL refuses to run as root and none of the users {', '.join(UNPRIVILEGED)} exists. "
        "Start Jevons as an ordinary user, or set JEVONS_DATABASE_URL and JEVONS_REDIS_URL."
    )


def server_dir(data_dir: Path, name: str, who: Identity) -> Path:
    """`data_dir/name`, made for `who` alone. Ancestors of the data directory are never changed.

    Raises   EmbeddedServerError where the directory cannot be made, or `who` cannot reach it.
    """
    home = data_dir / name
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if who.uid is not None:
            # Another user must pass through the data directory; 0711 lets it pass, not look.
            data_dir.chmod(data_dir.stat().st_mode & 0o777 | 0o711)
        home.mkdir(mode=0o700, exist_ok=True)
        who.own(home)
    except PermissionError as refused:
        raise EmbeddedServerError(
            f"the data directory {data_dir} cannot be written: {refused}. "
            "Choose another with --data-dir or JEVONS_DATA_DIR."
        ) from refused
    closed = _closed_to(home, who)
    if closed is not None:
        raise EmbeddedServerError(
            f"root's servers run as the user {who.name}, who cannot pass {closed} to reach {home}. Choose a directory "
            "that every user can reach (--data-dir /var/lib/jevons), or start Jevons as an ordinary user."
        )
    return home


def _closed_to(path: Path, who: Identity) -> Path | None:
    """The first ancestor that `who` cannot pass, or None."""
    if who.uid is None:
        return None
    for folder in reversed(path.resolve().parents):
        state = folder.stat()
        if state.st_uid == who.uid:
            allowed = state.st_mode & 0o100
        elif state.st_gid == who.gid:
            allowed = state.st_mode & 0o010
        else:
            allowed = state.st_mode & 0o001
        if not allowed:
            return folder
    return None


def reachable_copy(source: Path, data_dir: Path, label: str, who: Identity, folders: Sequence[Path]) -> Path:
    """`source` itself where `who` can reach it, else its copy below `data_dir/bin/label`.

    Shapes   `folders` are what is copied, relative to `source`; the copy is renamed into place when whole.
    """
    if _closed_to(source / folders[0] / "any", who) is None:
        return source
    target = data_dir / "bin" / label
    if target.exists():
        return target
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    staging = target.with_name(f"{label}.{os.getpid()}")
    for folder in folders:
        if (source / folder).exists():
            shutil.copytree(
                source / folder, staging / folder, symlinks=True, ignore=shutil.ignore_patterns("*.a", "include")
            )
    for path in [staging, *staging.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        staging.rename(target)
    except OSError:
        shutil.rmtree(staging)  # Another process was first; its copy is the same.
    return target


def dies_with_parent(stop: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before exec so that the kernel sends it `stop` when its parent dies (Linux)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, int(stop), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


def spawn(
    command: Sequence[str | Path],
    *,
    who: Identity,
    stop: signal.Signals = signal.SIGTERM,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, with its output appended to `log`; `stop` reaches it if we die.

    The kernel ties the child to the *thread* that starts it: call this from a thread that lives on.
    """
    sink = open(log, "ab") if log else None  # noqa: SIM115 - handed to the child, closed below
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT if sink else None,
            user=who.uid,
            group=who.gid,
            extra_groups=None if who.uid is None else [],
            start_new_session=True,
            preexec_fn=dies_with_parent(stop),
            env=None if environment is None else dict(environment),
            cwd=cwd,
        )
    finally:
        if sink:
            sink.close()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether `host:port` can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    staging.unlink(missing_ok=True)
    handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    staging.replace(path)


def address_of(path: Path) -> dict[str, Any]:
    """Port and password of a server, made at its first start and kept in a 0600 file."""
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text())
        if is_port_free(kept["port"]):
            return kept
    else:
        kept = {"password": secrets.token_urlsafe(24)}
    kept["port"] = free_port()
    write_private(path, json.dumps(kept))
    return kept


def kept_address(path: Path) -> dict[str, Any] | None:
    """Port and password as last written, or None before the first start."""
    return json.loads(path.read_text()) if path.exists() else None


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, for messages."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def shorten(path: Path, most_bytes: int = 16 * 2**20) -> None:
    """Keep the last half of a log that grew beyond `most_bytes`."""
    if path.exists() and path.stat().st_size > most_bytes:
        path.write_bytes(path.read_bytes()[-most_bytes // 2 :])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock on a file; waits for another holder."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
