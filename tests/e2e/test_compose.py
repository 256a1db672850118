"""docker-compose.yml: each service's own command and environment, as real processes against external servers."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import make_url

from tests.e2e.conftest import JEVONS, eventually, free_port
from tests.e2e.load import CALLS_PER_TRACE, requests

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = [name for name, service in COMPOSE["services"].items() if service["image"].startswith("jevons")]


def _environment(service: dict[str, Any], places: dict[str, str]) -> dict[str, str]:
    """The service's environment with its two addresses pointed at the test's servers, and ports that are free."""
    assert set(re.findall(r"\$\{(\w+)", str(service["environment"]))) == {"POSTGRES_PASSWORD", "JEVONS_SECRET_KEY"}
    return os.environ | service["environment"] | places


def _command(service: dict[str, Any]) -> list[str]:
    name, *arguments = service["command"]
    program = {"python": [sys.executable], "jevons": [JEVONS]}[name]
    return [*program, *arguments]


@pytest.fixture(scope="module")
def places(postgres_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An empty database, a broker and free ports."""
    from tests.conftest import run_alone

    name = f"compose_{int(time.time())}"
    run_alone(postgres_url, f"CREATE DATABASE {name}")
    return {
        "JEVONS_DATABASE_URL": make_url(postgres_url).set(database=name).render_as_string(hide_password=False),
        "JEVONS_REDIS_URL": valkey_url,
        "JEVONS_DATA_DIR": str(tmp_path_factory.mktemp("compose")),
        "JEVONS_PORT": str(free_port()),
        "JEVONS_GRPC_PORT": str(free_port()),
    }


def _run(places: dict[str, str], *arguments: str) -> str:
    command = [JEVONS, *arguments]
    environment = _environment(COMPOSE["services"]["migrate"], places)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


@pytest.fixture(scope="module")
def key(places: dict[str, str]) -> str:
    """A migrated database, and an API key in it: without one, nothing listens beyond loopback."""
    migrate = COMPOSE["services"]["migrate"]
    subprocess.run(_command(migrate), env=_environment(migrate, places), check=True, timeout=120)
    return json.loads(_run(places, "keys", "create", "agents", "--json"))["key"]


@pytest.fixture(scope="module")
def stack(places: dict[str, str], key: str) -> Iterator[str]:
    """All services of the file; the URL of the api."""
    assert key
    services = COMPOSE["services"]
    running = {
        name: subprocess.Popen(_command(services[name]), env=_environment(services[name], places))
        for name in OURS
        if name != "migrate"
    }
    url = f"http://127.0.0.1:{places['JEVONS_PORT']}"

    def ready() -> bool:
        assert {name: process.poll() for name, process in running.items()} == dict.fromkeys(running)
        try:
            return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(ready, 120)
        yield url
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(30)


def test_the_file_has_every_service_of_the_product() -> None:
    assert set(COMPOSE["services"]) == {"postgres", "redis", "migrate", "api", "grpc", "worker", "beat"}


def test_every_service_that_answers_has_a_health_check() -> None:
    for name in ("postgres", "redis", "api"):
        assert COMPOSE["services"][name]["healthcheck"]["test"]


def test_logins_are_signed_by_one_key_that_has_to_be_set() -> None:
    for name in OURS:
        assert COMPOSE["services"][name]["environment"]["JEVONS_SECRET_KEY"].startswith("${JEVONS_SECRET_KEY:?")


@pytest.mark.parametrize("name", ["api", "grpc"])
def test_a_container_that_everybody_could_enter_does_not_start(places: dict[str, str], name: str) -> None:
    service = COMPOSE["services"][name]
    environment = _environment(service, places) | {"JEVONS_AUTH": "off"}
    done = subprocess.run(_command(service), env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "JEVONS_AUTH=off and --host 0.0.0.0" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_key_the_stack_refuses_spans_and_questions(stack: str) -> None:
    body = next(requests("nobody", 1, 1))
    headers = {"Content-Type": "application/x-protobuf"}
    assert httpx.post(f"{stack}/v1/traces", content=body, headers=headers).status_code == 401
    assert httpx.get(f"{stack}/api/v1/costs").status_code == 401


def test_spans_sent_with_a_key_are_priced(stack: str, key: str, places: dict[str, str]) -> None:
    viewer = json.loads(_run(places, "keys", "create", "reports", "--scope", "read", "--json"))["key"]
    headers = {"Authorization": f"Bearer {key}"}
    for body in requests("composed", 4, 2):
        answer = httpx.post(
            f"{stack}/v1/traces", content=body, headers=headers | {"Content-Type": "application/x-protobuf"}
        )
        assert answer.status_code == 200, answer.text

    def priced() -> bool:
        answer = httpx.get(f"{stack}/api/v1/costs", headers={"Authorization": f"Bearer {viewer}"})
        assert answer.status_code == 200, answer.text
        totals = answer.json()["totals"]
        return totals["calls"] == 4 * CALLS_PER_TRACE and totals["unpriced_calls"] == 0

    eventually(priced, 30)
