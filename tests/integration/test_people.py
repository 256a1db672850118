"""People on the command line, and what a running instance makes of it: who is shut out is out."""

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from app import auth, login, principals, wiring
from app.api import create_app
from app.cli import build
from app.settings import Settings
from app.wiring import Wiring
from tests.conftest import Database

PASSWORD = "a long password"
Users = Callable[..., Result]


@pytest.fixture
def users(migrated: Database, monkeypatch: pytest.MonkeyPatch) -> Users:
    """`jevons users …` on a database without users; what follows `typed` is standard input."""
    monkeypatch.setenv("JEVONS_DATABASE_URL", migrated.url)
    with migrated.owner_engine.begin() as connection:
        connection.execute(text("DELETE FROM users"))

    def run(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(build(), ["users", *arguments], input=typed)

    return run


@pytest.fixture
def client(migrated: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """An instance that asks for logins and believes nothing it remembers."""
    monkeypatch.setenv("JEVONS_SECRET_KEY", "for tests only")
    monkeypatch.setattr(principals, "REMEMBERED_SECONDS", 0.0)
    auth.forget()
    with TestClient(
        create_app(Wiring(Settings(auth="required"), migrated.url)), raise_server_exceptions=False
    ) as client:
        yield client
    wiring.use(None)


def make(users: Users, name: str, role: str = "viewer") -> None:
    done = users("create", name, "--role", role, "--password-stdin", typed=f"{PASSWORD}\n")
    assert done.exit_code == 0, done.output


def enter(client: TestClient, name: str, password: str = PASSWORD) -> int:
    answer = client.post("/login?next=/docs", data={"name": name, "password": password}, follow_redirects=False)
    return answer.status_code


def test_people_are_listed_and_changed_and_the_trail_says_so(users: Users, database: Engine) -> None:
    make(users, "ada", "admin")
    make(users, "bob")
    for arguments in (["role", "bob", "editor"], ["disable", "bob"]):
        done = users(*arguments)
        assert done.exit_code == 0, done.output
    assert json.loads(users("list", "--json").stdout) == [
        {"name": "ada", "role": "admin", "disabled": False},
        {"name": "bob", "role": "editor", "disabled": True},
    ]
    assert "disabled" in users("list").stdout
    assert users("enable", "bob").exit_code == 0
    assert users("password", "bob", "--password-stdin", typed="another password\n").exit_code == 0
    with database.connect() as connection:
        told = connection.execute(
            text("SELECT action, after FROM audit_events WHERE subject = 'user:bob' ORDER BY id")
        ).all()
    assert [tuple(row) for row in told] == [
        ("user.create", {"role": "viewer"}),
        ("user.role", {"role": "editor"}),
        ("user.disable", {}),
        ("user.enable", {}),
        ("user.password", {}),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["disable", "nobody"], "jevons users list"),
        (["enable", "nobody"], "jevons users list"),
        (["role", "nobody", "viewer"], "jevons users list"),
        (["role", "ada", "king"], "none of viewer, editor, admin"),
        (["password", "ada", "--password-stdin"], "at least 10"),
        (["disable", "ada"], "the only administrator"),
        (["role", "ada", "editor"], "the only administrator"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_next_step(users: Users, arguments: list[str], says: str) -> None:
    make(users, "ada", "admin")
    make(users, "ben", "admin")
    assert users("disable", "ben").exit_code == 0
    refused = users(*arguments, typed="short\n")
    assert refused.exit_code == 1
    assert says in str(refused.exception)
    assert json.loads(users("list", "--json").stdout)[0] == {"name": "ada", "role": "admin", "disabled": False}


def test_a_disabled_user_is_logged_out_of_a_running_instance(users: Users, client: TestClient) -> None:
    make(users, "ada", "admin")
    make(users, "eve")
    assert enter(client, "eve") == 303
    assert client.get("/docs", follow_redirects=False).status_code == 200
    assert client.get("/api/v1/status").status_code == 200
    assert users("disable", "eve").exit_code == 0
    assert client.get("/api/v1/status").status_code == 401
    assert "jevons_session" not in client.cookies
    turned_away = client.get("/docs", follow_redirects=False)
    assert (turned_away.status_code, turned_away.headers["location"]) == (303, "/login?next=/docs")
    assert enter(client, "eve") == 401
    assert users("enable", "eve").exit_code == 0
    assert enter(client, "eve") == 303


def test_a_changed_role_counts_for_who_is_logged_in(users: Users, client: TestClient) -> None:
    make(users, "eve")
    assert enter(client, "eve") == 303
    owner = {"owner": "grace", "valid_from": "2026-11-01"}
    refused = client.put("/api/v1/cost-centers/CC-1/owner", json=owner)
    assert (refused.status_code, "user:eve is viewer" in refused.json()["detail"]) == (403, True)
    assert users("role", "eve", "editor").exit_code == 0
    assert client.put("/api/v1/cost-centers/CC-1/owner", json=owner).status_code == 204


def test_another_password_ends_the_sessions_of_the_old_one(users: Users, client: TestClient) -> None:
    make(users, "eve")
    assert enter(client, "eve") == 303
    assert users("password", "eve", "--password-stdin", typed="another password\n").exit_code == 0
    assert client.get("/docs", follow_redirects=False).status_code == 303
    assert enter(client, "eve") == 401
    assert enter(client, "eve", "another password") == 303
    assert client.get("/docs", follow_redirects=False).status_code == 200


def test_a_database_that_is_away_is_told_and_logs_nobody_out(
    users: Users, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(users, "eve")
    assert enter(client, "eve") == 303

    def away(_name: str, _mark: str) -> str:
        raise psycopg.OperationalError("the connection was closed")

    with monkeypatch.context() as patched:
        patched.setattr(login, "role_of_login", away)
        answer = client.get("/docs", follow_redirects=False)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert client.get("/healthz").status_code == 200
    assert client.get("/docs", follow_redirects=False).status_code == 200
