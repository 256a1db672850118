"""Sharing one billed request among its agents on a real ledger: shares sum to the bill, totals stay, the rule shows."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from app import closing, wiring
from app.allocating import share_calls
from app.api import create_app
from app.cli import build
from app.settings import Settings
from app.tasks.rate import rate_batch
from app.wiring import Wiring
from models.core.queries import CallQuery, CostQuery
from models.core.telemetry import Call, TokenCounts
from models.costs.attribution_rules import Condition, Match, TagRule
from models.costs.sharing import SharingRule
from models.store.allocation_rules import AllocationRule, add_allocation_rule, retire_allocation_rule
from models.store.exports import daily_sums
from models.store.projects import ensure_project, list_projects
from models.store.reader import StoreReader
from models.store.tag_rules import save_rule
from tests.conftest import Database
from tests.ledger_builders import END, START, all_pages, make_call, settle

AT = datetime(2026, 11, 3, 10, 15, tzinfo=UTC)
AGENTS = (("lead", 300), ("critic", 100), ("search", 100), ("writer", 100))
_numbers = iter(range(1, 100_000))


@pytest.fixture(scope="module")
def wired(migrated: Database) -> Iterator[Database]:
    wiring.use(Wiring(Settings(auth="off"), migrated.url))
    yield migrated
    wiring.use(None)


def new_project(database: Database) -> int:
    with database.engine.begin() as connection:
        return ensure_project(connection, f"shared {next(_numbers)}").id


@pytest.fixture
def project(wired: Database) -> int:
    return new_project(wired)


def grok(number: int, agents: tuple[tuple[str, int | None], ...] = AGENTS, **more: Any) -> Call:
    """One billed request; 10,001 tokens of input at 3 USD a million and 600 of output at 15."""
    told = TokenCounts(input=10_001, cache_read=70_003, output=600)
    call = make_call(number, number, AT + timedelta(seconds=number), told, agent="grok", agent_path="root/grok", **more)
    return replace(call, agents=agents)


def rule(method: SharingRule, agents: tuple[str, ...] | None = None, name: str = "multi-agent") -> AllocationRule:
    condition = Condition(dimension="agent", match=Match.EQUALS, pattern="grok")
    return AllocationRule(rule_id=0, name=name, method=method, conditions=(condition,), agents=agents)


def add(database: Database, project: int, added: AllocationRule) -> AllocationRule:
    with database.engine.begin() as connection:
        return add_allocation_rule(connection, project, added, "test")


def by(database: Database, project: int, *dimensions: str) -> dict[Any, Decimal | None]:
    query = CostQuery(projects=(project,), start=START, end=END, group_by=dimensions)
    rows, _ = all_pages(StoreReader(database.engine), query)
    return {tuple(row.keys[name] for name in dimensions): row.effective_cost for row in rows}


def totals(database: Database, project: int, *dimensions: str) -> tuple[Any, ...]:
    query = CostQuery(projects=(project,), start=START, end=END, group_by=dimensions)
    rows, answer = all_pages(StoreReader(database.engine), query)
    whole = answer.totals
    for cost in ("list_cost", "billed_cost", "effective_cost"):
        told = [getattr(row, cost) for row in rows if getattr(row, cost) is not None]
        assert sum(told, Decimal(0)) == getattr(whole, cost)
    return whole.calls, whole.tokens, whole.list_cost, whole.billed_cost, whole.effective_cost


def live(database: Database, project: int) -> int:
    with database.engine.connect() as connection:
        return connection.execute(
            text("SELECT count(*) FROM charges WHERE project_id = :id AND superseded_at IS NULL"), {"id": project}
        ).scalar_one()


@pytest.mark.parametrize(
    ("method", "lead"),
    [(SharingRule.EQUAL, Decimal("0.25")), (SharingRule.BY_OUTPUT, Decimal("0.5")), (SharingRule.FIRST_PAYER, 1)],
)
def test_grok_native_multi_agent_one_billed_request_is_shared_by_rule_and_every_row_names_it(
    wired: Database, project: int, method: SharingRule, lead: Decimal
) -> None:
    add(wired, project, rule(method))
    settle(wired.engine, project, [1], [grok(1)])
    billed = Decimal("0.030003") + Decimal("0.0210009") + Decimal("0.009")
    agents = by(wired, project, "agent")
    assert agents["grok",] == 0
    shared = [agents[name,] for name, _ in AGENTS]
    assert sum(cost for cost in shared if cost is not None) == billed
    assert abs((agents["lead",] or Decimal(0)) - billed * lead) <= Decimal("4e-15")
    assert totals(wired, project) == totals(wired, project, "agent") == totals(wired, project, "agent_path", "model")
    assert totals(wired, project)[0] == 1
    (call,) = StoreReader(wired.engine).calls(CallQuery(projects=(project,))).calls
    assert [share["agent"] for share in call["shares"]] == [name for name, _ in AGENTS]
    assert {(share["rule"], share["method"]) for share in call["shares"]} == {("multi-agent", method.value)}
    assert sum(Decimal(share["effective_cost"]) for share in call["shares"]) == billed
    # Each bucket's cost is shared as a whole, too.
    buckets = by(wired, project, "bucket")
    assert buckets["cache_read",] == Decimal("0.0210009")
    assert sum(cost or 0 for (_, bucket), cost in by(wired, project, "agent", "bucket").items() if bucket == "output") \
        == Decimal("0.009")  # fmt: skip


def test_pricing_again_changes_nothing_and_a_changed_call_is_shared_anew(wired: Database, project: int) -> None:
    add(wired, project, rule(SharingRule.BY_OUTPUT))
    settle(wired.engine, project, [1, 2], [grok(1), grok(2)])
    before, charges = by(wired, project, "agent"), live(wired, project)
    assert charges == 2 * (1 + 1 + len(AGENTS))
    settle(wired.engine, project, [1, 2], [grok(1), grok(2)])
    assert share_calls(project, actor="test", dry_run=False).changed == 0
    assert (by(wired, project, "agent"), live(wired, project)) == (before, charges)
    # One is read differently, the other one vanishes.
    settle(wired.engine, project, [1], [replace(grok(1, (("lead", 1), ("critic", 1))), model="claude-haiku-4-5")])
    with wired.engine.begin() as connection:
        from app.tasks.pricing import allocate_calls
        from models.core.telemetry import Derivation
        from models.store.calls import replace_calls
        from models.store.ledger import supersede_charges

        gone = replace_calls(connection, project, [(2).to_bytes(16, "big")], Derivation()).withdrawn
        supersede_charges(connection, project, gone)
        allocate_calls(connection, project, gone)
    agents = by(wired, project, "agent")
    assert set(agents) == {("grok",), ("lead",), ("critic",)}
    assert agents["lead",] == agents["critic",]
    assert live(wired, project) == 1 + 1 + 2
    assert totals(wired, project, "agent")[4] == (agents["lead",] or Decimal(0)) * 2


def test_rules_made_later_share_open_months_after_a_dry_run_and_retiring_gives_back(
    wired: Database, project: int
) -> None:
    nameless = grok(3, ())
    settle(wired.engine, project, [1, 2, 3], [grok(1), grok(2, (("a", None), ("b", None))), nameless])
    before = by(wired, project, "agent")
    kept = add(wired, project, rule(SharingRule.BY_OUTPUT))
    tried = share_calls(project, actor="test", dry_run=True)
    assert (tried.shared, tried.not_shared) == (1, 2)
    assert by(wired, project, "agent") == before
    done = share_calls(project, actor="test", dry_run=False)
    assert done.as_json() == tried.as_json()
    assert by(wired, project, "agent")["lead",] == done.carried["multi-agent", "by_output", "lead"][1]
    with wired.engine.begin() as connection:
        retire_allocation_rule(connection, project, kept.rule_id)
    share_calls(project, actor="test", dry_run=False)
    assert by(wired, project, "agent") == before
    # Agents named by the rule share the call that names none.
    add(wired, project, rule(SharingRule.EQUAL, ("x", "y", "z")))
    assert share_calls(project, actor="test", dry_run=False).shared == 3
    agents = by(wired, project, "agent")
    assert {name for (name,) in agents} == {"grok", "x", "y", "z"}


def test_shares_follow_their_call_to_another_team(wired: Database, project: int) -> None:
    add(wired, project, rule(SharingRule.EQUAL))
    settle(wired.engine, project, [1], [grok(1)])
    condition = Condition(dimension="agent", match=Match.EQUALS, pattern="grok")
    with wired.engine.begin() as connection:
        owner = TagRule(rule_id=0, position=1, target="team", value="care", conditions=(condition,))
        save_rule(connection, project, owner, "test")
    closing.apply_rules(project, actor="test")
    with wired.engine.begin() as connection:
        rate_batch(connection, 100)
    cells = by(wired, project, "team", "agent")
    assert cells["care", "lead"] == cells["care", "writer"] != 0
    assert {team for team, _ in cells} == {"care"}


def test_a_closed_month_keeps_its_shares_and_focus_keeps_its_sums(wired: Database, project: int) -> None:
    kept = add(wired, project, rule(SharingRule.EQUAL))
    settle(wired.engine, project, [1], [grok(1)])
    before = by(wired, project, "agent")
    with wired.engine.connect() as connection:
        sums = pl.concat(daily_sums(connection, [project], date(2026, 11, 1)))
        projects = [each for each in list_projects(connection) if each.id == project]
    assert sums["effective_cost"].sum() == totals(wired, project)[4]
    statement = StoreReader(wired.engine).statement([project], date(2026, 11, 1), "team")
    assert statement.total == statement.ledger_total == totals(wired, project)[4]
    assert [row.other for row in statement.rows] == [0]
    closing.close(projects, date(2026, 11, 1), actor="test", force=True, reason="test")
    with wired.engine.begin() as connection:
        retire_allocation_rule(connection, project, kept.rule_id)
    share_calls(project, actor="test", dry_run=False)
    assert by(wired, project, "agent") == before


_agents = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "d", "e"]), st.one_of(st.none(), st.integers(0, 10**9))),
    max_size=5,
    unique_by=lambda pair: pair[0],
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(_agents, st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**6)), min_size=1, max_size=6
    ),
    st.sampled_from(list(SharingRule)),
)
def test_sharing_conserves_every_cost_at_every_grouping(
    wired: Database, calls: list[tuple[list[tuple[str, int | None]], int, int, int]], method: SharingRule
) -> None:
    project = new_project(wired)
    made = []
    for number, (agents, fresh, read, output) in enumerate(calls, start=1):
        told = TokenCounts(input=fresh, cache_read=read, output=output)
        made.append(replace(make_call(number, number, AT, told, agent="grok"), agents=tuple(agents)))
    settle(wired.engine, project, range(1, len(made) + 1), made)
    before = totals(wired, project)
    add(wired, project, rule(method))
    share_calls(project, actor="test", dry_run=False)
    groupings = ("agent",), ("bucket",), ("agent", "bucket"), ("agent_path", "model"), ("agent", "task")
    assert {totals(wired, project, *names)[2:] for names in groupings} == {before[2:]}
    assert totals(wired, project, "agent") == before
    for call in StoreReader(wired.engine).calls(CallQuery(projects=(project,))).calls:
        if call["shares"]:
            for cost in ("list_cost", "billed_cost", "effective_cost"):
                shares = sum(Decimal(share[cost]) for share in call["shares"])
                assert shares == Decimal(call["charge"][cost])


def test_api_and_command_add_apply_and_list_with_the_rule_on_every_row(wired: Database) -> None:
    with wired.engine.begin() as connection:
        project = ensure_project(connection, "shared over http").id
    settle(wired.engine, project, [1], [grok(1)])
    name = ["--project", "shared over http"]
    cli = CliRunner()
    added = cli.invoke(build(), ["allocate", "add", "grok", "by_output", "--where", "agent^=gro", *name])
    assert added.exit_code == 0, added.output
    done = cli.invoke(build(), ["allocate", "apply", *name])
    assert "grok (by_output)  lead: 1 calls, 0.03000195 USD" in done.stdout
    shown = cli.invoke(build(), ["allocate", "shares", "--from", "2026-11-03", "--to", "2026-11-04", *name])
    assert shown.stdout.count("grok (by_output, weight ") == 4
    with TestClient(create_app(Wiring(Settings(auth="off"), wired.url))) as api:
        api.headers["x-jevons-project"] = "shared over http"
        assert [row["name"] for row in api.get("/api/v1/allocations").json()["rows"]] == ["grok"]
        period = {"start": "2026-11-03T00:00:00Z", "end": "2026-11-04T00:00:00Z"}
        rows = api.get("/api/v1/allocations/shares", params=period).json()["rows"]
        assert {(row["rule"], row["method"]) for row in rows} == {("grok", "by_output")}
        assert sum(Decimal(row["billed_cost"]) for row in rows) == Decimal("0.0600039")
        again = api.post("/api/v1/allocations", json={"name": "grok", "method": "equal", "conditions": [
            {"dimension": "agent", "pattern": "grok"}]})  # fmt: skip
        assert again.status_code == 409
        bad = api.post("/api/v1/allocations", json={"name": "x", "method": "by_output", "agents": ["a"],
                       "conditions": [{"dimension": "agent", "pattern": "grok"}]})  # fmt: skip
        assert bad.status_code == 400
        number = api.get("/api/v1/allocations").json()["rows"][0]["id"]
        assert api.delete(f"/api/v1/allocations/{number}").status_code == 204
        assert api.post("/api/v1/allocations/apply").json()["shared"] == 0
        assert api.get("/api/v1/allocations/shares", params=period).json()["rows"] == []
