"""A real Chromium, and the pages on a real server over hand-made calls."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from dashboards import identity
from dashboards.main import mount

from .hand_made import HandMadeReader, Made, made_calls

PERIOD = "period=2026-11-01..2026-11-20"
PATIENCE_MS = 60_000
"""How long a step may take where other work shares the processors."""
expect.set_options(timeout=PATIENCE_MS)
AXE = Path(__file__).with_name("axe.min.js")
"""axe-core 4.14.1, MPL-2.0 (axe-LICENSE.txt), unchanged."""


@pytest.fixture(scope="session")
def made() -> list[Made]:
    """The calls behind every figure of the pages."""
    return made_calls()


@contextmanager
def serving(made: list[Made]) -> Iterator[str]:
    """The pages on a free port of this machine, asked by nobody yet."""
    identity.forget()
    server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    mount(server, HandMadeReader(made))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(server, host="127.0.0.1", port=port, log_level=logging.WARNING))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running.started, "the server did not start within 30 seconds"
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def address(made: list[Made]) -> Iterator[str]:
    """The pages, served to all tests."""
    with serving(made) as started:
        yield started


class Surf:
    """A page that collects what went wrong while it was driven."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.faults: list[str] = []
        page.on("console", lambda said: self.faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        page.on("response", lambda got: self.faults.append(f"{got.status} {got.url}") if got.status >= 400 else None)
        page.on("request", lambda asked: self._left(asked.url))

    def _left(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"left the machine: {url}")

    def open(self, path: str) -> Page:
        """Go there and wait until the page is drawn."""
        self.page.goto(f"{self.address}{path}")
        self.page.wait_for_selector(".content h1")
        self.page.wait_for_selector(".bar .freshness", state="attached")
        return self.page

    def open_faulty(self, path: str) -> Page:
        """Go to an address that no page can show."""
        self.page.goto(f"{self.address}{path}")
        self.page.wait_for_selector(".message")
        return self.page

    def settled(self) -> None:
        """Wait until the page, its tables and its charts are drawn."""
        self.page.wait_for_function(
            "!document.querySelector('[data-dash-is-loading=true]')"
            " && [...document.querySelectorAll('.dash-graph')].every(graph => graph.querySelector('.main-svg'))"
            " && [...document.querySelectorAll('.ag-root')].every(grid => grid.querySelector('.ag-row'))"
        )


@contextmanager
def surfing(browser: Browser, address: str) -> Iterator[Surf]:
    """A fresh page of 1280 × 900; nothing may have gone wrong when it closes."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE_MS)
    driven = Surf(context.new_page(), address)
    yield driven
    context.close()
    assert driven.faults == []


@pytest.fixture
def surf(browser: Browser, address: str) -> Iterator[Surf]:
    """A fresh page on the server of all tests."""
    with surfing(browser, address) as driven:
        yield driven


@pytest.fixture
def first_visit(browser: Browser, made: list[Made]) -> Iterator[Surf]:
    """A fresh page on a server that nobody asked anything."""
    with serving(made) as address, surfing(browser, address) as driven:
        yield driven


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
