"""The audit trail as people and scripts read it: newest first, page by page, and only what one may see."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app import auth, wiring
from app.api import create_app
from app.cli import build
from app.settings import Settings
from app.wiring import Wiring
from models.core.credentials import key_digest, key_hint, new_key
from models.store.audit import append_audit
from models.store.projects import add_key, ensure_project
from tests.conftest import Database

AT = datetime(2026, 11, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(migrated: Database) -> dict[str, str]:
    """A trail over two projects and the instance itself; the secret of a key of each kind."""
    secrets: dict[str, str] = {}
    with migrated.engine.begin() as connection:
        ours, theirs = (ensure_project(connection, name) for name in ("ours", "theirs"))
        for project, scope in ((ours, "read"), (ours, "admin"), (theirs, "read"), (ours, "ingest")):
            secret = new_key()
            add_key(
                connection,
                project_id=project.id,
                name=scope,
                scope=scope,
                hint=key_hint(secret),
                digest=key_digest(secret),
            )
            secrets[f"{project.name} {scope}"] = secret

        def add(actor: str, action: str, subject: str, **more: Any) -> None:
            append_audit(connection, actor=actor, action=action, subject=subject, at=AT, **more)

        add("shell:root", "user.create", "user:ada", after={"role": "admin"})
        for state in ("closed", "reopened", "closed"):
            add("user:ada", f"period.{state}", "period:2026-10", after={"state": state}, project_id=ours.id)
        add("local", "period.closed", "period:2026-10", reason="late bill", project_id=theirs.id)
    return secrets


@pytest.fixture
def client(migrated: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("JEVONS_SECRET_KEY", "for tests only")
    auth.forget()
    with TestClient(create_app(Wiring(Settings(auth="required"), migrated.url))) as client:
        yield client
    wiring.use(None)


def ask(client: TestClient, key: str, **asked: Any) -> dict[str, Any]:
    answer = client.get("/api/v1/audit", params=asked, headers={"x-api-key": key})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_event_says_who_did_what_where_and_why(client: TestClient, keys: dict[str, str]) -> None:
    (row,) = ask(client, keys["theirs read"])["rows"]
    assert row.pop("id") > 0
    assert row == {
        "at": "2026-11-03T12:00:00Z",
        "actor": "local",
        "action": "period.closed",
        "subject": "period:2026-10",
        "project": "theirs",
        "before": None,
        "after": None,
        "reason": "late bill",
    }


def test_keys_and_people_are_for_administrators_and_other_projects_for_nobody(
    client: TestClient, keys: dict[str, str]
) -> None:
    assert {row["project"] for row in ask(client, keys["ours read"])["rows"]} == {"ours"}
    assert {row["project"] for row in ask(client, keys["ours admin"])["rows"]} == {"ours", None}
    refused = client.get("/api/v1/audit", headers={"x-api-key": keys["ours ingest"]})
    assert refused.status_code == 403


def test_pages_follow_each_other_and_filters_narrow(client: TestClient, keys: dict[str, str]) -> None:
    key = keys["ours admin"]
    whole = ask(client, key)
    assert [row["action"] for row in whole["rows"]] == [
        "period.closed",
        "period.reopened",
        "period.closed",
        "user.create",
    ]
    assert whole["next_cursor"] is None
    first = ask(client, key, limit=3)
    rest = ask(client, key, limit=3, cursor=first["next_cursor"])
    assert first["rows"] + rest["rows"] == whole["rows"]
    assert rest["next_cursor"] is None
    assert len(ask(client, key, subject="period:2026-10", action="period.closed")["rows"]) == 2
    assert [row["subject"] for row in ask(client, key, actor="shell:root")["rows"]] == ["user:ada"]
    assert ask(client, key, subject="period:2026")["rows"] == []


@pytest.mark.parametrize("asked", [{"cursor": "newest"}, {"limit": 0}, {"subject": "a\x00b"}])
def test_what_cannot_be_asked_is_422(client: TestClient, keys: dict[str, str], asked: dict[str, Any]) -> None:
    answer = client.get("/api/v1/audit", params=asked, headers={"x-api-key": keys["ours read"]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == next(iter(asked))


def test_the_command_shows_the_trail_of_all_projects(client: TestClient, keys: dict[str, str]) -> None:
    assert keys
    cli = CliRunner()
    told = cli.invoke(build(), ["audit", "--limit", "1", "--json"])
    assert [row["project"] for row in json.loads(told.stdout)] == ["theirs"]
    shown = cli.invoke(build(), ["audit", "--subject", "user:ada"])
    assert shown.stdout == '2026-11-03T12:00:00Z  shell:root  user.create  user:ada  {"role": "admin"}\n'
