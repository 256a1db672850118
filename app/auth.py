"""Who is asking over HTTP: the dependencies by which routes ask for a role."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from app.principals import (
    PROJECT_HEADER,
    RANK,
    Forbidden,
    Principal,
    Unauthorized,
    forget,
    principal_from,
    projects_now,
)

__all__ = [
    "PROJECT_HEADER",
    "RANK",
    "Forbidden",
    "Principal",
    "Unauthorized",
    "admin",
    "editor",
    "forget",
    "principal",
    "principal_from",
    "projects_now",
    "session_user",
    "viewer",
]


def principal(request: Request) -> Principal:
    """FastAPI dependency: who asks. For ingest and for reading alike; `viewer`, `editor` and `admin` ask for more."""
    headers = request.headers
    return principal_from(
        headers.get("authorization"), headers.get("x-api-key"), headers.get(PROJECT_HEADER), session_user(request)
    )


def session_user(request: Request) -> str | None:
    """`name:role` of the logged-in user as the guard has just checked it, or None."""
    return request.scope.get("user")


def _at_least(role: str) -> Callable[[Principal], Principal]:
    def check(who: Annotated[Principal, Depends(principal)]) -> Principal:
        if RANK[who.role] < RANK[role]:
            raise Forbidden(f"{who.actor} is {who.role}; this needs {role} or more.")
        return who

    return check


viewer = _at_least("viewer")
"""FastAPI dependency: somebody who may read; an ingest key may not."""
editor = _at_least("editor")
"""FastAPI dependency: somebody who may change prices, budgets, periods."""
admin = _at_least("admin")
"""FastAPI dependency: somebody who may change keys and users."""
