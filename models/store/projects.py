"""Projects, API keys and users in the database. The caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from models.core.errors import Conflict, NotFound
from models.core.queries import Project
from models.tables.projects import KEY_SCOPES as KEY_SCOPES
from models.tables.projects import USER_ROLES as USER_ROLES
from models.tables.projects import ApiKeyRow, ProjectRow, UserRow

DEFAULT_PROJECT_ID = 1


@dataclass(slots=True, frozen=True, kw_only=True)
class ApiKey:
    """A key as listed: never its secret."""

    id: int
    project_id: int
    name: str
    scope: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(slots=True, frozen=True, kw_only=True)
class User:
    """A person who logs in, with the hash of the password."""

    id: int
    name: str
    password: str
    role: str


def list_projects(connection: Connection) -> Sequence[Project]:
    """Every project, the default one first."""
    rows = connection.execute(select(ProjectRow.id, ProjectRow.name, ProjectRow.is_demo).order_by(ProjectRow.id))
    return [Project(id=row.id, name=row.name, is_demo=row.is_demo) for row in rows]


def project_named(connection: Connection, name: str) -> Project:
    """The project of this name.

    Raises   NotFound naming those there are.
    """
    for project in list_projects(connection):
        if project.name == name:
            return project
    names = ", ".join(project.name for project in list_projects(connection))
    raise NotFound(f"there is no project {name!r}. There are: {names}.")


def ensure_project(connection: Connection, name: str, *, is_demo: bool = False) -> Project:
    """The project of this name, made where it does not exist yet; safe to repeat (the name is unique)."""
    connection.execute(
        upsert(ProjectRow).values(name=name, is_demo=is_demo).on_conflict_do_nothing(index_elements=["name"])
    )
    return project_named(connection, name)


def add_key(
    connection: Connection,
    *,
    project_id: int,
    name: str,
    scope: str,
    hint: str,
    digest: bytes,
    expires_at: datetime | None = None,
) -> int:
    """Keep a key's digest; returns its id."""
    values = {"project_id": project_id, "name": name, "scope": scope, "hint": hint}
    statement = insert(ApiKeyRow).values(**values, digest=digest, expires_at=expires_at).returning(ApiKeyRow.id)
    return connection.execute(statement).scalar_one()


def key_of_digest(connection: Connection, digest: bytes, at: datetime) -> ApiKey | None:
    """The key in force at a moment with this digest, or None."""
    columns = [getattr(ApiKeyRow, name) for name in ApiKey.__slots__]
    row = connection.execute(
        select(*columns).where(
            ApiKeyRow.digest == digest,
            ApiKeyRow.revoked_at.is_(None),
            func.coalesce(ApiKeyRow.expires_at > at, True),
        )
    ).one_or_none()
    return ApiKey(**row._mapping) if row else None


def list_keys(connection: Connection) -> Sequence[ApiKey]:
    """Every key, the newest first, revoked ones included."""
    columns = [getattr(ApiKeyRow, name) for name in ApiKey.__slots__]
    rows = connection.execute(select(*columns).order_by(ApiKeyRow.id.desc()))
    return [ApiKey(**row._mapping) for row in rows]


def revoke_key(connection: Connection, key_id: int) -> None:
    """End a key now.

    Raises   NotFound where no key in force has this id.
    """
    done = connection.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKeyRow.id)
    ).one_or_none()
    if done is None:
        raise NotFound(f"there is no key {key_id} in force. `jevons keys list` shows them.")


def add_user(connection: Connection, *, name: str, password: str, role: str) -> int:
    """Keep a user with the hash of the password; returns the id.

    Raises   Conflict where the name is taken.
    """
    statement = (
        upsert(UserRow)
        .values(name=name, password=password, role=role)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(UserRow.id)
    )
    made = connection.execute(statement).scalar_one_or_none()
    if made is None:
        raise Conflict(f"there is already a user {name!r}. Choose another name.")
    return made


def user_named(connection: Connection, name: str) -> User | None:
    """The user of this name who may log in, or None."""
    row = connection.execute(
        select(UserRow.id, UserRow.name, UserRow.password, UserRow.role).where(
            UserRow.name == name, UserRow.disabled_at.is_(None)
        )
    ).one_or_none()
    return User(**row._mapping) if row else None


def list_users(connection: Connection) -> Sequence[tuple[str, str, bool]]:
    """Name, role and whether disabled of every user, by name; never the hash."""
    rows = connection.execute(
        select(UserRow.name, UserRow.role, UserRow.disabled_at.is_not(None)).order_by(UserRow.name)
    )
    return [(name, role, disabled) for name, role, disabled in rows]


def disable_user(connection: Connection, name: str) -> None:
    """Keep a user from logging in; what the name did stays on record.

    Raises   NotFound; Conflict for the last administrator.
    """
    _keep_an_admin(connection, name)
    _change_user(connection, name, disabled_at=func.coalesce(UserRow.disabled_at, func.now()))


def enable_user(connection: Connection, name: str) -> None:
    """Let a disabled user log in again. Raises NotFound."""
    _change_user(connection, name, disabled_at=None)


def set_password(connection: Connection, name: str, password: str) -> None:
    """Keep the hash of another password. Raises NotFound."""
    _change_user(connection, name, password=password)


def set_role(connection: Connection, name: str, role: str) -> None:
    """Give a user another role.

    Raises   NotFound; Conflict where the last administrator would become less.
    """
    if role != "admin":
        _keep_an_admin(connection, name)
    _change_user(connection, name, role=role)


def _keep_an_admin(connection: Connection, name: str) -> None:
    # Locked: two administrators must not shut each other out at the same moment.
    admins = (
        select(UserRow.name)
        .where(UserRow.role == "admin", UserRow.disabled_at.is_(None))
        .order_by(UserRow.id)
        .with_for_update()
    )
    if list(connection.execute(admins).scalars()) == [name]:
        raise Conflict(
            f"{name!r} is the only administrator who can log in. Make another first: "
            "`jevons users create NAME --role admin` or `jevons users role NAME admin`."
        )


def _change_user(connection: Connection, name: str, **values: Any) -> None:
    done = connection.execute(update(UserRow).where(UserRow.name == name).values(**values).returning(UserRow.id))
    if done.one_or_none() is None:
        raise NotFound(f"there is no user {name!r}. `jevons users list` shows them.")


def has_credentials(connection: Connection) -> bool:
    """Whether there is a user or a key at all."""
    return any(connection.execute(select(row.id).limit(1)).first() is not None for row in (UserRow, ApiKeyRow))
