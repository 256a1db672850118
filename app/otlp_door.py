"""The short way in for OTLP: past the layers that pages and the API need, to the same answer."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app import wiring
from app.auth_mode import is_required
from app.errors import answer_fault
from app.hosts import is_own_host
from app.routes import otlp
from models.core.vocabulary import Signal

SIGNALS = {"/v1/traces": Signal.TRACES, "/v1/logs": Signal.LOGS, "/v1/metrics": Signal.METRICS}


class WithOtlpDoor(FastAPI):
    """Answers exporters itself: its own layers, sessions, the guard of pages and the search for a route cost more than
    the spans of a small request.

    Whoever comes with a cookie, by another name of ours, or with another method goes the long way, where all of that
    is looked at.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide by method, path and headers."""
        signal = SIGNALS.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if signal is None or not _is_plain(scope):
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        request = Request(scope, receive, send)
        try:
            response = await otlp.answer(request, signal)
        except Exception as fault:
            response = await answer_fault(request, fault)
        await response(scope, receive, send)


def _is_plain(scope: Scope) -> bool:
    """No session, and on an open instance a name that is ours."""
    host: str | None = None
    for name, value in scope["headers"]:
        if name == b"cookie":
            return False
        if name == b"host":
            host = value.decode("latin-1")
    settings = wiring.current().settings
    return is_required(settings) or is_own_host(host, settings)
