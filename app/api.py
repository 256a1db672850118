"""The HTTP side: collector, API and pages on one port."""

import importlib
import importlib.util
import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

import app.routes
from app import docs_page, errors, login, wiring
from app.books import StoreBooks
from app.compression import Compression
from app.desk import ControlDesk
from app.fleet import StoreFleet
from app.month_desk import StoreMonthDesk
from app.otlp_door import WithOtlpDoor
from app.wiring import Wiring

DESCRIPTION = """
FinOps for AI agents. Money is a decimal string in USD, tokens are integers, times are RFC 3339 in UTC, and
an unknown figure is `null`, never `0`. Lists page by `cursor`. Errors are `application/problem+json` (RFC 9457).
"""


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    wiring.current().close()


def _load_sample() -> str:
    from app.demo import load_and_wait

    return load_and_wait()


def create_app(parts: Wiring | None = None) -> FastAPI:
    """The application on the wiring given, or on the one the settings make.

    Every module of app.routes brings a `router`; a router may bring a `lifespan` of its own.
    """
    if parts is not None:
        wiring.use(parts)
    server = WithOtlpDoor(
        title="Jevons",
        version=version("jevons"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    errors.install(server)
    for module in sorted(pkgutil.iter_modules(app.routes.__path__, "app.routes."), key=lambda found: found.name):
        routes = importlib.import_module(module.name)
        if hasattr(routes, "router"):
            server.include_router(routes.router)
    docs_page.mount(server)
    login.install(server, wiring.current().settings)
    errors.close_prefixes(server)
    if importlib.util.find_spec("dashboards.main") is not None:
        importlib.import_module("dashboards.main").mount(
            server,
            wiring.current().reader,
            load_sample=_load_sample,
            desk=ControlDesk(),
            fleet=StoreFleet(),
            month_desk=StoreMonthDesk(),
            books=StoreBooks(),
            statistics=wiring.current().statistics,
        )
    server.add_middleware(Compression)
    return server
