"""The HTTP shell: health, errors as problem+json, closed prefixes, a docs page without a network."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app import auth, auth_mode, wiring
from app.api import create_app
from app.settings import Settings
from app.wiring import Wiring
from models.core.credentials import hash_password, is_password, key_digest, key_hint, new_key
from models.store.projects import add_key, add_user, ensure_project, revoke_key


@pytest.fixture(autouse=True)
def session_key_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JEVONS_SECRET_KEY", "for tests only")


def client_of(url: str, broker: str | None, **settings: str) -> TestClient:
    auth.forget()
    return TestClient(create_app(Wiring(Settings(**settings), url, broker)), raise_server_exceptions=False)


@pytest.fixture
def client(migrated, valkey_url: str) -> Iterator[TestClient]:
    with client_of(migrated.url, valkey_url) as client:
        yield client
    wiring.use(None)


def test_a_whole_instance_is_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ok", "checks": {"database": "ok", "migrations": "ok", "broker": "ok"}},
    )


def test_without_a_broker_the_instance_lives_but_is_not_ready(migrated) -> None:
    with client_of(migrated.url, "redis://127.0.0.1:9/0") as client:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {
            "database": "ok",
            "migrations": "ok",
            "broker": "unreachable: ConnectionError",
        }
    wiring.use(None)


def test_an_unmigrated_database_is_not_ready_and_the_next_step_is_named(
    empty_database_url: str, valkey_url: str
) -> None:
    with client_of(empty_database_url, valkey_url) as client:
        checks = client.get("/readyz").json()["checks"]
        assert checks["database"] == "ok"
        assert "jevons migrate" in checks["migrations"]
    wiring.use(None)


@pytest.mark.parametrize("path", ["/api", "/api/v1/nothing", "/api/v2/costs", "/v1/nothing", "/v1/traces/deeper"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_paths_of_the_api_are_404_problems_and_never_a_page(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404
    assert path in answer.json()["detail"]


def test_a_wrong_method_is_a_405_problem_that_names_the_right_one(client: TestClient) -> None:
    answer = client.get("/v1/traces")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_docs_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    links = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page.text)
    assert links
    assert all(link.startswith("/") and not link.startswith("//") for link in links), links
    for link in links:
        if link.startswith("/static/"):
            assert client.get(link).status_code == 200
    schema = client.get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert "/healthz" in schema["paths"]


def test_assets_are_compressed_once_and_confirmed_by_etag(client: TestClient) -> None:
    first = client.get("/static/swagger/swagger-ui.css")
    again = client.get("/static/swagger/swagger-ui.css", headers={"if-none-match": first.headers["etag"]})
    assert first.headers["content-encoding"] == "gzip"
    assert len(first.text) > 100_000
    assert again.status_code == 304


def test_metrics_are_in_prometheus_text(client: TestClient) -> None:
    assert "python_info" in client.get("/metrics").text


def test_keys_say_who_asks_and_where_it_goes(migrated) -> None:
    secrets = {scope: new_key() for scope in ("ingest", "read", "admin")}
    with migrated.engine.begin() as connection:
        project = ensure_project(connection, "payments")
        ids = {
            scope: add_key(
                connection,
                project_id=project.id,
                name=scope,
                scope=scope,
                hint=key_hint(secret),
                digest=key_digest(secret),
            )
            for scope, secret in secrets.items()
        }
    wiring.use(Wiring(Settings(auth="required"), migrated.url))
    auth.forget()
    who = auth.principal_from(f"Bearer {secrets['read']}", None, None, None)
    assert (who.actor, who.role, who.project_id, who.project_ids) == ("key:read", "viewer", project.id, (project.id,))
    assert auth.principal_from(None, secrets["ingest"], None, None).role == "ingest"
    with pytest.raises(auth.Forbidden, match="ingest"):
        auth.viewer(auth.principal_from(None, secrets["ingest"], None, None))
    for nothing in (None, "Bearer jev_wrong", "Basic abc"):
        with pytest.raises(auth.Unauthorized):
            auth.principal_from(nothing, None, None, None)
    with migrated.engine.begin() as connection:
        revoke_key(connection, ids["admin"])
    with pytest.raises(auth.Unauthorized, match="not in force"):
        auth.principal_from(None, secrets["admin"], None, None)
    wiring.use(None)


def test_local_senders_are_open_and_may_name_a_project(migrated) -> None:
    wiring.use(Wiring(Settings(), migrated.url))
    auth.forget()
    who = auth.principal_from(None, None, None, None)
    assert (who.actor, who.role, who.project_id) == ("local", "admin", 1)
    with pytest.raises(Exception, match="no project 'nowhere'"):
        auth.principal_from(None, None, "nowhere", None)
    wiring.use(None)


@pytest.mark.parametrize(
    ("host", "mode", "asked"),
    [
        ("127.0.0.1", "auto", False),
        ("localhost", "auto", False),
        ("::1", "auto", False),
        ("0.0.0.0", "auto", True),
        ("192.168.1.4", "auto", True),
        ("127.0.0.1", "required", True),
    ],
)
def test_credentials_are_asked_for_off_loopback(host: str, mode: str, asked: bool) -> None:
    assert auth_mode.is_required(Settings(host=host, auth=mode)) is asked  # type: ignore[arg-type]


def test_who_only_reads_tells_no_outcome(migrated) -> None:
    secrets = {scope: new_key() for scope in ("ingest", "read")}
    with migrated.engine.begin() as connection:
        project = ensure_project(connection, "outcomes")
        for scope, secret in secrets.items():
            add_key(
                connection,
                project_id=project.id,
                name=scope,
                scope=scope,
                hint=key_hint(secret),
                digest=key_digest(secret),
            )
    auth.forget()
    with client_of(migrated.url, None, auth="required") as client:
        body = {"task_id": "T-3", "outcome": "rejected"}
        told = {
            scope: client.post("/api/v1/outcomes", json=body, headers={"x-api-key": secret})
            for scope, secret in secrets.items()
        }
    assert {scope: answer.status_code for scope, answer in told.items()} == {"ingest": 201, "read": 403}
    assert "may only read" in told["read"].json()["detail"]


def test_an_open_network_is_refused_with_the_way_out() -> None:
    with pytest.raises(auth_mode.OpenToTheNetwork, match=r"127\.0\.0\.1.*keys create"):
        auth_mode.refuse_open_network(Settings(host="0.0.0.0", auth="off"))
    auth_mode.refuse_open_network(Settings(host="127.0.0.1", auth="off"))


def test_people_log_in_before_they_see_pages_and_scripts_bring_a_key(migrated) -> None:
    with migrated.engine.begin() as connection:
        add_user(connection, name="ada", password=hash_password("a long password"), role="viewer")
    with client_of(migrated.url, None, auth="required") as client:
        turned_away = client.get("/docs", follow_redirects=False)
        assert (turned_away.status_code, turned_away.headers["location"]) == (303, "/login?next=/docs")
        assert client.post("/_dash-update-component", json={}).status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/healthz").status_code == 200
        for name in ("ada", "nobody"):
            wrong = client.post("/login", data={"name": name, "password": "wrong"})
            assert wrong.status_code == 401
            assert "Name or password is wrong." in wrong.text
        right = {"name": "ada", "password": "a long password"}
        entered = client.post("/login?next=/docs", data=right, follow_redirects=False)
        assert (entered.status_code, entered.headers["location"]) == (303, "/docs")
        assert client.get("/docs", follow_redirects=False).status_code == 200
        assert "python_info" in client.get("/metrics").text
        elsewhere = client.post("/login?next=//evil.example/", data=right, follow_redirects=False)
        assert elsewhere.headers["location"] == "/"
        client.post("/logout")
        assert client.get("/docs", follow_redirects=False).status_code == 303
    wiring.use(None)


def test_a_page_of_another_site_cannot_make_a_browser_change_things(client: TestClient) -> None:
    answer = client.post("/api/v1/nothing", headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "evil.example" in answer.json()["detail"]
    assert client.post("/api/v1/nothing", headers={"origin": "http://testserver"}).status_code == 404


def test_a_name_that_was_pointed_at_this_machine_is_not_answered(client: TestClient) -> None:
    refused = client.get("/api/v1/costs", headers={"host": "evil.example:4318"})
    assert refused.status_code == 421
    assert "JEVONS_ALLOWED_HOSTS" in refused.json()["detail"]
    assert client.post("/v1/traces", content=b"", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/healthz", headers={"host": "127.0.0.1:4318"}).status_code == 200


def test_who_fails_to_log_in_too_often_has_to_wait(migrated) -> None:
    with client_of(migrated.url, None, auth="required") as client:
        wrong = {"name": "eve", "password": "guess"}
        answers = [client.post("/login", data=wrong).status_code for _ in range(11)]
        assert answers == [401] * 10 + [429]
        assert int(client.post("/login", data=wrong).headers["retry-after"]) > 200
        assert client.get("/healthz", headers={"host": "costs.example.org"}).status_code == 200
    wiring.use(None)


def test_a_password_is_kept_salted_and_recognised() -> None:
    kept = hash_password("correct horse")
    assert kept != hash_password("correct horse")
    assert is_password("correct horse", kept)
    assert not is_password("Correct horse", kept)
