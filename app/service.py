"""What each child process of the supervisor runs: `python -m app.service api|grpc|worker|beat|demo`."""

import gc
import importlib
import json
import logging
import os
import pkgutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.auth_mode import refuse_open_network
from app.settings import settings
from models.core.errors import JevonsError

DRAIN_SECONDS = 10
"""How long requests in hand may take once a stop was asked for."""


def announce() -> None:
    """Tell the supervisor that this service works now."""
    marker = os.environ.get("JEVONS_READY_FILE")
    if marker:
        Path(marker).touch()


def await_addresses() -> None:
    """Wait until the supervisor has written where database and broker are, and take it into the environment.

    Importing takes longer than the servers' own start, so children are started first and meet the addresses here.
    """
    file = os.environ.get("JEVONS_ADDRESS_FILE")
    if not file:
        return
    path = Path(file)
    while not path.exists():
        time.sleep(0.02)
    os.environ.update(json.loads(path.read_text()))


def import_all(*names: str) -> None:
    """Import modules, of `package.*` every module directly below it."""
    for name in names:
        package, every, _ = name.partition(".*")
        module = importlib.import_module(package)
        for found in pkgutil.iter_modules(module.__path__, f"{package}.") if every else ():
            importlib.import_module(found.name)


def api() -> None:
    """Collector, API and pages on one port, until SIGTERM."""
    refuse_open_network(settings())
    import uvicorn

    from app.api import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
            await super().startup(sockets)
            # What was imported stays: looking through it again at every full collection would stop requests.
            gc.collect()
            gc.freeze()
            announce()

    config = uvicorn.Config(
        create_app(),
        host=settings().host,
        port=settings().port,
        log_level=settings().log_level.lower(),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    if settings().api_processes == 1:
        Server(config).run()
        return
    # The kernel deals connections out among all that listen on the port this way.
    family = socket.AF_INET6 if ":" in settings().host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((settings().host, settings().port))
        Server(config).run(sockets=[listener])


def grpc() -> None:
    """OTLP over gRPC, until SIGTERM."""
    refuse_open_network(settings())
    from app.otlp_grpc import serve

    serve()


def record_shipped_prices() -> None:
    """Take up the price list of this release. Where it cannot be, the worker prices by the list there is."""
    from app import wiring
    from app.tasks.pricing import install_shipped_book

    try:
        with wiring.transaction() as connection:
            install_shipped_book(connection)
    except Exception:
        logging.getLogger(__name__).exception("the price list of this release could not be recorded")


def worker() -> None:
    """One Celery worker, until SIGTERM and the end of the task in hand."""
    from celery.signals import worker_ready

    from app.worker import run_worker

    record_shipped_prices()

    def on_ready(**_: object) -> None:
        announce()

    worker_ready.connect(on_ready)
    run_worker(os.environ.get("JEVONS_SERVICE", f"worker-{os.getpid()}"))


def beat() -> None:
    """The clock that sends the sweeps, until SIGTERM."""
    from celery.signals import beat_init

    from app.worker import run_beat

    def on_ready(**_: object) -> None:
        announce()

    beat_init.connect(on_ready)
    folder = settings().data_dir / "run"
    # In a container of its own beat finds an empty data directory.
    folder.mkdir(parents=True, exist_ok=True)
    run_beat(folder / "beat")


def demo() -> None:
    """Load the sample into the running instance."""
    from app.demo import load

    load()


PARTS: dict[str, tuple[str, ...]] = {
    "api": ("uvicorn", "app.api", "app.routes.*", "dashboards.main", "models.store.reader"),
    "grpc": ("app.otlp_grpc",),
    "worker": ("app.worker", "celery.apps.worker", "kombu.transport.redis", "app.tasks.*"),
    "beat": ("app.worker", "celery.apps.beat", "kombu.transport.redis"),
    "demo": ("app.demo",),
}
"""What each service imports at its start anyway, as early as can be."""

SERVICES: dict[str, Callable[[], None]] = {
    "api": api,
    "grpc": grpc,
    "worker": worker,
    "beat": beat,
    "demo": demo,
}


def main() -> None:
    """Run the service named by the only argument."""
    role = sys.argv[1]
    # Polars starts a thread per core; the services already share the cores.
    os.environ.setdefault("POLARS_MAX_THREADS", "1" if role == "worker" else "2")
    import_all(*PARTS[role])
    await_addresses()
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        SERVICES[role]()
    except JevonsError as fault:
        from app.cli import fail

        fail(str(fault), fault.exit_code)


if __name__ == "__main__":
    main()
