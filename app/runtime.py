"""The running instance as other commands find it: a private file in the data directory."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from app.settings import Settings
from models.core.errors import JevonsError

FILE = "runtime.json"


class NoInstance(JevonsError):
    """A command needs a database and neither a running instance nor an address is given."""

    code = "no_instance"


@dataclass(slots=True, frozen=True, kw_only=True)
class Runtime:
    """Addresses of a running instance; holds passwords, so its file is readable by its owner alone."""

    pid: int
    started: float
    """Start time of the process in seconds since 1970: a number used again is another process."""
    database_url: str
    redis_url: str
    host: str
    port: int
    grpc_port: int

    @property
    def is_alive(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        try:
            found = psutil.Process(self.pid)
            return abs(found.create_time() - self.started) < 1 and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    @property
    def base_url(self) -> str:
        """Where the HTTP side answers, from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}"


def write(data_dir: Path, runtime: Runtime) -> None:
    """Tell other commands about this instance."""
    path = data_dir / FILE
    staging = path.with_suffix(f".{os.getpid()}")
    staging.unlink(missing_ok=True)
    with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(runtime), file)
    staging.replace(path)


def remove(data_dir: Path) -> None:
    """Take the file back at a clean stop."""
    (data_dir / FILE).unlink(missing_ok=True)


def running(data_dir: Path) -> Runtime | None:
    """The instance running on this data directory, or None.

    Raises   NoInstance where the file belongs to another user.
    """
    try:
        runtime = Runtime(**json.loads((data_dir / FILE).read_text()))
    except FileNotFoundError:
        return None
    except PermissionError as refused:
        raise NoInstance(f"{refused.filename} belongs to another user. Run this as the user who runs Jevons.") from None
    return runtime if runtime.is_alive else None


def addresses(settings: Settings) -> tuple[str, str | None]:
    """Addresses of database and broker: the settings', else those of the running instance.

    Raises   NoInstance with what to do.
    """
    database = settings.database_url.get_secret_value() if settings.database_url else None
    broker = settings.redis_url.get_secret_value() if settings.redis_url else None
    if database is None or broker is None:
        instance = running(settings.data_dir)
        if instance is not None:
            database, broker = database or instance.database_url, broker or instance.redis_url
    if database is None:
        raise NoInstance(
            f"no instance is running on {settings.data_dir}. Start one (`jevons up`), name its directory "
            "(--data-dir or JEVONS_DATA_DIR), or set JEVONS_DATABASE_URL."
        )
    return database, broker
