"""The road from spans to figures: over HTTP in front, through the tasks, out of the API."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, text

from app import wiring
from app.api import create_app
from app.settings import Settings
from app.tasks.count import count
from app.tasks.derive import derive, derive_batch
from app.tasks.rate import rate_batch
from app.tasks.repricing import rebuild, reprice
from app.tasks.rollup import rollup, rollup_batch
from app.tasks.sweep import sweep
from app.tasks.watch import watch
from app.wiring import Wiring
from models.core.frames import USD
from models.core.telemetry import Span
from models.core.time import ns_of_utc
from models.prices.genai import shipped_rates
from models.store.backlog import backlog
from models.store.prices import SHIPPED, record_book
from models.store.span_codec import prepare_spans
from models.store.telemetry import ensure_partitions, store_spans
from tests.conftest import Database

NOON = ns_of_utc(datetime(2026, 11, 19, 12, tzinfo=UTC))
PERIOD = {"start": "2026-11-19T00:00:00Z", "end": "2026-11-20T00:00:00Z"}


@pytest.fixture(scope="module")
def api(migrated: Database) -> Iterator[TestClient]:
    """The whole application on the module's database."""
    parts = Wiring(Settings(auth="off"), migrated.url)
    with TestClient(create_app(parts), raise_server_exceptions=False) as client:
        yield client
    wiring.use(None)


def chat(trace: int, number: int, *, parent: int | None = None, **attributes: Any) -> Span:
    """A chat span of the OpenTelemetry conventions: 1,000 fresh and 9,000 cached input tokens, 500 out."""
    usage = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.response.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": 10_000,
        "gen_ai.usage.cache_read.input_tokens": 9_000,
        "gen_ai.usage.output_tokens": 500,
    }
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=None if parent is None else parent.to_bytes(8, "big"),
        name="chat claude-sonnet-4-5",
        start_ns=NOON + number,
        end_ns=NOON + number + 1_000_000_000,
        kind=3,
        scope_name="opentelemetry.instrumentation.test",
        scope_version="1",
        resource={"service.name": "svc"},
        attributes={**usage, **attributes},
    )


def agent(trace: int, number: int, name: str) -> Span:
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
    return replace(chat(trace, number), name=f"invoke_agent {name}", kind=1, attributes=attributes)


def send(engine: Engine, spans: list[Span], project: int = 1) -> None:
    with engine.begin() as connection:
        batch = prepare_spans(project, spans)
        ensure_partitions(connection, batch.days)
        store_spans(connection, [batch])


def figures(api: TestClient, **more: Any) -> dict[str, Any]:
    answer = api.get("/api/v1/costs", params={**PERIOD, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


# Sonnet 4.5: 1,000 at 3, 9,000 at 0.30 and 500 at 15 per million.
ONE_CALL = Decimal("0.0132")


def test_acknowledged_spans_are_in_the_figures_after_one_derivation(api: TestClient, database: Engine) -> None:
    send(database, [agent(1, 1, "planner"), chat(1, 2, parent=1), chat(1, 3, parent=1)])
    pending = api.get("/api/v1/status").json()
    assert (pending["spans_stored"], pending["spans_pending"], pending["calls"]) == (3, 3, 0)
    assert derive() == 1
    done = api.get("/api/v1/status").json()
    assert (done["spans_stored"], done["spans_pending"], done["calls"], done["lag_seconds"]) == (3, 0, 2, 0)
    answer = figures(api, group_by="agent,model")
    [row] = answer["rows"]
    assert (row["agent"], row["model"], row["calls"]) == ("planner", "claude-sonnet-4-5", 2)
    assert Decimal(row["effective_cost"]) == 2 * ONE_CALL == Decimal(answer["totals"]["effective_cost"])
    assert row["tokens"]["cache_read"] == 18_000
    assert answer["rows"][0]["cache_savings"] == "0.0486"  # 18,000 tokens at 3 less 0.30


def test_a_trace_is_a_tree_with_self_and_inclusive_cost(api: TestClient) -> None:
    tree = api.get(f"/api/v1/traces/{1:032x}").json()
    assert [(node["depth"], node["self_cost"], node["inclusive_cost"]) for node in tree["spans"]] == [
        (0, None, "0.0264"),
        (1, "0.0132", "0.0132"),
        (1, "0.0132", "0.0132"),
    ]
    assert [node["role"] for node in tree["spans"]] == ["span", "call", "call"]
    [curve] = tree["anatomy"]["context"]
    assert (curve["agent_path"], curve["compactions"]) == ("planner", 0)
    # 1,000 uncached and 9,000 from the cache in each of two turns.
    assert [turn["tokens"] for turn in curve["turns"]] == [10_000, 10_000]
    assert tree["anatomy"]["request_sizes"]["median"] == 10_000
    quality = api.get("/api/v1/quality", params=PERIOD).json()
    [row] = [row for row in quality["coverage"] if row["calls"]]
    assert (row["calls"], row["reported"], row["absent"]) == (2, 2, 0)


def test_calls_page_newest_first_with_charge_and_provenance(api: TestClient) -> None:
    first = api.get("/api/v1/calls", params={"trace_id": f"{1:032x}", "limit": 1}).json()
    second = api.get(
        "/api/v1/calls", params={"trace_id": f"{1:032x}", "limit": 1, "cursor": first["next_cursor"]}
    ).json()
    assert [page["calls"][0]["span_id"] for page in (first, second)] == [f"{3:016x}", f"{2:016x}"]
    assert second["next_cursor"] is None
    call = first["calls"][0]
    assert call["charge"]["effective_cost"] == "0.0132"
    assert [line["bucket"] for line in call["charge"]["lines"]] == ["input", "cache_read", "output"]
    assert all("genai-prices" in line["rate_source"] for line in call["charge"]["lines"])
    assert call["provenance"]["cache_read"]["attribute"] == "gen_ai.usage.cache_read.input_tokens"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/costs?group_by=colour", 400),
        ("/api/v1/costs?filter=colour:red", 400),
        ("/api/v1/costs?filter=red", 400),
        ("/api/v1/costs?start=2026-11-02T00:00:00Z&end=2026-11-01T00:00:00Z", 400),
        ("/api/v1/costs?start=yesterday", 422),
        ("/api/v1/costs?granularity=week", 422),
        ("/api/v1/costs?limit=0", 422),
        ("/api/v1/costs?cursor=%00", 400),
        ("/api/v1/calls?trace_id=xyz", 400),
        ("/api/v1/traces/xyz", 400),
        (f"/api/v1/traces/{'f' * 32}", 404),
    ],
)
def test_wrong_questions_get_a_problem(api: TestClient, path: str, status: int) -> None:
    answer = api.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert status == 404 or answer.json()["errors"][0]["field"]


def test_the_lists_have_costs(api: TestClient) -> None:
    for path, key in [
        ("agents", "agent"),
        ("models", "model"),
        ("teams", "team"),
        ("tasks", "task"),
        ("sessions", "session"),
    ]:
        answer = api.get(f"/api/v1/{path}", params=PERIOD).json()
        assert key in answer["rows"][0]
        assert Decimal(answer["totals"]["effective_cost"]) == 2 * ONE_CALL


def test_a_late_span_changes_the_outcome_and_the_order_never_does(api: TestClient, database: Engine) -> None:
    spans = [agent(2, 1, "late"), *(chat(2, number, parent=1) for number in range(2, 8))]
    chance = random.Random(7)
    chance.shuffle(spans)
    for span in spans:
        send(database, [span])
        if chance.random() < 0.5:
            derive()
    derive()
    [row] = figures(api, group_by="agent", filter="agent:late")["rows"]
    assert (row["calls"], Decimal(row["effective_cost"])) == (6, 6 * ONE_CALL)


def die_before_commit(step: Callable[[Connection, int], int]) -> None:
    with wiring.transaction() as connection:
        assert step(connection, 1000) > 0
        raise KeyboardInterrupt


def test_a_worker_that_dies_between_the_steps_loses_and_doubles_nothing(api: TestClient, database: Engine) -> None:
    send(database, [chat(3, 1)])
    before = figures(api)["totals"]["calls"]
    with pytest.raises(KeyboardInterrupt):
        die_before_commit(derive_batch)
    assert "derive" in sweep()
    assert figures(api)["totals"]["calls"] == before
    derive()
    assert figures(api)["totals"]["calls"] == before + 1
    whole = figures(api)
    with pytest.raises(KeyboardInterrupt):
        die_before_commit(rollup_batch)
    rollup()
    assert figures(api)["totals"] == whole["totals"]
    watch()
    count()
    with database.begin() as connection:
        assert backlog(connection) == []


def test_calls_wait_while_prices_contradict_and_are_priced_later(
    api: TestClient, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contradiction(*_: Any) -> None:
        raise ValueError("two rates at once")

    send(database, [chat(4, 1, **{"gen_ai.agent.name": "waiting"})])
    with monkeypatch.context() as patched:
        patched.setattr("app.tasks.derive.charge_rows", contradiction)
        derive()
    assert api.get("/api/v1/status").json()["spans_pending"] == 1
    with database.begin() as connection:
        assert rate_batch(connection, 100) == 1
    assert api.get("/api/v1/status").json()["spans_pending"] == 0
    [row] = api.get("/api/v1/calls", params={"trace_id": f"{4:032x}"}).json()["calls"]
    assert row["charge"]["effective_cost"] == "0.0132"


def test_a_trace_that_cannot_be_derived_is_a_rejection_and_its_neighbours_go_on(
    api: TestClient, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.tasks import derive as module

    real = module.derive_calls

    def poisoned(spans: Any) -> Any:
        held = list(spans)
        if any(span.trace_id == (6).to_bytes(16, "big") for span in held):
            raise RecursionError("poison")
        return real(held)

    monkeypatch.setattr(module, "derive_calls", poisoned)
    send(database, [chat(trace, 1) for trace in (5, 6, 7)])
    assert derive() == 3
    for trace, calls in ((5, 1), (6, 0), (7, 1)):
        assert len(api.get("/api/v1/calls", params={"trace_id": f"{trace:032x}"}).json()["calls"]) == calls
    with database.connect() as connection:
        reasons = connection.execute(text("SELECT reason FROM rejections WHERE trace_id IS NOT NULL")).scalars().all()
    assert any("RecursionError: poison" in reason for reason in reasons)
    assert api.get("/api/v1/status").json()["spans_pending"] == 0


def test_rebuilding_keeps_equal_charges_and_repricing_follows_a_new_price(api: TestClient, database: Engine) -> None:
    rebuild(1, datetime(2026, 11, 1, tzinfo=UTC))  # the trace that was poisoned can be read now
    before = figures(api, group_by="agent")
    with database.connect() as connection:
        charges = connection.execute(text("SELECT charge_id, recorded_at FROM charges ORDER BY 1")).all()
    rebuild(1, datetime(2026, 11, 1, tzinfo=UTC))
    after = figures(api, group_by="agent")
    assert (after["rows"], after["totals"]) == (before["rows"], before["totals"])
    with database.connect() as connection:
        assert connection.execute(text("SELECT charge_id, recorded_at FROM charges ORDER BY 1")).all() == charges
    period = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    same = reprice(1, *period, actor="test", dry_run=False)
    assert (same.calls, same.changed, same.change) == (before["totals"]["calls"], 0, 0)
    halved = shipped_rates().with_columns((pl.col("price_per_m") / 2).cast(USD), pl.col("rate_id") + 1)
    with database.begin() as connection:
        record_book(connection, None, SHIPPED, halved, "half of everything")
    cost = Decimal(before["totals"]["effective_cost"])
    dry = reprice(1, *period, actor="test", dry_run=True)
    assert (dry.changed, dry.change) == (same.calls, -cost / 2)
    assert figures(api)["totals"] == before["totals"]
    assert reprice(1, *period, actor="test", dry_run=False).change == -cost / 2
    assert Decimal(figures(api)["totals"]["effective_cost"]) == cost / 2


def test_metrics_tell_what_is_kept_and_what_waits(api: TestClient, database: Engine) -> None:
    send(database, [chat(77, 1), chat(77, 2)])
    kept = api.get("/api/v1/status").json()["spans_stored"]
    figures_of = dict(
        line.rsplit(" ", 1) for line in api.get("/metrics").text.splitlines() if line.startswith("jevons_")
    )
    assert figures_of["jevons_database_up"] == "1.0"
    assert float(figures_of["jevons_spans_kept"]) == kept
    assert float(figures_of['jevons_backlog{task="derive"}']) == 1
    derive()
    after = api.get("/metrics").text
    assert 'jevons_backlog{task="derive"} 0.0' in after
    assert "# TYPE jevons_commit_seconds histogram" in after
