"""Who pays: ownership rules over open months, statements, outcomes and exports, over HTTP and a real ledger."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from app import closing, wiring
from app.api import create_app
from app.settings import Settings
from app.tasks.repricing import reprice
from app.tasks.rollup import rollup
from app.wiring import Wiring
from models.core.telemetry import TokenCounts
from models.store.period_checks import checks_of
from models.store.projects import ensure_project, list_projects
from models.store.statements import statement
from tests.conftest import Database
from tests.ledger_builders import make_call, settle

DAY = datetime(2026, 9, 10, 12, tzinfo=UTC)
TOKENS = TokenCounts(input=1_000, output=500)
COST = Decimal("0.0105")  # 1,000 at 3 and 500 at 15 per million


@pytest.fixture(scope="module")
def api(migrated: Database) -> Iterator[TestClient]:
    parts = Wiring(Settings(auth="off"), migrated.url)
    with TestClient(create_app(parts), raise_server_exceptions=False) as client:
        yield client
    wiring.use(None)


@pytest.fixture
def project(api: TestClient, database: Engine, request: pytest.FixtureRequest) -> Iterator[int]:
    from app.auth import forget

    with database.begin() as connection:
        made = ensure_project(connection, request.node.name)
    forget()
    api.headers["x-jevons-project"] = made.name
    yield made.id
    del api.headers["x-jevons-project"]


def by(api: TestClient, dimension: str, **more: Any) -> dict[str | None, Decimal]:
    asked = {"start": "2026-09-01T00:00:00Z", "end": "2027-01-01T00:00:00Z", "group_by": dimension}
    name = api.headers["x-jevons-project"]
    answer = api.get("/api/v1/costs", params={**asked, "filter": f"project:{name}", **more}).json()
    rows = {row[dimension]: Decimal(row["effective_cost"]) for row in answer["rows"] if row["effective_cost"]}
    assert sum(rows.values(), Decimal(0)) == Decimal(answer["totals"]["effective_cost"] or 0)
    return rows


def rule(target: str, value: str, *conditions: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    told = [{"dimension": name, "match": match, "pattern": pattern} for name, match, pattern in conditions]
    return {"target": target, "value": value, "conditions": told, **more}


def three_calls(database: Engine, project: int) -> None:
    """One states its team, two do not; one of those is tagged."""
    settle(
        database,
        project,
        [1, 2, 3],
        [
            make_call(1, 1, DAY, TOKENS, team="care", service="rag-api"),
            make_call(2, 1, DAY, TOKENS, service="rag-api", task="T-1"),
            make_call(3, 1, DAY + timedelta(days=30), TOKENS, service="web", tags={"repo": "shop"}),
        ],
    )


def ledger(database: Engine, project: int) -> list[Any]:
    with database.connect() as connection:
        return list(
            connection.execute(
                text("SELECT charge_id, superseded_at FROM charges WHERE project_id = :project ORDER BY charge_id"),
                {"project": project},
            )
        )


def test_a_dry_run_says_what_applying_does_and_applying_twice_moves_nothing_twice(
    api: TestClient, database: Engine, project: int
) -> None:
    three_calls(database, project)
    before = ledger(database, project)
    rules = [
        rule("team", "search", ("service", "prefix", "rag-")),
        rule("cost_center", "CC-410", ("tag:repo", "equals", "shop"), valid_from="2026-10-01T00:00:00Z"),
    ]
    tried = api.post("/api/v1/tag-rules/dry-run", json={"add": rules}).json()
    assert tried["calls"] == 2
    assert [(m["month"], m["target"], m["before"], m["after"], m["effective_cost"]) for m in tried["moves"]] == [
        ("2026-09", "team", None, "search", "0.0105"),
        ("2026-10", "cost_center", None, "CC-410", "0.0105"),
    ]
    assert ledger(database, project) == before
    for each in rules:
        assert api.post("/api/v1/tag-rules", json=each).status_code == 201
    assert by(api, "team") == {"care": COST, None: 2 * COST}  # rules alone move nothing that is there
    applied = api.post("/api/v1/tag-rules/apply").json()
    assert applied == tried
    assert by(api, "team") == {"care": COST, "search": COST, None: COST}
    assert by(api, "cost_center") == {"CC-410": COST, None: 2 * COST}
    after = ledger(database, project)
    assert len(after) == len(before) + 2
    assert api.post("/api/v1/tag-rules/apply").json() == {"calls": 0, "moves": [], "closed": []}
    assert ledger(database, project) == after
    # Merging, deriving and pricing again find the same owners.
    rollup()
    three_calls(database, project)
    assert reprice(project, DAY, DAY + timedelta(days=60), actor="local", dry_run=False).changed == 0
    assert ledger(database, project) == after
    assert by(api, "task") == {"T-1": COST, None: 2 * COST}


def test_a_new_call_follows_the_rules_and_a_retired_rule_gives_back(
    api: TestClient, database: Engine, project: int
) -> None:
    kept = api.post("/api/v1/tag-rules", json=rule("team", "search", ("service", "equals", "rag-api"))).json()
    three_calls(database, project)
    assert by(api, "team") == {"care": COST, "search": COST, None: COST}
    assert (
        api.put(f"/api/v1/tag-rules/{kept['id']}", json=rule("team", "find", ("service", "equals", "rag-api"))).json()[
            "version"
        ]
        == 2
    )
    api.post("/api/v1/tag-rules/apply")
    assert by(api, "team") == {"care": COST, "find": COST, None: COST}
    assert api.delete(f"/api/v1/tag-rules/{kept['id']}").status_code == 204
    assert api.get("/api/v1/tag-rules").json()["rows"] == []
    api.post("/api/v1/tag-rules/apply")
    assert by(api, "team") == {"care": COST, None: 2 * COST}


def test_closed_months_keep_their_owners_and_late_calls_still_find_theirs(
    api: TestClient, database: Engine, project: int
) -> None:
    three_calls(database, project)
    assert api.post("/api/v1/periods/2026-09/close").status_code == 200
    late = make_call(4, 1, DAY, TOKENS, service="rag-api")
    settle(database, project, [4], [late])
    api.post("/api/v1/tag-rules", json=rule("team", "search", ("service", "equals", "rag-api")))
    moved = api.post("/api/v1/tag-rules/apply").json()
    assert (moved["calls"], moved["closed"]) == (1, ["2026-09"])
    assert by(api, "team", end="2026-10-01T00:00:00Z") == {"care": COST, None: COST}
    assert by(api, "team", start="2026-10-01T00:00:00Z") == {"search": COST, None: COST}
    settle(database, project, [4], [late])
    assert by(api, "team", start="2026-10-01T00:00:00Z") == {"search": COST, None: COST}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (rule("colour", "red", ("service", "equals", "a")), 400),
        (rule("team", "t", ("colour", "equals", "a")), 400),
        (rule("team", "t", ("service", "regex", "(")), 400),
        (rule("team", "t"), 422),
        (rule("team", "t", ("service", "like", "a")), 422),
        (rule("team", "t", ("service", "equals", "a"), stage="first"), 422),
        (
            rule(
                "team",
                "t",
                ("service", "equals", "a"),
                valid_from="2026-10-02T00:00:00Z",
                valid_to="2026-10-01T00:00:00Z",
            ),
            400,
        ),
    ],
)
def test_rules_that_mean_nothing_are_refused_with_the_field(
    api: TestClient, project: int, body: dict[str, Any], status: int
) -> None:
    answer = api.post("/api/v1/tag-rules", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert api.post("/api/v1/tag-rules/dry-run", json={"add": [body]}).status_code == status


def test_a_statement_sums_to_the_ledger_and_its_cents_to_its_total(
    api: TestClient, database: Engine, project: int
) -> None:
    third = TokenCounts(output=3_333)  # 0.049995
    calls = [make_call(n, 1, DAY, third, team=team) for n, team in enumerate(["a", "b", "c", None], start=1)]
    settle(database, project, [1, 2, 3, 4], calls)
    api.put("/api/v1/cost-centers/CC-1/owner", json={"owner": "Ada", "valid_from": "2026-01-01"})
    told = api.get("/api/v1/statements", params={"period": "2026-09", "by": "team"}).json()
    assert [(row["team"], row["total"], row["amount"]) for row in told["rows"]] == [
        ("a", "0.049995", "0.05"),
        ("b", "0.049995", "0.05"),
        ("c", "0.049995", "0.05"),
        (None, "0.049995", "0.05"),
    ]
    assert (told["total"], told["ledger_total"], told["amount"], told["difference"]) == (
        "0.19998",
        "0.19998",
        "0.20",
        "0",
    )
    body = api.get("/api/v1/statements", params={"period": "2026-09", "by": "team", "format": "csv"}).text
    lines = list(csv.DictReader(io.StringIO(body)))
    assert [line["team"] for line in lines] == ["a", "b", "c", "UNALLOCATED", "TOTAL"]
    assert api.get("/api/v1/statements", params={"period": "2026-9"}).status_code == 400


@profile(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["x", "y", None]), st.integers(1, 10**6), st.integers(0, 40)), min_size=1, max_size=8
    ),
    st.sampled_from(["equals", "prefix"]),
)
def test_teams_and_unallocated_are_the_total_to_the_digit_under_any_rules(
    api: TestClient, database: Engine, project: int, rows: list[tuple[str | None, int, int]], match: str
) -> None:
    calls = [
        make_call(n, 1, DAY + timedelta(days=days), TokenCounts(output=tokens), team=team, service=f"s{n % 3}")
        for n, (team, tokens, days) in enumerate(rows, start=1)
    ]
    settle(database, project, range(1, 20), calls)
    whole = sum(by(api, "team").values())
    api.post("/api/v1/tag-rules", json=rule("team", f"r{len(rows)}", ("service", match, "s1")))
    dry = api.post("/api/v1/tag-rules/dry-run").json()
    assert api.post("/api/v1/tag-rules/apply").json() == dry
    assert sum(by(api, "team").values()) == whole == sum(by(api, "cost_center").values())
    for month in ("2026-09", "2026-10"):
        told = api.get("/api/v1/statements", params={"period": month, "by": "team"}).json()
        assert told["difference"] == "0"


def test_a_page_adds_up_so_many_charges_and_says_where_it_does_not(database: Engine, project: int) -> None:
    three_calls(database, project)
    month, at = date(2026, 9, 1), datetime.now(UTC)
    with database.connect() as connection:
        charges = statement(connection, [project], month).charges
        assert charges > 0
        for most, tied in ((None, True), (charges, True), (charges - 1, False)):
            made = statement(connection, [project], month, most_charges=most)
            assert (made.ledger_total, made.difference) == ((made.total, 0) if tied else (None, None))
            [check] = [
                each
                for each in checks_of(connection, project, month, at, most_charges=most)
                if each.name == "ledger_ties"
            ]
            assert (check.state, check.value) == (("ok", "0") if tied else ("warn", None))
    assert f"{charges} charges are more than a page adds up" in check.what


def test_periods_have_a_state_a_checklist_and_a_reason_to_reopen(
    api: TestClient, database: Engine, project: int
) -> None:
    three_calls(database, project)
    listed = api.get("/api/v1/periods").json()["rows"]
    assert [(row["period"], row["state"]) for row in listed] == [("2026-10", "open"), ("2026-09", "open")]
    checks = api.get("/api/v1/periods/2026-09/checks").json()
    states = {row["name"]: row["state"] for row in checks["rows"]}
    assert states == {
        "month_over": "ok",
        "spans_pending": "ok",
        "capacity_pending": "ok",
        "unpriced": "ok",
        "usage_absent": "ok",
        "unallocated": "warn",
        "corrections": "ok",
        "ledger_ties": "ok",
    }
    assert api.post("/api/v1/periods/2026-09/close", json={"soft": True}).json()["state"] == "soft_closed"
    closed = api.post("/api/v1/periods/2026-09/close").json()
    assert closed["state"] == "closed"
    assert api.get("/api/v1/periods/2026-09/summary").json()["state"] == "closed"
    assert {"name": "snapshot", "state": "ok"}.items() <= api.get("/api/v1/periods/2026-09/checks").json()["rows"][
        -1
    ].items()
    assert api.post("/api/v1/periods/2026-09/close").status_code == 409
    assert api.post("/api/v1/periods/2026-09/reopen").status_code == 422
    assert api.post("/api/v1/periods/2026-09/reopen", json={"reason": " "}).status_code == 400
    assert api.post("/api/v1/periods/2026-09/reopen", json={"reason": "a late contract"}).status_code == 200
    assert api.post("/api/v1/periods/2026-09/reopen", json={"reason": "again"}).status_code == 409
    assert api.get("/api/v1/periods/september/summary").status_code == 400
    month = datetime.now(UTC).strftime("%Y-%m")
    refused = api.post(f"/api/v1/periods/{month}/close")
    assert refused.status_code == 409
    assert "the month runs until" in refused.json()["detail"]
    with database.connect() as connection:
        actions = connection.execute(
            text("SELECT action, reason FROM audit_events WHERE project_id = :p AND action LIKE 'period%' ORDER BY id"),
            {"p": project},
        ).all()
    assert [tuple(row) for row in actions] == [
        ("period.soft_closed", None),
        ("period.closed", None),
        ("period.reopened", "a late contract"),
    ]


def test_an_accepted_task_pays_for_the_failed_ones(api: TestClient, database: Engine, project: int) -> None:
    calls = [make_call(n, 1, DAY, TOKENS, agent="fixer", task=f"T-{n}") for n in range(1, 5)]
    settle(database, project, [1, 2, 3, 4], calls)
    for task, outcome in (("T-1", "accepted"), ("T-2", "failed"), ("T-3", "rejected"), ("T-3", "accepted")):
        body = {"task_id": task, "outcome": outcome, "source": "human"}
        assert api.post("/api/v1/outcomes", json=body).status_code == 201
    listed = api.get("/api/v1/outcomes", params={"task_id": "T-3"}).json()["rows"]
    assert [(row["task_id"], row["outcome"]) for row in listed] == [("T-3", "accepted")]
    asked = {"start": "2026-09-01T00:00:00Z", "end": "2026-10-01T00:00:00Z"}
    answer = api.get("/api/v1/outcomes/summary", params=asked).json()
    [row] = [row for row in answer["rows"] if row["agent"] == "fixer"]
    assert (row["tasks"], row["accepted"], row["failed"], row["rejected"], row["unknown"]) == (4, 2, 1, 0, 1)
    assert (row["effective_cost"], row["cost_per_accepted_task"]) == ("0.042", "0.021")
    assert api.get("/api/v1/outcomes/summary", params={**asked, "by": "colour"}).status_code == 400
    assert api.post("/api/v1/outcomes", json={"task_id": "T-9", "outcome": "fine"}).status_code == 422


def test_the_focus_export_holds_every_priced_cost_and_the_correction(
    api: TestClient, database: Engine, project: int
) -> None:
    three_calls(database, project)
    name = api.headers["x-jevons-project"]
    with wiring.transaction() as connection:
        mine = [each for each in list_projects(connection) if each.id == project]
    closing.close(mine, date(2026, 9, 1), actor="local")
    settle(database, project, [9], [make_call(9, 1, DAY, TOKENS, team="care")])
    settle(database, project, [2], [make_call(2, 1, DAY, TokenCounts(input=2_000), service="rag-api")])
    month = datetime.now(UTC).strftime("%Y-%m")
    for period, kinds in (("2026-09", {""}), ("2026-10", {""}), (month, {"Correction"})):
        answer = api.get("/api/v1/exports/focus", params={"period": period})
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert {row["ChargeClass"] for row in rows} == kinds
        told = api.get("/api/v1/periods/" + period + "/summary").json()
        assert sum(Decimal(row["EffectiveCost"]) for row in rows) == Decimal(told["ledger_total"])
        assert {row["SubAccountName"] for row in rows} == {name}
        assert answer.text == api.get("/api/v1/exports/focus", params={"period": period}).text
        body = api.get("/api/v1/exports/focus", params={"period": period, "format": "parquet"}).content
        assert pl.read_parquet(body).height == len(rows)
    late = [row for row in rows if row["x_CorrectsChargeId"] == "2026-09/1:late"]
    assert sum(Decimal(row["BilledCost"]) for row in late) == COST
    assert {row["ChargePeriodStart"][:10] for row in rows} == {"2026-09-10"}
    assert sum(Decimal(row["BilledCost"]) for row in rows) == COST + Decimal("-0.0105") + Decimal("0.006")


def test_the_journal_balances(api: TestClient, database: Engine, project: int) -> None:
    settle(
        database,
        project,
        [1, 2],
        [
            make_call(1, 1, DAY, TokenCounts(output=100_000), cost_center="CC-1"),
            make_call(2, 1, DAY, TokenCounts(output=50_000)),
        ],
    )
    rows = list(csv.DictReader(io.StringIO(api.get("/api/v1/exports/journal", params={"period": "2026-09"}).text)))
    assert [(row["account"], row["cost_center"], row["debit"], row["credit"]) for row in rows] == [
        ("AI expense", "CC-1", "1.50", ""),
        ("AI expense", "UNALLOCATED", "0.75", ""),
        ("AI clearing", "", "", "2.25"),
    ]
    assert {row["posting_date"] for row in rows} == {"2026-09-30"}
