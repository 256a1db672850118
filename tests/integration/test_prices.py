"""Prices over HTTP and on the command line, against a real database."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app import auth, wiring
from app.api import create_app
from app.cli import build
from app.settings import Settings
from app.wiring import Wiring
from models.prices.genai import release, shipped_rates
from models.store.prices import SHIPPED, record_book
from models.store.projects import ensure_project


@pytest.fixture
def client(migrated) -> Iterator[TestClient]:
    auth.forget()
    with migrated.engine.begin() as connection:
        ensure_project(connection, "default")
        record_book(connection, None, SHIPPED, shipped_rates(), release())
    with TestClient(create_app(Wiring(Settings(), migrated.url, None)), raise_server_exceptions=False) as client:
        yield client
    wiring.use(None)


RATE = {"provider": "openai", "model": "gpt-4o-2024-08-06", "bucket": "input", "price_per_m": "2.25"}


def test_shipped_prices_are_listed_page_by_page(client: TestClient) -> None:
    first = client.get("/api/v1/prices", params={"provider": "anthropic", "limit": 10}).json()
    rest = client.get("/api/v1/prices", params={"provider": "anthropic", "limit": 10, "cursor": first["next_cursor"]})
    assert len(first["rows"]) == 10
    assert {row["rate_id"] for row in first["rows"]}.isdisjoint(row["rate_id"] for row in rest.json()["rows"])
    one = client.get("/api/v1/prices", params={"provider": "gcp.gemini", "model": "models/gemini-2.5-pro"}).json()
    bands = {
        (row["bucket"], row["context_from"]): row["price_per_m"] for row in one["rows"] if row["tier"] == "standard"
    }
    assert bands["input", 0] == "1.25"
    assert bands["input", 200_001] == "2.5"


def test_an_own_price_is_added_once_and_an_overlap_is_409(client: TestClient) -> None:
    added = client.post("/api/v1/prices", json=RATE)
    assert (added.status_code, added.json()["model"], added.json()["own"]) == (201, "gpt-4o", True)
    again = client.post("/api/v1/prices", json=RATE)
    assert again.json()["book_id"] == added.json()["book_id"]
    clash = client.post("/api/v1/prices", json=RATE | {"price_per_m": "2", "valid_from": "2026-01-01T00:00:00Z"})
    assert (clash.status_code, clash.headers["content-type"]) == (409, "application/problem+json")
    assert "already has the price 2.25" in clash.json()["detail"]
    bad = client.post("/api/v1/prices", json=RATE | {"bucket": "words", "price_per_m": "cheap"})
    assert bad.status_code == 400
    assert {error["field"] for error in bad.json()["errors"]} == {"bucket", "price_per_m"}


def test_a_wrong_own_price_is_replaced_or_removed(client: TestClient) -> None:
    client.post("/api/v1/prices", json=RATE)
    corrected = client.post("/api/v1/prices", json=RATE | {"price_per_m": "2.5", "end_previous": True})
    assert corrected.status_code == 201, corrected.text
    own = client.get("/api/v1/prices", params={"own": True}).json()["rows"]
    assert [row["price_per_m"] for row in own] == ["2.5"]
    path = f"/api/v1/prices/{own[0]['rate_id']}"
    assert client.delete(path).status_code == 204
    assert client.get("/api/v1/prices", params={"own": True}).json()["total"] == 0
    gone = client.delete(path)
    assert gone.status_code == 404
    assert "jevons prices list --own" in gone.json()["detail"]


def test_nothing_unpriced_is_an_empty_list(client: TestClient) -> None:
    assert client.get("/api/v1/prices/unpriced").json() == {"rows": [], "calls": 0, "tokens": 0}


def test_the_command_line_sets_and_shows_a_price(client: TestClient, migrated, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("JEVONS_DATABASE_URL", migrated.url)
    cli = CliRunner()
    done = cli.invoke(build(), ["prices", "set", "acme", "m1", "input", "3", "--from", "2026-01-01"])
    assert done.exit_code == 0, done.output
    later = tmp_path / "prices.csv"
    later.write_text("provider,model,bucket,price_per_m,valid_from\nacme,m1,input,2,2026-02-01\n")
    assert cli.invoke(build(), ["prices", "import", str(later)]).exit_code == 0
    shown = cli.invoke(build(), ["prices", "show", "m1", "--provider", "acme", "--json"]).output
    assert '"price_per_m": "3"' in shown
    assert '"valid_to": "2026-02-01T00:00:00Z"' in shown
    missing = cli.invoke(build(), ["prices", "show", "m9", "--provider", "acme"])
    assert "no price for model m9" in str(missing.exception)


def test_the_command_line_lists_every_rate_its_books_and_removes_one(client: TestClient, migrated, monkeypatch) -> None:
    monkeypatch.setenv("JEVONS_DATABASE_URL", migrated.url)
    cli = CliRunner()

    def told(*words: str) -> list[dict[str, Any]]:
        return json.loads(cli.invoke(build(), ["prices", *words, "--json"]).output)

    before = told("list", "--own")
    assert cli.invoke(build(), ["prices", "set", "zzz", "m1", "input", "3"]).exit_code == 0
    listed = told("list")
    assert len(listed) == client.get("/api/v1/prices").json()["total"] > 1000
    [added] = [rate for rate in told("list", "--own") if rate not in before]
    assert (added["provider"], added["price_per_m"]) == ("zzz", "3")
    assert cli.invoke(build(), ["prices", "remove", added["rate_id"]]).exit_code == 0
    assert told("list", "--own") == before
    books = told("books")
    assert [book["rates"] for book in books if book["name"] == "own"][:2] == [len(before), len(before) + 1]
    in_force = {book["name"]: book["rates"] for book in books if book["superseded_at"] is None}
    assert in_force == {"own": len(before), "shipped": len(listed) - len(before) - 1}
