"""API and pages over the whole sample on a real database, without child processes."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import uvicorn

from app import demo, wiring
from app.api import create_app
from app.settings import Settings
from app.tasks.capacity import share_next_hour
from app.tasks.count import count
from app.tasks.derive import derive
from app.tasks.rate import rate
from app.tasks.rollup import rollup
from app.tasks.watch import watch
from app.wiring import Wiring
from dashboards import identity, kept
from models.prices.genai import shipped_rates
from models.store.prices import SHIPPED, record_book
from tests.conftest import Database


@contextmanager
def serving(settings: Settings, database: Database) -> Iterator[str]:
    """An instance on a free port, with these settings."""
    parts = Wiring(settings, database.url)
    wiring.use(parts)
    identity.forget()
    kept._kept.clear()
    server = create_app(parts)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(server, host="127.0.0.1", port=port, log_level=logging.WARNING))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running.started, "the server did not start within 60 seconds"
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(10)
    wiring.use(None)


def _share() -> int:
    """Share own capacity now: the worker would wait until no call comes any more."""
    with wiring.transaction() as connection:
        return share_next_hour(connection, quiet=timedelta(0))


def load_sample(database: Database) -> None:
    """The sample, derived, priced, summed and watched."""
    parts = Wiring(Settings(auth="off"), database.url)
    wiring.use(parts)
    with parts.transaction() as connection:
        record_book(connection, None, SHIPPED, shipped_rates(), "genai-prices")
    demo.load()
    for task in (derive, rate, count, _share, rollup, watch):
        while task():
            pass
    wiring.use(None)
