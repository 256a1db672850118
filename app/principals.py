"""Who may what, for any protocol: open on loopback, API keys and logins everywhere else."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from app import wiring
from app.auth_mode import is_required
from models.core.credentials import key_digest, password_mark
from models.core.errors import JevonsError, NotFound
from models.core.queries import Project
from models.store.projects import ApiKey, key_of_digest, list_projects, user_named

REMEMBERED_SECONDS = 5.0
"""How long a key, a login or the list of projects is believed; one that was ended works at most this much longer."""
PROJECT_HEADER = "x-jevons-project"
RANK = {"ingest": 0, "read": 1, "viewer": 1, "editor": 2, "admin": 3}


class Unauthorized(JevonsError):
    """No credentials, or none that are in force."""

    code = "unauthorized"
    status = 401


class Forbidden(JevonsError):
    """Credentials that do not reach this far."""

    code = "forbidden"
    status = 403


@dataclass(slots=True, frozen=True, kw_only=True)
class Principal:
    """Who asks and what may be reached."""

    actor: str
    """For the audit trail: `local`, `key:<name>` or `user:<name>`."""
    role: str
    """`ingest`, `viewer`, `editor` or `admin`; local users without login are `admin`."""
    project_id: int
    """Where what is sent goes: the key's project, or the one named by the header `x-jevons-project`."""
    projects: tuple[Project, ...]
    """What may be read."""

    @property
    def project_ids(self) -> tuple[int, ...]:
        """Ids of all projects that may be read."""
        return tuple(project.id for project in self.projects)

    def readable(self, name: str | None) -> tuple[int, ...]:
        """Ids of the project of this name, or of all.

        Raises   NotFound naming those there are.
        """
        if name is None:
            return self.project_ids
        found = tuple(project.id for project in self.projects if project.name == name)
        if not found:
            names = ", ".join(project.name for project in self.projects)
            raise NotFound(f"there is no project {name!r}. There are: {names}.")
        return found


T = TypeVar("T")


class _Remembered(Generic[T]):
    """Values by key, each believed for a few seconds."""

    def __init__(self) -> None:
        self._values: dict[bytes, tuple[float, T]] = {}
        self._lock = threading.Lock()

    def get(self, key: bytes, look_up: Callable[[], T]) -> T:
        """The value of a key, looked up when it is not fresh."""
        now = time.monotonic()
        found = self._values.get(key)
        if found is not None and now - found[0] < REMEMBERED_SECONDS:
            return found[1]
        value = look_up()
        with self._lock:
            if len(self._values) > 10_000:
                self._values.clear()
            self._values[key] = (now, value)
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()


_keys: _Remembered[ApiKey | None] = _Remembered()
_roles: _Remembered[str | None] = _Remembered()
_projects: _Remembered[tuple[Project, ...]] = _Remembered()


def forget() -> None:
    """Believe nothing remembered; after a change by this very process."""
    _keys.clear()
    _roles.clear()
    _projects.clear()


def projects_now() -> tuple[Project, ...]:
    """Every project, at most a few seconds old."""

    def look_up() -> tuple[Project, ...]:
        with wiring.transaction() as connection:
            return tuple(list_projects(connection))

    return _projects.get(b"", look_up)


def role_of_login(name: str, mark: str) -> str | None:
    """The role that a logged-in user has now; None where the user may not log in, or no longer with that password.

    Shapes   `mark` as `password_mark` made it at the login.
    """

    def look_up() -> str | None:
        with wiring.transaction() as connection:
            user = user_named(connection, name)
        return user.role if user is not None and password_mark(user.password) == mark else None

    return _roles.get(f"{mark}:{name}".encode(), look_up)


def principal_of_key(secret: str) -> Principal:
    """Who holds this key.

    Raises   Unauthorized where it is unknown, revoked or expired.
    """
    digest = key_digest(secret)

    def look_up() -> ApiKey | None:
        with wiring.transaction() as connection:
            return key_of_digest(connection, digest, datetime.now(UTC))

    key = _keys.get(digest, look_up)
    if key is None:
        raise Unauthorized(
            "this API key is not in force. `jevons keys create` makes one, `jevons keys list` shows them."
        )
    role = {"ingest": "ingest", "read": "viewer", "admin": "admin"}[key.scope]
    own = tuple(project for project in projects_now() if project.id == key.project_id)
    return Principal(actor=f"key:{key.name}", role=role, project_id=key.project_id, projects=own)


def principal_from(authorization: str | None, api_key: str | None, project: str | None, user: str | None) -> Principal:
    """Who asks, from the headers of any protocol (HTTP or gRPC metadata) and the logged-in user.

    Shapes   `authorization` as in `Bearer KEY`; `api_key` the bare key; `project` a name for local senders;
             `user` as `name:role`, already verified.
    Raises   Unauthorized; NotFound for an unknown project.
    """
    secret = api_key
    if secret is None and authorization is not None and authorization[:7].lower() == "bearer ":
        secret = authorization[7:].strip()
    if secret is not None and (is_required(wiring.current().settings) or secret.startswith("jev_")):
        return principal_of_key(secret)
    known = projects_now()
    if user is not None:
        name, _, role = user.rpartition(":")
        actor = f"user:{name}"
    elif is_required(wiring.current().settings):
        raise Unauthorized("an API key is required. Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
    else:
        actor, role = "local", "admin"
    target = known[0].id if project is None else _project_id(known, project)
    return Principal(actor=actor, role=role, project_id=target, projects=known)


def _project_id(known: tuple[Project, ...], name: str) -> int:
    for project in known:
        if project.name == name:
            return project.id
    raise NotFound(f"there is no project {name!r}. There are: {', '.join(project.name for project in known)}.")
