"""Statistics come with the first browser: a collector spares their seconds of import and their hundred megabytes."""

import importlib
import threading

from starlette.types import ASGIApp, Receive, Scope, Send

MODULES = ("statsmodels.tsa.exponential_smoothing.ets", "statsmodels.regression.linear_model", "scipy.special")
FIRST_REQUEST = "/_dash-layout"
"""What a browser asks for before any page asks for figures."""


class StatisticsAhead:
    """Import what forecasts need on a thread of its own, once, as soon as somebody opens a page.

    The page that forecasts then waits for what is left of it and no longer for all of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._begun = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == FIRST_REQUEST and not self._begun.is_set():
            self._begun.set()
            threading.Thread(target=_import, name="statistics", daemon=True).start()
        await self._app(scope, receive, send)


def _import() -> None:
    for module in MODULES:
        importlib.import_module(module)
