"""The main job as a stranger does it: one command, a real agent, and its exact cost within seconds."""

import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from models.core.vocabulary import BUCKETS
from tests.e2e.conftest import EVER, Instance, eventually
from tests.e2e.provider import provider

GROUPINGS = ("agent", "model", "bucket", "task", "session", "agent,model", "team", "project", "user", "tag:anything")
NO_TOKENS = dict.fromkeys([bucket.value for bucket in BUCKETS], 0)


def _costs(instance: Instance, **query: Any) -> dict[str, Any]:
    # Other tests send to the same instance: only this agent's service.
    return instance.get("/api/v1/costs", **EVER, filter="service:weather-desk", **query)


@pytest.fixture(scope="module")
def agent_was_priced_after(instance: Instance) -> float:
    """Run a real agent with default exporter settings; the seconds from its last acknowledgement to its price."""
    with provider() as url:
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": instance.url, "OTEL_SERVICE_NAME": "weather-desk"}
        subprocess.run(
            [sys.executable, str(Path(__file__).parent / "agent.py"), url], env=environment, check=True, timeout=120
        )
    acknowledged = time.monotonic()
    eventually(lambda: _costs(instance)["totals"]["calls"] == 2)
    return time.monotonic() - acknowledged


def test_a_real_agent_is_priced_within_five_seconds_of_its_acknowledgement(agent_was_priced_after: float) -> None:
    assert agent_was_priced_after <= 5


@pytest.mark.usefixtures("agent_was_priced_after")
def test_each_request_is_one_call_with_disjoint_buckets(instance: Instance) -> None:
    rows = {row["provider"]: row for row in _costs(instance, group_by="provider,agent,task,session")["rows"]}
    assert set(rows) == {"openai", "anthropic"}
    for row in rows.values():
        assert (row["calls"], row["agent"], row["task"], row["session"]) == (1, "weather", "T-1", "conversation-1")
    openai = {"input": 2_000, "cache_read": 8_000, "output": 500, "reasoning": 200}
    assert rows["openai"]["tokens"] == NO_TOKENS | openai
    anthropic = {"input": 1_000, "cache_read": 20_000, "cache_write_5m": 2_000, "cache_write_1h": 1_000, "output": 500}
    assert rows["anthropic"]["tokens"] == NO_TOKENS | anthropic


@pytest.mark.usefixtures("agent_was_priced_after")
def test_the_price_of_the_anthropic_call_is_the_one_worked_out_by_hand(instance: Instance) -> None:
    # 1,000 × $3 + 20,000 × $0.30 + 2,000 × $3.75 + 1,000 × $6 + 500 × $15, per million
    expected = Decimal("0.003") + Decimal("0.006") + Decimal("0.0075") + Decimal("0.006") + Decimal("0.0075")
    rows = _costs(instance, group_by="provider")["rows"]
    cost = next(row["list_cost"] for row in rows if row["provider"] == "anthropic")
    assert Decimal(cost) == expected


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_totals_do_not_depend_on_the_grouping(instance: Instance, grouping: str) -> None:
    reference = instance.get("/api/v1/costs", **EVER)["totals"]
    answer = instance.get("/api/v1/costs", **EVER, group_by=grouping, limit=7)
    rows: list[dict[str, Any]] = []
    while answer:
        assert answer["totals"] == reference
        rows += answer["rows"]
        cursor = answer["next_cursor"]
        answer = instance.get("/api/v1/costs", **EVER, group_by=grouping, limit=7, cursor=cursor) if cursor else None
    for cost in ("list_cost", "billed_cost", "effective_cost"):
        known = [Decimal(row[cost]) for row in rows if row[cost] is not None]
        assert sum(known, Decimal(0)) == Decimal(reference[cost])


@pytest.mark.parametrize(
    ("session", "recorded"),
    [
        pytest.param("d703a1a9-1b7b-4fb1-b512-c9738b1fe617", "30.3302", id="sonnet-4.5"),
        pytest.param(None, "42.5959", id="opus-4.5"),
    ],
)
def test_the_recorded_sessions_price_to_their_recorded_totals(
    instance: Instance, session: str | None, recorded: str
) -> None:
    rows = instance.get("/api/v1/costs", **EVER, filter="service:pi-coding-agent", group_by="session")["rows"]
    assert len(rows) == 2
    cost = next(Decimal(row["list_cost"]) for row in rows if (row["session"] == session) == (session is not None))
    assert round(cost, 4) == Decimal(recorded)
