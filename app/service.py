"""What each child process of the supervisor runs: `python -m app.service api|grpc|worker|beat|demo`."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from app.settings import settings

DRAIN_SECONDS = 10
"""How long requests in hand may take once a stop was asked for."""


def announce() -> None:
    """Tell the supervisor that this service works now."""
    marker = os.environ.get("JEVONS_READY_FILE")
    if marker:
        Path(marker).touch()


def api() -> None:
    """Collector, API and pages on one port, until SIGTERM."""
    import uvicorn

    from app.api import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
            await super().startup(sockets)
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
    Server(config).run()


def grpc() -> None:
    """OTLP over gRPC, until SIGTERM."""
    from app.otlp_grpc import serve

    serve()


def worker() -> None:
    """One Celery worker, until SIGTERM and the end of the task in hand."""
    from celery.signals import worker_ready

    from app.worker import run_worker

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
    run_beat(settings().data_dir / "run" / "beat")


def demo() -> None:
    """Load the sample into the running instance."""
    from app.demo import load

    load()


SERVICES: dict[str, Callable[[], None]] = {
    "api": api,
    "grpc": grpc,
    "worker": worker,
    "beat": beat,
    "demo": demo,
}


def main() -> None:
    """Run the service named by the only argument."""
    # Polars starts a thread per core; the services already share the cores.
    os.environ.setdefault("POLARS_MAX_THREADS", "1" if sys.argv[1] == "worker" else "2")
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    SERVICES[sys.argv[1]]()


if __name__ == "__main__":
    main()
