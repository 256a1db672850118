"""Guardrails end to end: a loop in front, a signed webhook behind; once, whatever happens in between."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from app import alerts, migrate, wiring
from app.api import create_app
from app.settings import Settings
from app.tasks.deliver import deliver
from app.tasks.derive import derive
from app.tasks.spend import spend
from app.tasks.watch import SILENCE, watch, watch_batch
from app.wiring import Wiring
from models.core.controls import ChannelKind, Report
from models.core.telemetry import Span
from models.core.time import NS_PER_SECOND, ns_of_utc
from models.prices.genai import shipped_rates
from models.store.deliveries import MOST_ATTEMPTS, claim_due
from models.store.incidents import report, resolve_silent
from models.store.ledger import supersede_charges
from models.store.prices import SHIPPED, record_book
from models.store.span_codec import prepare_spans
from models.store.spend_rates import MINUTES, merge_minutes, spend_rates
from models.store.telemetry import ensure_partitions, store_spans
from models.store.watching import queue_watch
from tests.conftest import Database

SECRET = "shared secret"


class Hook(BaseHTTPRequestHandler):
    """A receiver that keeps what it gets, and answers with the status it is told."""

    received: list[tuple[dict[str, str], bytes]] = []  # noqa: RUF012
    status = 200
    mode = "whole"
    """`whole` answers; `silent` never does; `endless` never comes to the end of its answer."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if type(self).mode == "silent":
            self.connection.recv(1)  # until the sender hangs up
            return
        type(self).received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(type(self).status)
        self.end_headers()
        if type(self).mode == "endless":
            self.wfile.write(b"more")
            self.wfile.flush()
            self.connection.recv(1)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def hook_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def api(migrated: Database) -> Iterator[TestClient]:
    parts = Wiring(Settings(auth="off", allow_private_webhooks=True), migrated.url)
    with TestClient(create_app(parts), raise_server_exceptions=False) as client:
        with parts.transaction() as connection:
            record_book(connection, None, SHIPPED, shipped_rates(), "genai-prices")
        yield client
    wiring.use(None)


@pytest.fixture(scope="module")
def channel(api: TestClient, hook_url: str) -> dict[str, Any]:
    answer = api.post("/api/v1/channels", json={"kind": "webhook", "name": "hook", "url": hook_url, "secret": SECRET})
    assert answer.status_code == 201, answer.text
    return answer.json()


def loop(trace: int, times: int, ended: datetime, agent: str = "fixer") -> list[Span]:
    """An agent that calls the model and runs the same tool with the same arguments, over and over."""
    start = ns_of_utc(ended) - times * 3 * NS_PER_SECOND
    common = {"gen_ai.agent.name": agent}
    spans = []
    for turn in range(times):
        at = start + turn * 3 * NS_PER_SECOND
        facts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.response.model": "claude-sonnet-4-5",
            "gen_ai.usage.input_tokens": 1000 + turn,
            "gen_ai.usage.output_tokens": 100 + turn,
        }
        chat = Span(
            trace_id=trace.to_bytes(16, "big"),
            span_id=(2 * turn + 1).to_bytes(8, "big"),
            parent_span_id=None,
            name="chat",
            start_ns=at,
            end_ns=at + 2 * NS_PER_SECOND,
            kind=3,
            scope_name="test",
            resource={"service.name": "svc", "team": "payments"},
            attributes={**common, **facts},
        )
        tool = replace(
            chat,
            span_id=(2 * turn + 2).to_bytes(8, "big"),
            name="execute_tool bash",
            kind=1,
            start_ns=at + 2 * NS_PER_SECOND,
            end_ns=at + 3 * NS_PER_SECOND,
            status="error",
            attributes={
                **common,
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "bash",
                "jevons.arguments_hash": "0123",
            },
        )
        spans += [chat, tool]
    return spans


def send(engine: Engine, spans: list[Span]) -> None:
    with engine.begin() as connection:
        batch = prepare_spans(1, spans)
        ensure_partitions(connection, set(batch.days))
        store_spans(connection, [batch])


def sent(dedup_key: str) -> list[dict[str, Any]]:
    bodies = [json.loads(body) for _, body in Hook.received]
    return [body for body in bodies if body["dedup_key"] == dedup_key]


def test_a_loop_becomes_one_signed_webhook_however_often_the_road_is_walked(
    api: TestClient, database: Engine, channel: dict[str, Any]
) -> None:
    spans = loop(1, 5, datetime.now(UTC))
    send(database, spans[:8])
    derive()
    watch()
    assert api.get("/api/v1/incidents", params={"trace_id": f"{1:032x}"}).json()["rows"] == []
    for _ in range(3):
        send(database, spans)
        derive()
        watch()
        deliver()
    (incident,) = api.get("/api/v1/incidents", params={"trace_id": f"{1:032x}"}).json()["rows"]
    assert incident["kind"] == "repeated_step"
    assert (incident["repeats"], incident["agent"], incident["team"]) == (5, "fixer", "payments")
    # Calls 2 to 5 lie inside the loop: inputs 1001 … 1004 at $3 and outputs 101 … 104 at $15 a million.
    assert incident["cost_so_far"] == "0.01818"
    (body,) = sent(incident["dedup_key"])
    assert {name: body[name] for name in ("id", "kind", "agent", "trace_id", "repeats")} == {
        name: incident[name] for name in ("id", "kind", "agent", "trace_id", "repeats")
    }
    headers, raw = next(pair for pair in Hook.received if json.loads(pair[1])["dedup_key"] == incident["dedup_key"])
    assert headers["x-jevons-signature"] == "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()


def test_a_loop_that_goes_on_updates_its_incident_in_silence(
    api: TestClient, database: Engine, channel: dict[str, Any]
) -> None:
    ended = datetime.now(UTC)
    spans = loop(2, 9, ended)
    send(database, spans[:10])
    derive(), watch(), deliver()
    send(database, spans)
    derive(), watch(), deliver()
    (incident,) = api.get("/api/v1/incidents", params={"trace_id": f"{2:032x}"}).json()["rows"]
    assert incident["repeats"] == 9
    assert len(sent(incident["dedup_key"])) == 1


def test_an_import_of_old_spans_opens_quietly(api: TestClient, database: Engine, channel: dict[str, Any]) -> None:
    send(database, loop(3, 6, datetime.now(UTC) - timedelta(hours=2)))
    derive(), watch(), deliver()
    (incident,) = api.get("/api/v1/incidents", params={"trace_id": f"{3:032x}"}).json()["rows"]
    assert incident["quiet"] is True
    assert sent(incident["dedup_key"]) == []


def test_a_worker_that_dies_before_it_commits_loses_no_trace(api: TestClient, database: Engine) -> None:
    send(database, loop(4, 5, datetime.now(UTC)))
    derive()
    with database.connect() as connection:
        assert watch_batch(connection, 10, datetime.now(UTC)) == 1
        # The connection goes as a killed worker's does: nothing was committed.
        connection.rollback()
    assert watch() == 1
    assert len(api.get("/api/v1/incidents", params={"trace_id": f"{4:032x}"}).json()["rows"]) == 1


def test_a_worker_that_dies_while_sending_leaves_the_delivery_to_the_next(
    api: TestClient, database: Engine, channel: dict[str, Any]
) -> None:
    send(database, loop(5, 5, datetime.now(UTC)))
    derive(), watch()
    now = datetime.now(UTC)
    with database.begin() as connection:
        taken = claim_due(connection, now, 50)
    assert taken
    with database.begin() as connection:
        assert claim_due(connection, now, 50) == []
        again = claim_due(connection, now + timedelta(seconds=31), 50)
        assert {due.id for due in again} == {due.id for due in taken}
        assert {due.attempts for due in again} == {2}
        connection.rollback()
    with database.begin() as connection:
        connection.execute(text("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'"))
    assert deliver() == len(taken)


def test_a_channel_that_fails_is_tried_again_and_at_last_listed_as_dead(
    api: TestClient, database: Engine, channel: dict[str, Any]
) -> None:
    deliver()
    send(database, loop(6, 5, datetime.now(UTC)))
    derive(), watch()
    Hook.status = 500
    try:
        for attempt in range(MOST_ATTEMPTS):
            with database.begin() as connection:
                connection.execute(text("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'"))
            assert deliver() == 0, f"attempt {attempt} arrived"
    finally:
        Hook.status = 200
    dead = api.get("/api/v1/deliveries", params={"state": "dead"}).json()["rows"]
    assert [row["attempts"] for row in dead] == [MOST_ATTEMPTS]
    assert "answered 500" in dead[0]["last_error"]
    assert api.post(f"/api/v1/deliveries/{dead[0]['id']}/retry").status_code == 204
    assert deliver() == 1


def test_a_channel_that_dribbles_or_breaks_costs_an_attempt_and_no_worker(
    api: TestClient, database: Engine, channel: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver()

    def owe(trace: int) -> dict[str, Any]:
        send(database, loop(trace, 5, datetime.now(UTC)))
        derive(), watch()
        (incident,) = api.get("/api/v1/incidents", params={"trace_id": f"{trace:032x}"}).json()["rows"]
        (row,) = [row for row in pending() if row["incident_id"] == incident["id"]]
        return row

    def pending() -> list[dict[str, Any]]:
        return api.get("/api/v1/deliveries", params={"state": "pending"}).json()["rows"]

    monkeypatch.setattr(alerts, "POST_SECONDS", 0.5)
    Hook.mode = "silent"
    first = owe(21)
    assert deliver() == 0
    (tried,) = [row for row in pending() if row["id"] == first["id"]]
    assert (tried["attempts"], "did not answer within 0.5 s" in tried["last_error"]) == (1, True)
    # A status that is followed by an answer without an end is a status all the same.
    Hook.mode = "endless"
    second = owe(22)
    assert deliver() == 1
    assert second["id"] not in {row["id"] for row in pending()}
    Hook.mode = "whole"
    third = owe(23)
    monkeypatch.setattr(alerts, "send", lambda *_: int("not a number"))
    assert deliver() == 0
    (tried,) = [row for row in pending() if row["id"] == third["id"]]
    assert (tried["attempts"], tried["last_error"][:10]) == (1, "ValueError")


def test_what_was_found_late_is_told_as_soon_as_it_goes_on(
    api: TestClient, database: Engine, channel: dict[str, Any]
) -> None:
    spans = loop(24, 12, datetime.now(UTC) - timedelta(hours=2))
    send(database, spans[:14])
    derive(), watch(), deliver()
    (incident,) = api.get("/api/v1/incidents", params={"trace_id": f"{24:032x}"}).json()["rows"]
    assert (incident["quiet"], sent(incident["dedup_key"])) == (True, [])
    now = ns_of_utc(datetime.now(UTC))
    shift = now - spans[-1].end_ns
    send(database, [replace(span, start_ns=span.start_ns + shift, end_ns=span.end_ns + shift) for span in spans[14:]])
    derive(), watch(), deliver()
    assert api.get(f"/api/v1/incidents/{incident['id']}").json()["quiet"] is False
    assert [body["event"] for body in sent(incident["dedup_key"])] == ["opened"]


def test_a_rate_that_swings_about_its_limit_speaks_once_an_hour(
    api: TestClient, database: Engine, channel: dict[str, Any]
) -> None:
    at = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
    found = Report(
        dedup_key="burn:1:agent:swinging:2026-11-02",
        kind="burn_rate",
        title="agent swinging spends $2.00 a minute",
        severity="critical",
        repeats=None,
        cost_so_far=Decimal(1),
        cost_per_minute=Decimal(2),
    )
    for minute in (0, 5, 10, 15, 62):
        moment = at + timedelta(minutes=minute)
        with database.begin() as connection:
            report(connection, 1, replace(found, cost_so_far=Decimal(1 + minute)), moment)
        deliver()
        with database.begin() as connection:
            resolve_silent(connection, moment + SILENCE + timedelta(seconds=1), SILENCE)
        deliver()
    events = [body["event"].partition(":")[0] for body in sent(found.dedup_key)]
    assert events == ["opened", "resolved", "reopened", "resolved", "reopened", "resolved"]


def test_an_incident_is_acknowledged_snoozed_resolved_and_opens_again_when_it_goes_on(
    api: TestClient, database: Engine, channel: dict[str, Any]
) -> None:
    spans = loop(7, 8, datetime.now(UTC))
    send(database, spans[:10])
    derive(), watch(), deliver()
    (incident,) = api.get("/api/v1/incidents", params={"trace_id": f"{7:032x}"}).json()["rows"]
    path = f"/api/v1/incidents/{incident['id']}"
    assert api.post(f"{path}/snooze", json={"minutes": 5}).json()["state"] == "snoozed"
    acknowledged = api.post(f"{path}/acknowledge").json()
    assert (acknowledged["state"], acknowledged["acknowledged_by"]) == ("acknowledged", "local")
    assert api.post(f"{path}/resolve").json()["state"] == "resolved"
    assert api.post(f"{path}/acknowledge").status_code == 409
    deliver()
    assert api.post("/api/v1/incidents/999999/resolve").status_code == 404
    send(database, spans)
    derive(), watch(), deliver()
    assert api.get(path).json()["state"] == "open"
    assert [body["event"].split(":")[0] for body in sent(incident["dedup_key"])] == ["opened", "resolved", "reopened"]


def test_an_incident_resolves_by_itself_when_nothing_is_seen_of_it(api: TestClient, database: Engine) -> None:
    send(database, loop(8, 5, datetime.now(UTC)))
    derive(), watch(), deliver()
    with database.begin() as connection:
        resolved = resolve_silent(connection, datetime.now(UTC) + SILENCE + timedelta(seconds=1), SILENCE)
    assert f"loop:1:{8:032x}" in {incident.dedup_key for incident in resolved}


def test_a_budget_speaks_once_per_threshold(api: TestClient, database: Engine, channel: dict[str, Any]) -> None:
    made = api.post(
        "/api/v1/budgets",
        json={
            "name": "payments",
            "filter": ["team:payments"],
            "period": "month",
            "amount": "0.01",
            "thresholds": [50, 80, 100],
            "channels": [channel["id"]],
            "mode": "notify",
        },
    )
    assert made.status_code == 201, made.text
    assert made.json()["thresholds_crossed"] == [50, 80, 100]
    spend(), spend(), deliver()
    bodies = [body for _, raw in Hook.received if (body := json.loads(raw))["budget_id"] == made.json()["id"]]
    assert [body["event"] for body in bodies] == ["threshold:100"]
    listed = api.get("/api/v1/budgets").json()["rows"]
    assert [row["id"] for row in listed] == [made.json()["id"]]


def test_a_rolling_budget_stays_open_over_its_threshold_and_is_over_below_it(
    api: TestClient, database: Engine, channel: dict[str, Any]
) -> None:
    body: dict[str, Any] = {
        "name": "payments, thirty days",
        "filter": ["team:payments"],
        "period": "rolling",
        "rolling_days": 30,
        "amount": "0.01",
        "thresholds": [50, 100],
        "channels": [channel["id"]],
        "mode": "notify",
    }
    budget_id = api.post("/api/v1/budgets", json=body).json()["id"]

    def mine() -> dict[str, Any]:
        (incident,) = [row for row in api.get("/api/v1/incidents").json()["rows"] if row["budget_id"] == budget_id]
        return incident

    spend(), spend(), deliver()
    assert mine()["state"] == "open"
    # An amount out of reach is what falling spend looks like.
    amounts = text("UPDATE budgets SET amount = :amount WHERE id = :id")
    with database.begin() as connection:
        connection.execute(amounts, {"amount": 1_000_000, "id": int(budget_id)})
    spend(), deliver()
    assert (mine()["state"], mine()["resolved_by"]) == ("resolved", "below every threshold")
    with database.begin() as connection:
        connection.execute(amounts, {"amount": Decimal("0.01"), "id": int(budget_id)})
    spend(), deliver()
    assert mine()["state"] == "open"
    bodies = [json.loads(raw) for _, raw in Hook.received]
    assert [body["event"] for body in bodies if body["budget_id"] == budget_id] == ["threshold:100"]


def test_a_forecast_and_a_raised_budget_do_not_silence_thresholds(
    api: TestClient, channel: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = Decimal(api.get("/api/v1/costs", params={"filter": "team:payments"}).json()["totals"]["effective_cost"])
    monkeypatch.setattr("app.tasks.spend._forecast", lambda _budget, spent, *_: spent * 2)

    def terms(share: str, thresholds: list[int]) -> dict[str, Any]:
        amount = str((spent / Decimal(share)).quantize(Decimal("0.000001")))
        return {
            "name": "ahead",
            "filter": ["team:payments"],
            "period": "month",
            "amount": amount,
            "thresholds": thresholds,
            "channels": [channel["id"]],
            "mode": "notify",
        }

    budget_id = api.post("/api/v1/budgets", json=terms("0.6", [90])).json()["id"]

    def events() -> list[tuple[str, str]]:
        spend(), deliver()
        bodies = [json.loads(raw) for _, raw in Hook.received]
        return [(body["event"], body["severity"]) for body in bodies if body["budget_id"] == budget_id]

    assert events() == [("threshold:forecast", "warning")]
    api.put(f"/api/v1/budgets/{budget_id}", json=terms("0.6", [50, 90]))
    assert events()[1:] == [("threshold:50", "warning")]
    # Twice the amount is another budget to its readers: what was told of the smaller one is not told of this.
    api.put(f"/api/v1/budgets/{budget_id}", json=terms("0.3", [20, 120]))
    found = [row for row in api.get("/api/v1/incidents").json()["rows"] if row["budget_id"] == budget_id]
    assert [row["state"] for row in found] == ["resolved"]
    assert events()[2:] == [("threshold:20", "warning")]
    api.put(f"/api/v1/budgets/{budget_id}", json=terms("1.3", [20, 120]))
    assert events()[3:] == [("threshold:120", "critical")]
    assert api.delete(f"/api/v1/budgets/{budget_id}").status_code == 204
    found = [row for row in api.get("/api/v1/incidents").json()["rows"] if row["budget_id"] == budget_id]
    assert {row["state"] for row in found} == {"resolved"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param({"amount": "0"}, 422, "amount", id="nothing"),
        pytest.param({"filter": ["colour:red"]}, 400, "colour:red", id="no-dimension"),
        pytest.param({"period": "rolling"}, 422, "rolling_days", id="rolling-without-days"),
        pytest.param({"channels": ["77"]}, 400, "channel 77", id="no-such-channel"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_with_the_reason(
    api: TestClient, body: dict[str, Any], status: int, says: str
) -> None:
    answer = api.post("/api/v1/budgets", json={"name": "b", "amount": "1", **body})
    assert answer.status_code == status
    assert says in answer.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "localhost"]
)
def test_private_addresses_are_refused_unless_allowed(host: str) -> None:
    with pytest.raises(alerts.AddressRefused, match="private address"):
        alerts.check_url(ChannelKind.WEBHOOK, f"http://{host}:8080/x", allow_private=False)
    alerts.check_url(ChannelKind.WEBHOOK, f"http://{host}:8080/x", allow_private=True)


def test_other_schemes_are_refused() -> None:
    for url in ("file:///etc/passwd", "ftp://example.org/x", "nothing"):
        with pytest.raises(alerts.AddressRefused, match="no http"):
            alerts.check_url(ChannelKind.WEBHOOK, url, allow_private=True)


def test_two_workers_that_watch_the_same_trace_write_one_incident(api: TestClient, database: Engine) -> None:
    send(database, loop(9, 5, datetime.now(UTC)))
    derive()
    with database.begin() as connection:
        queue_watch(connection, 1, [(9).to_bytes(16, "big")] * 4)
        queue_watch(connection, 1, [(9).to_bytes(16, "big")])
    threads = [threading.Thread(target=watch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(api.get("/api/v1/incidents", params={"trace_id": f"{9:032x}"}).json()["rows"]) == 1


def test_the_decomposition_of_the_api_adds_up(api: TestClient) -> None:
    now = datetime.now(UTC)
    period = {
        "base_start": (now - timedelta(days=2)).isoformat(),
        "base_end": (now - timedelta(minutes=90)).isoformat(),
        "start": (now - timedelta(minutes=90)).isoformat(),
        "end": (now + timedelta(hours=1)).isoformat(),
    }
    found = api.get("/api/v1/jevons/decomposition", params=period).json()
    effects = sum((Decimal(effect) for effect in found["effects"].values()), Decimal(0))
    assert effects == Decimal(found["change"]) == Decimal(found["current"]) - Decimal(found["base"])
    assert Decimal(found["change"]) > 0
    assert api.get("/api/v1/jevons/index").json()["months"][-1]["bill"] is not None
    assert "Not enough price changes" in api.get("/api/v1/jevons/elasticity").json()["reason"]
    assert api.get("/api/v1/jevons/forecast").status_code == 400


def test_elasticity_says_how_many_days_it_has_when_they_are_too_few(api: TestClient, database: Engine) -> None:
    # Three whole days of its own: whether other tests' calls lie on two depends on the hour they run at.
    today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    for days in (4, 3, 2):
        send(database, loop(9000 + days, 12 - 2 * days, today - timedelta(days=days), agent="elastic"))
    derive()
    asked = {"filter": "agent:elastic", "end": (today - timedelta(days=1)).isoformat()}
    found = api.get("/api/v1/jevons/elasticity", params=asked).json()
    assert (found["days"], found["price_changes"], found["elasticity"]) == (2, 0, None)
    assert "prices moved on 0 of 2 days" in found["reason"]


@pytest.mark.parametrize("scope", ["agent", "team"])
def test_rates_of_spend_are_the_charges_of_each_minute(api: TestClient, database: Engine, scope: str) -> None:
    for number, minutes in enumerate((3, 30, 30, 200)):
        send(database, loop(60 + number, 5, datetime.now(UTC) - timedelta(minutes=minutes)))
    derive()
    at = (datetime.now(UTC) + timedelta(minutes=2)).replace(second=0, microsecond=0)
    start = at - timedelta(minutes=MINUTES)
    with database.begin() as connection:
        rates = [rate for rate in spend_rates(connection, at) if rate.scope == scope]
        charged = connection.execute(
            text(
                f"SELECT a.{scope} AS name, date_trunc('minute', c.end_at) AS minute, sum(c.effective_cost) AS cost "
                "FROM charges c JOIN attributions a USING (project_id, attribution_id) "
                f"WHERE c.superseded_at IS NULL AND a.{scope} IS NOT NULL AND c.end_at >= :start GROUP BY 1, 2"
            ),
            {"start": start},
        ).all()
    told = {
        (rate.name, start + timedelta(minutes=place)): cost
        for rate in rates
        for place, cost in enumerate(rate.minutes)
        if cost
    }
    assert told == {(row.name, row.minute): row.cost for row in charged if row.cost}
    assert len({minute for _, minute in told}) >= 3


def test_minutes_of_spend_are_merged_withdrawn_dropped_and_made_again_from_charges(
    migrated: Database, database: Engine
) -> None:
    now = datetime.now(UTC)
    for number in (81, 82):
        send(database, loop(number, 5, now - timedelta(minutes=20)))
        derive()

    def seen() -> tuple[dict[tuple[str, str], list[Decimal]], int]:
        with database.connect() as connection:
            rates = spend_rates(connection, now + timedelta(minutes=2))
            parts = connection.execute(text("SELECT count(*) FROM spend_minutes")).scalar_one()
        return {(rate.scope, rate.name): rate.minutes for rate in rates}, parts

    before, parts = seen()
    with database.begin() as connection:
        merge_minutes(connection, now)
    merged, fewer = seen()
    assert merged == before
    assert fewer < parts
    # Charges that are withdrawn take their minutes with them: at once, and merged as well.
    with database.begin() as connection:
        keys = connection.execute(
            text("SELECT trace_id, span_id FROM calls WHERE trace_id = :trace"), {"trace": (82).to_bytes(16, "big")}
        ).all()
        supersede_charges(connection, 1, [(bytes(row.trace_id), bytes(row.span_id)) for row in keys])
    without, _ = seen()
    assert without != merged
    with database.begin() as connection:
        merge_minutes(connection, now)
    assert seen()[0] == without
    migrate.downgrade(migrated.url, "-1")
    migrate.upgrade(migrated.url)
    assert seen()[0] == without
    with database.begin() as connection:
        merge_minutes(connection, now + timedelta(days=1))
    assert seen() == ({}, 0)
