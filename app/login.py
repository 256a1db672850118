"""Logging in: a page, a signed cookie, and the guard before everything people look at."""

import math
import os
import secrets
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app import wiring
from app.auth_mode import is_required
from app.errors import answer_fault, problem
from app.hosts import is_own_host
from app.principals import role_of_login
from app.settings import Settings
from app.throttle import Throttle
from dashboards.asking import asked_by
from models.core.credentials import hash_password, is_password, password_mark
from models.store.projects import User, user_named

SESSION_SECONDS = 12 * 3600
OPEN_PATHS = ("/login", "/healthz", "/readyz", "/favicon.ico")
OWN_RULES = ("/v1/", "/api/")
"""Their routes ask for a key or a session themselves, and answer with an error body instead of a page."""


@lru_cache(maxsize=1)
def nobody() -> str:
    """A password to compare with when there is no such user: the answer takes as long."""
    return hash_password(secrets.token_urlsafe(8))


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Log in · Jevons</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  :root {{ color-scheme: light dark }}
  body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 100vh; margin: 0 }}
  form {{ display: grid; gap: 12px; width: min(320px, 90vw) }}
  label {{ display: grid; gap: 4px }}
  input, button {{ font: inherit; padding: 8px 10px; border-radius: 6px; border: 1px solid #8888 }}
  button {{ cursor: pointer; font-weight: 600 }}
  p {{ margin: 0; min-height: 1.5em }}
</style>
<form method="post" action="/login?next={next}">
  <h1>Jevons</h1>
  <label>Name <input name="name" autocomplete="username" required autofocus></label>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
  <p role="alert">{message}</p>
  <button>Log in</button>
</form></html>"""


def secret_key(settings: Settings) -> str:
    """What signs sessions: the setting, else a random one kept in the data directory."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    path: Path = settings.data_dir / "session.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text()


def own_path(target: str) -> str:
    """A path of ours to go on to; anything that leads elsewhere becomes `/`."""
    parts = urlsplit(target)
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return target if is_ours else "/"


def is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another site made the browser send this."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


class Guard:
    """Lets through who is logged in; sends people to the login page and scripts an error."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide by path and session."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        settings = wiring.current().settings
        asks = is_required(settings)
        if not asks and not is_own_host(_header(scope, b"host"), settings):
            await self._refuse_host(scope, receive, send)
            return
        user: str | None = None
        if scope["type"] == "http":
            request = Request(scope)
            if (
                request.method not in ("GET", "HEAD", "OPTIONS")
                and not path.startswith("/v1/")
                and is_from_elsewhere(request)
            ):
                answer = problem(403, f"{request.method} {path} was sent by a page of {request.headers['origin']}.")
                await answer(scope, receive, send)
                return
            if asks and path not in OPEN_PATHS:
                try:
                    user = scope["user"] = await _user_now(scope["session"])
                except Exception as fault:
                    answer = await answer_fault(request, fault)
                    await answer(scope, receive, send)
                    return
        if not asks or path in OPEN_PATHS or path.startswith(OWN_RULES) or user:
            # What the pages draw depends on who looks; without logins that is the owner of the machine.
            with asked_by(user.rpartition(":")[2] if user else "admin"):
                await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if path == "/metrics":
            # Prometheus sends a key, not a cookie: the route asks for it.
            await self.app(scope, receive, send)
            return
        target = quote(path, safe="/")
        if scope["method"] == "GET" and not path.startswith("/_dash"):
            answer = RedirectResponse(f"/login?next={target}", status_code=303)
        else:
            answer = problem(401, "log in first: /login", code="unauthorized")
        await answer(scope, receive, send)

    async def _refuse_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = problem(
            421,
            "this instance asks nobody who they are, so it answers only to names of this machine. "
            "Use http://127.0.0.1, add the name to JEVONS_ALLOWED_HOSTS, or set JEVONS_AUTH=required.",
            code="host_not_ours",
        )
        await answer(scope, receive, send)


async def _user_now(session: dict[str, Any]) -> str | None:
    """`name:role` of who is logged in, as the database has it; a session that is not in force is emptied."""
    name = session.get("user")
    if name is None:
        return None
    # Looking up may wait for the database, which must not hold up the event loop.
    role = await run_in_threadpool(role_of_login, name, session.get("password", ""))
    if role is None:
        session.clear()
        return None
    return f"{name}:{role}"


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def install(app: FastAPI, settings: Settings) -> None:
    """Add the login page, the guard and, outside of it, the session."""
    throttle = Throttle()

    @app.get("/login", include_in_schema=False)
    async def show(next: str = "/") -> HTMLResponse:
        """The form."""
        return HTMLResponse(PAGE.format(next=escape(quote(own_path(next), safe="/")), message=""))

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request, next: str = "/") -> Response:
        """Check name and password; a wrong one is told no more than that."""
        form = parse_qs((await request.body())[:10_000].decode(errors="replace"))
        name, password = form.get("name", [""])[0], form.get("password", [""])[0]
        # By name, so that nobody guesses from many addresses; by address, so that nobody guesses many names.
        tried = (f"name {name}", f"address {request.client.host if request.client else ''}")
        wait = math.ceil(throttle.wait_seconds(*tried))
        if wait:
            page = PAGE.format(
                next=escape(quote(own_path(next), safe="/")), message=f"Too many failed logins. Try again in {wait} s."
            )
            return HTMLResponse(page, status_code=429, headers={"Retry-After": str(wait)})

        def look_up() -> User | None:
            with wiring.transaction() as connection:
                user = user_named(connection, name)
            if not is_password(password, user.password if user else nobody()) or user is None:
                return None
            return user

        found = await run_in_threadpool(look_up)
        if found is None:
            throttle.note_failure(*tried)
            page = PAGE.format(next=escape(quote(own_path(next), safe="/")), message="Name or password is wrong.")
            return HTMLResponse(page, status_code=401)
        throttle.forget(*tried)
        request.session.clear()
        request.session["user"] = found.name
        # Another password ends the sessions that this one began.
        request.session["password"] = password_mark(found.password)
        return RedirectResponse(own_path(next), status_code=303)

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        """Forget the session."""
        request.session.clear()
        return RedirectResponse("/login", status_code=303)

    app.add_middleware(Guard)
    app.add_middleware(
        SessionMiddleware,
        secret_key=secret_key(settings),
        session_cookie="jevons_session",
        max_age=SESSION_SECONDS,
        same_site="lax",
    )
