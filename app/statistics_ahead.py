"""Statistics come with the first browser: a collector spares their seconds of import and their seventy megabytes."""

import importlib
import threading

# Statistics need it, and plotly uses whatever of it is there: while another thread is half through importing it, every
# figure would fail. So it is whole before the first request.
import pandas  # noqa: F401
from starlette.types import ASGIApp, Receive, Scope, Send

MODULES = ("statsmodels.tsa.exponential_smoothing.ets", "statsmodels.regression.linear_model", "scipy.special")
FIRST_REQUEST = "/_dash-layout"
"""What a browser asks for before any page asks for figures."""
PAUSE_SECONDS = 10.0
"""Importing holds up every other thread of the process: the page that was opened draws first."""


class StatisticsAhead:
    """Import what forecasts need on a thread of its own, once, soon after somebody opened a page.

    A page that forecasts before that imports it by itself; its other figures do not wait.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._begun = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == FIRST_REQUEST and not self._begun.is_set():
            self._begun.set()
            timer = threading.Timer(PAUSE_SECONDS, _import)
            timer.daemon = True
            timer.start()
        await self._app(scope, receive, send)


def _import() -> None:
    for module in MODULES:
        importlib.import_module(module)
