"""`jevons keys` and `jevons users`: who may send, read and log in."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from getpass import getpass, getuser
from typing import TYPE_CHECKING, Annotated

import typer

from app.options import AsJson, DataDir, configure

if TYPE_CHECKING:
    from sqlalchemy import Connection

keys = typer.Typer(help="API keys: who may send and read.", no_args_is_help=True)
users = typer.Typer(help="People who log in.", no_args_is_help=True)

UserName = Annotated[str, typer.Argument(help="Name to log in with.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read it from standard input.")]
ROLES = "viewer: look; editor: prices, budgets, periods; admin: all."


@contextmanager
def opened(data_dir: object) -> Iterator["Connection"]:
    """One transaction on the instance's database, running or not."""
    from app.instance import database_of
    from models.store.engine import make_engine

    with database_of(configure(data_dir=data_dir)) as url:
        engine = make_engine(url, pool_size=1)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


def recorded(connection: "Connection", action: str, subject: str, after: dict[str, object]) -> None:
    """Leave a line in the audit trail, by the person at this shell."""
    from models.store.audit import append_audit

    append_audit(
        connection, actor=f"shell:{getuser()}", action=action, subject=subject, at=datetime.now(UTC), after=after
    )


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")] = "default",
    scope: Annotated[str, typer.Option(help="ingest: send only; read: look only; admin: everything.")] = "ingest",
    project: Annotated[str, typer.Option(help="Project of the key; made where it does not exist.")] = "default",
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; else never.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and show it, once."""
    from models.core.credentials import key_digest, key_hint, new_key
    from models.core.errors import BadInput
    from models.store.projects import KEY_SCOPES, add_key, ensure_project

    if scope not in KEY_SCOPES:
        raise BadInput(f"--scope {scope} is none of {', '.join(KEY_SCOPES)}.")
    secret = new_key()
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with opened(data_dir) as connection:
        target = ensure_project(connection, project)
        hint = key_hint(secret)
        key_id = add_key(
            connection,
            project_id=target.id,
            name=name,
            scope=scope,
            hint=hint,
            digest=key_digest(secret),
            expires_at=expires_at,
        )
        recorded(connection, "key.create", f"key:{key_id}", {"name": name, "scope": scope, "project": project})
    if as_json:
        print(json.dumps({"id": key_id, "key": secret, "name": name, "scope": scope, "project": project}))
        return
    print(secret)
    print(f"Key {key_id} ({scope}, project {project}). It is shown only now; keep it.", file=sys.stderr)


@keys.command("list")
def list_keys(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show every key without its secret."""
    from models.core.time import rfc3339
    from models.store.projects import list_keys as every_key

    with opened(data_dir) as connection:
        found = every_key(connection)
    rows = [
        {
            "id": key.id,
            "project_id": key.project_id,
            "name": key.name,
            "scope": key.scope,
            "hint": key.hint,
            "created_at": rfc3339(key.created_at),
            "expires_at": rfc3339(key.expires_at) if key.expires_at else None,
            "revoked_at": rfc3339(key.revoked_at) if key.revoked_at else None,
        }
        for key in found
    ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        state = "revoked" if row["revoked_at"] else "in force"
        print(f"{row['id']:>5}  {row['hint']}…  {row['scope']:<7} {state:<9} {row['name']}")


@keys.command("revoke")
def revoke_key(key_id: int, data_dir: DataDir = None) -> None:
    """End a key; it stops working within seconds."""
    from models.store.projects import revoke_key as revoke

    with opened(data_dir) as connection:
        revoke(connection, key_id)
        recorded(connection, "key.revoke", f"key:{key_id}", {})
    print(f"key {key_id} is revoked")


@users.command("create")
def create_user(
    name: UserName,
    role: Annotated[str, typer.Option(help=ROLES)] = "viewer",
    password_stdin: PasswordStdin = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a user; the password is asked for, never taken from the command line."""
    from models.store.projects import add_user

    _check_role(role)
    password = _hashed_password(name, password_stdin)
    with opened(data_dir) as connection:
        user_id = add_user(connection, name=name, password=password, role=role)
        recorded(connection, "user.create", f"user:{name}", {"role": role})
    print(json.dumps({"id": user_id, "name": name, "role": role}) if as_json else f"user {name} ({role}) can log in")


@users.command("list")
def list_users(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show everybody with role and state."""
    from models.store.projects import list_users as every_user

    with opened(data_dir) as connection:
        rows = [{"name": name, "role": role, "disabled": disabled} for name, role, disabled in every_user(connection)]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['role']:<7} {'disabled' if row['disabled'] else 'can log in':<11} {row['name']}")


@users.command("disable")
def disable_user(name: UserName, data_dir: DataDir = None) -> None:
    """Keep a user from logging in; open sessions end within seconds."""
    from models.store.projects import disable_user as disable

    with opened(data_dir) as connection:
        disable(connection, name)
        recorded(connection, "user.disable", f"user:{name}", {})
    print(f"user {name} can no longer log in")


@users.command("enable")
def enable_user(name: UserName, data_dir: DataDir = None) -> None:
    """Let a disabled user log in again."""
    from models.store.projects import enable_user as enable

    with opened(data_dir) as connection:
        enable(connection, name)
        recorded(connection, "user.enable", f"user:{name}", {})
    print(f"user {name} can log in")


@users.command("password")
def set_password(name: UserName, password_stdin: PasswordStdin = False, data_dir: DataDir = None) -> None:
    """Set another password; sessions that the old one began end within seconds."""
    from models.store.projects import set_password as keep

    password = _hashed_password(name, password_stdin)
    with opened(data_dir) as connection:
        keep(connection, name, password)
        recorded(connection, "user.password", f"user:{name}", {})
    print(f"user {name} has another password")


@users.command("role")
def set_role(
    name: UserName,
    role: Annotated[str, typer.Argument(help=ROLES)],
    data_dir: DataDir = None,
) -> None:
    """Give a user another role; it counts within seconds."""
    from models.store.projects import set_role as give

    _check_role(role)
    with opened(data_dir) as connection:
        give(connection, name, role)
        recorded(connection, "user.role", f"user:{name}", {"role": role})
    print(f"user {name} is {role}")


def _check_role(role: str) -> None:
    from models.core.errors import BadInput
    from models.store.projects import USER_ROLES

    if role not in USER_ROLES:
        raise BadInput(f"the role {role!r} is none of {', '.join(USER_ROLES)}.")


def _hashed_password(name: str, from_stdin: bool) -> str:
    from models.core.credentials import SHORTEST_PASSWORD, hash_password
    from models.core.errors import BadInput

    password = sys.stdin.readline().rstrip("\n") if from_stdin else getpass(f"Password for {name}: ")
    if len(password) < SHORTEST_PASSWORD:
        raise BadInput(f"the password has {len(password)} characters; at least {SHORTEST_PASSWORD} are needed.")
    return hash_password(password)


def register(cli: typer.Typer) -> None:
    """Add both groups."""
    cli.add_typer(keys, name="keys")
    cli.add_typer(users, name="users")
