"""Who looks at the pages: the role of the request being answered, and what it may."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

RANK = {"viewer": 1, "editor": 2, "admin": 3}
PAGE_ROLES = {"/settings": "admin"}
"""Pages that not everybody who may log in may see."""

_role: ContextVar[str] = ContextVar("role", default="admin")
"""Where nobody has to log in, whoever asks is the owner of the machine."""


@contextmanager
def asked_by(role: str) -> Iterator[None]:
    """Answer a request for somebody of this role."""
    token = _role.set(role)
    try:
        yield
    finally:
        _role.reset(token)


def role() -> str:
    """The role of who asks."""
    return _role.get()


def may(least: str) -> bool:
    """Whether who asks has at least this role; an unknown role may nothing."""
    return RANK.get(_role.get(), 0) >= RANK[least]


def may_see(path: str) -> bool:
    """Whether who asks may see a page."""
    return may(PAGE_ROLES.get(path, "viewer"))
