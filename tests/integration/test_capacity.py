"""Deployments, estimates and what-if over HTTP, on a real database with real calls."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from typer.testing import CliRunner

from app import auth, wiring
from app.api import create_app
from app.cli import build
from app.settings import Settings
from app.tasks.derive import derive_batch
from app.wiring import Wiring
from models.core.errors import BadInput
from models.core.telemetry import Span
from models.core.time import ns_of_utc
from models.prices.genai import release, shipped_rates
from models.store.capacity import capacity_bills
from models.store.prices import SHIPPED, record_book
from models.store.projects import ensure_project
from models.store.span_codec import prepare_spans
from models.store.telemetry import ensure_partitions, store_spans
from tests.conftest import Database

NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)
PERIOD = {"start": "2026-11-19T00:00:00Z", "end": "2026-11-20T00:00:00Z"}
H200 = {"kind": "deployment", "model": "llama-3.1-70b", "concurrency": 8, "chips": 2, "usd_per_chip_hour": "2.5"}
DEPLOYMENT = {
    "name": "llama on two H200",
    "architecture": "llama-3.1-70b",
    "accelerator": "h200_sxm",
    "engine": "vllm",
    "chips": 2,
    "concurrency": 32,
    "match_model": "llama-*",
}


def call(number: int) -> Span:
    """1,000 fresh and 9,000 cached input tokens, 500 out, of a priced model."""
    return Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=None,
        name="chat claude-sonnet-4-5",
        start_ns=ns_of_utc(NOON) + number,
        end_ns=ns_of_utc(NOON) + number + 1_000_000_000,
        kind=3,
        resource={"service.name": "svc"},
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.response.model": "claude-sonnet-4-5",
            "gen_ai.usage.input_tokens": 10_000,
            "gen_ai.usage.cache_read.input_tokens": 9_000,
            "gen_ai.usage.output_tokens": 500,
        },
    )


@pytest.fixture(scope="module")
def api(migrated: Database) -> Iterator[TestClient]:
    auth.forget()
    parts = Wiring(Settings(auth="off"), migrated.url)
    with TestClient(create_app(parts), raise_server_exceptions=False) as client:
        with migrated.engine.begin() as connection:
            record_book(connection, None, SHIPPED, shipped_rates(), release())
        with migrated.owner_engine.begin() as connection:
            ensure_partitions(connection, [NOON.date()])
        with migrated.engine.begin() as connection:
            store_spans(connection, [prepare_spans(1, [call(number) for number in range(1, 5)])])
        with migrated.engine.begin() as connection:
            assert derive_batch(connection, 100) == 4
        yield client
    wiring.use(None)


def ask(api: TestClient, **scenario: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/whatif", json={**PERIOD, "scenario": scenario})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_same_scenario_is_the_ledger_itself(api: TestClient) -> None:
    answer = ask(api, kind="same")
    costs = api.get("/api/v1/costs", params=PERIOD).json()
    assert answer["delta"] == "0"
    assert answer["actual"] == answer["scenario"] == costs["totals"]["effective_cost"]
    assert answer["calls"] == 4


def test_without_a_cache_real_calls_cost_the_input_price(api: TestClient) -> None:
    # Four calls of 10,000 input at $3 and 500 output at $15 per million.
    assert ask(api, kind="cache", policy="none")["scenario"] == "0.15"


def test_real_calls_on_gpu_lpu_wafer_and_both_have_a_cost_with_a_band(api: TestClient) -> None:
    lpu = {"accelerator": "groq_lpu_v1", "chips": 576, "usd_per_chip_hour": "0.5"}
    for machine in ({"accelerator": "h200_sxm"}, lpu, {"accelerator": "cerebras_wse3", "chips": 4}):
        answer = ask(api, **{**H200, **machine})
        assert Decimal(0) < Decimal(answer["low"]) < Decimal(answer["scenario"]) < Decimal(answer["high"])
    both = ask(api, **H200, accelerator="h200_sxm", decode=lpu)
    assert [line["name"] for line in both["lines"]] == ["prefill on h200_sxm", "decode on groq_lpu_v1"]


def test_a_filter_narrows_what_is_replayed(api: TestClient) -> None:
    body = {**PERIOD, "filter": ["service:other"], "scenario": {"kind": "same"}}
    answer = api.post("/api/v1/whatif", json=body)
    assert answer.status_code == 400
    assert "no calls" in answer.json()["detail"]


def test_a_scenario_that_cannot_be_read_is_a_problem_naming_the_field(api: TestClient) -> None:
    answer = api.post("/api/v1/whatif", json={**PERIOD, "scenario": {"kind": "cache", "policy": "7m"}})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == "scenario.policy"


def test_the_estimate_answers_in_the_shape_of_the_contract(api: TestClient) -> None:
    request = {
        "accelerator": "h100_sxm",
        "chips": 2,
        "model": "llama-3.1-70b",
        "precision": "fp8",
        "concurrency": 25,
        "input_tokens": 5000,
        "cache_read_tokens": 0,
        "output_tokens": 500,
        "usd_per_chip_hour": "2.00",
    }
    answer = api.post("/api/v1/hardware/estimate", json=request).json()
    share = 2 * (answer["prefill_seconds"] + 500 * answer["decode_seconds_per_token"] / 25)
    assert answer["accelerator_seconds"] == pytest.approx(share)
    assert float(answer["usd"]) == pytest.approx(share * 2 / 3600)
    assert answer["evidence"] == "prior"
    missing = api.post("/api/v1/hardware/estimate", json={**request, "accelerator": "h1000"})
    assert missing.status_code == 404
    assert "h100_sxm" in missing.json()["detail"]


def test_the_catalogue_shows_source_and_confidence(api: TestClient) -> None:
    found = api.get("/api/v1/hardware").json()
    lpu = next(each for each in found["accelerators"] if each["id"] == "groq3_lpx")
    assert lpu["announced"]
    assert lpu["memory_bytes"]["source"]


def test_a_deployment_is_added_priced_provisioned_changed_and_retired(api: TestClient, migrated: Database) -> None:
    added = api.post("/api/v1/deployments", json=DEPLOYMENT)
    assert added.status_code == 201, added.text
    at = f"/api/v1/deployments/{added.json()['id']}"
    for valid_from, price in (("2026-11-01T00:00:00Z", "2"), ("2026-11-19T13:00:00Z", "1.5")):
        rate = {"valid_from": valid_from, "usd_per_chip_hour": price, "source": "contract 7"}
        assert api.put(f"{at}/rates", json=rate).status_code == 200
    hours = [
        {"hour": "2026-11-19T12:00:00Z", "chip_hours": "2"},
        {"hour": "2026-11-19T13:00:00Z", "chip_hours": "2"},
        {"hour": "2026-11-19T14:00:00Z", "chip_hours": "2", "billed_cost": "2.999999999999999"},
    ]
    for _ in range(2):
        assert api.put(f"{at}/capacity", json=hours).json() == {"hours": 3}
    with migrated.engine.connect() as connection:
        bills = capacity_bills(connection, 1, NOON, datetime(2026, 11, 20, tzinfo=UTC))
    assert bills["cost"].to_list() == [Decimal(4), Decimal(3), Decimal("2.999999999999999")]
    assert api.post("/api/v1/deployments", json=DEPLOYMENT).status_code == 409
    changed = api.put(at, json={**DEPLOYMENT, "concurrency": 64})
    assert changed.json()["concurrency"] == 64
    assert api.delete(at).status_code == 204
    assert api.get("/api/v1/deployments").json()["rows"] == []
    assert len(api.get("/api/v1/deployments", params={"retired": True}).json()["rows"]) == 1
    assert api.put(at, json=DEPLOYMENT).status_code == 409


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"match_model": None}, 422, "at least one of match_service"),
        ({"accelerator": "h1000"}, 404, "no accelerator"),
        ({"chips": 0}, 422, "chips"),
        ({"colour": "red"}, 422, "colour"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(
    api: TestClient, change: dict[str, Any], status: int, says: str
) -> None:
    answer = api.post("/api/v1/deployments", json={**DEPLOYMENT, "name": "other", **change})
    assert answer.status_code == status
    assert says in answer.text


SAME = '[scenario]\nkind = "same"\n'


@pytest.mark.parametrize(("start", "end"), [
    pytest.param("2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z", id="times"),
    pytest.param("2026-11-19T01:00:00+01:00", "2026-11-20T00:00:00", id="with-an-offset-and-without"),
    pytest.param("2026-11-19", "2026-11-20", id="days"),
    pytest.param('"2026-11-19"', '"2026-11-20T00:00:00Z"', id="texts"),
])  # fmt: skip
def test_the_command_reads_a_scenario_file(api: TestClient, tmp_path: Path, start: str, end: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(f"start = {start}\nend = {end}\n{SAME}")
    found = CliRunner().invoke(build(), ["whatif", str(path), "--json"])
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert (answer["delta"], answer["calls"]) == ("0", 4)


@pytest.mark.parametrize("wrong", ['"November"', "2026", "10:00:00", "[2026-11-19]", '"2026-11-31"'])
def test_what_is_no_time_is_refused_by_the_name_of_its_field(api: TestClient, tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(f"start = 2026-11-01\nend = {wrong}\n{SAME}")
    fault = CliRunner().invoke(build(), ["whatif", str(path)]).exception
    assert isinstance(fault, BadInput)
    assert fault.errors[0]["field"] == "end"
    assert "Write 2026-11-01" in str(fault)


def test_the_command_asks_one_project_where_it_is_named(api: TestClient, database: Engine, tmp_path: Path) -> None:
    with database.begin() as connection:
        ensure_project(connection, "empty")
    auth.forget()
    path = tmp_path / "scenario.toml"
    path.write_text(f"start = 2026-11-19\nend = 2026-11-20\n{SAME}")
    ours = CliRunner().invoke(build(), ["whatif", str(path), "--project", "default", "--json"])
    assert json.loads(ours.stdout)["calls"] == 4
    nothing = CliRunner().invoke(build(), ["whatif", str(path), "--project", "empty"])
    assert "no calls" in str(nothing.exception)
    unknown = CliRunner().invoke(build(), ["whatif", str(path), "--project", "nowhere"])
    assert "no project 'nowhere'" in str(unknown.exception)
