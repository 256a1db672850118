"""Own hardware in the ledger: calls and idle time are the capacity bill, to the digit, whatever happens to the hour."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app import wiring
from app.settings import Settings
from app.tasks.capacity import share_next_hour
from app.tasks.rate import rate_batch
from app.tasks.rollup import rollup_batch
from app.wiring import Wiring
from models.core.queries import CostQuery, CostRow
from models.core.telemetry import TokenCounts
from models.store.capacity import (
    DeploymentRate,
    add_deployment,
    change_deployment,
    retire_deployment,
    set_capacity,
    set_rate,
)
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from tests.conftest import Database
from tests.ledger_builders import END, START, all_pages, make_call, settle

HOUR = datetime(2026, 11, 3, 10, tzinfo=UTC)
RULE = {
    "name": "llama",
    "architecture": "llama-3.1-70b",
    "accelerator": "h200_sxm",
    "engine": "vllm",
    "precision": "fp8",
    "kv_precision": "bf16",
    "chips": 2,
    "attention_groups": 1,
    "concurrency": 8,
    "role": "aggregated",
    "match_service": None,
    "match_model": "llama-*",
    "match_server_address": None,
}
BILL = Decimal("7.000000000000001")
TOKENS = TokenCounts(input=1000, cache_read=9000, output=500, reasoning=7)
GROUPINGS = [
    (),
    ("agent",),
    ("deployment", "hardware"),
    ("team", "model"),
    ("session",),
    ("bucket",),
    ("bucket", "agent"),
]
_projects = iter(range(1, 10_000))


@pytest.fixture
def project(migrated: Database) -> Iterator[int]:
    wiring.use(Wiring(Settings(auth="off"), migrated.url))
    with migrated.engine.begin() as connection:
        made = ensure_project(connection, f"own {next(_projects)}")
    yield made.id
    wiring.use(None)


def llama(trace: int, minute: int = 15, tokens: TokenCounts = TOKENS, **more: Any) -> Any:
    at = HOUR + timedelta(minutes=minute)
    return make_call(trace, trace, at, tokens, provider="vllm", model="llama-70b-own", **more)


def declare(engine: Engine, project: int, bill: Decimal | None = BILL, **changes: Any) -> int:
    """A deployment with two chips in HOUR."""
    with engine.begin() as connection:
        deployment = add_deployment(connection, project, {**RULE, **changes})
        set_capacity(connection, project, deployment, [(HOUR, Decimal(2), bill)])
    return deployment


def work_off(engine: Engine) -> int:
    """What a worker does: price what waits, share what is due; returns the hours shared."""
    with engine.begin() as connection:
        rate_batch(connection, 1000)
    hours = 0
    while True:
        with engine.begin() as connection:
            shared = share_next_hour(connection, quiet=timedelta(0))
        hours += shared
        if not shared:
            return hours


def ask(engine: Engine, project: int, *group_by: str, **more: Any) -> tuple[list[CostRow], CostRow]:
    query = CostQuery(**{"projects": (project,), "start": START, "end": END, "group_by": group_by, **more})
    rows, page = all_pages(StoreReader(engine), query)
    return rows, page.totals


def live(engine: Engine, project: int, kind: str = "usage") -> list[Any]:
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    "SELECT * FROM charges WHERE project_id = :p AND charge_class = :kind AND superseded_at IS NULL "
                    "ORDER BY end_at, span_id"
                ),
                {"p": project, "kind": kind},
            )
        )


def conserved(engine: Engine, project: int, bill: Decimal) -> None:
    """Every grouping adds up to the bill, billed and effective; lines add up to their charge."""
    for group_by in GROUPINGS:
        rows, totals = ask(engine, project, *group_by)
        known = [row.effective_cost for row in rows if row.effective_cost is not None]
        assert sum(known, Decimal(0)) == totals.effective_cost == bill, group_by
        assert sum((row.billed_cost or Decimal(0) for row in rows), Decimal(0)) == totals.billed_cost == bill
    for charge in live(engine, project):
        if charge.effective_cost is not None:
            assert sum(charge.line_effective_costs, Decimal(0)) == charge.effective_cost
            assert set(charge.line_billed_costs) <= {Decimal(0)}


def test_calls_and_idle_are_the_bill_at_every_group_level(database: Engine, project: int) -> None:
    calls = [
        llama(n, minute=n, agent=f"agent {n % 3}", team="ml" if n % 2 else None, session=f"s{n}") for n in range(1, 8)
    ]
    settle(database, project, range(1, 8), calls)
    declare(database, project)
    assert work_off(database) == 1
    conserved(database, project, BILL)
    idle, purchase = live(database, project, "idle"), live(database, project, "purchase")
    used = sum((charge.effective_cost for charge in live(database, project)), Decimal(0))
    assert used > 0
    assert [charge.effective_cost for charge in idle] == [BILL - used]
    assert [(charge.billed_cost, charge.effective_cost) for charge in purchase] == [(BILL, Decimal(0))]
    with database.begin() as connection:
        rollup_batch(connection, 100)
    conserved(database, project, BILL)


def test_deployment_and_hardware_are_dimensions_of_costs(database: Engine, project: int) -> None:
    claude = make_call(9, 9, HOUR, TokenCounts(input=100_000, output=0))
    settle(database, project, [1, 9], [llama(1), claude])
    declare(database, project)
    work_off(database)
    rows, totals = ask(database, project, "deployment", "hardware")
    costs = {tuple(row.keys.values()): row.effective_cost for row in rows}
    assert costs == {("llama", "h200_sxm"): BILL, (None, None): Decimal("0.3")}
    assert totals.effective_cost == BILL + Decimal("0.3")
    only, _ = ask(database, project, "model", filters=(("deployment", "llama"),))
    assert {row.keys["model"] for row in only} == {"llama-70b-own", None}


def test_cache_figures_of_a_deployment_look_at_the_calls_it_served(database: Engine, project: int) -> None:
    tokens = TokenCounts(input=300, cache_read=100, output=10)
    claude = make_call(9, 9, HOUR, TokenCounts(input=100_000, output=0))
    settle(database, project, [1, 9], [llama(1, tokens=tokens), claude])
    declare(database, project)
    work_off(database)
    question = CostQuery(projects=(project,), start=START, end=END, filters=(("deployment", "llama"),))
    report = StoreReader(database).cache(question)
    assert [(row.model, row.calls, row.seen_calls) for row in report.rows] == [("llama-70b-own", 1, 1)]
    assert report.total.read_of_input == pytest.approx(0.25)
    # Nobody sells it without a cache.
    assert report.total.savings == Decimal(0)


def test_list_price_stays_beside_the_share_and_nobodys_list_price_is_unknown(database: Engine, project: int) -> None:
    priced = make_call(1, 1, HOUR + timedelta(minutes=5), TokenCounts(input=100_000), service="gateway")
    settle(database, project, [1, 2], [priced, llama(2, service="gateway")])
    declare(database, project, match_model=None, match_service="gateway")
    work_off(database)
    rows, _ = ask(database, project, "model")
    listed = {row.keys["model"]: row.list_cost for row in rows}
    assert listed == {"claude-sonnet-4-5": Decimal("0.3"), "llama-70b-own": None, None: None}
    assert all(row.effective_cost is not None and row.unpriced_calls == 0 for row in rows)


def test_a_late_call_shares_its_hour_again_and_only_that(database: Engine, project: int) -> None:
    declare(database, project)
    with database.begin() as connection:
        known = connection.execute(text("SELECT deployment_id FROM deployments WHERE project_id = :p"), {"p": project})
        set_capacity(connection, project, known.scalar_one(), [(HOUR + timedelta(hours=1), Decimal(2), Decimal(5))])
    settle(database, project, [1, 2], [llama(1), llama(2, minute=75)])
    assert work_off(database) == 2
    before = {charge.origin_id: charge.charge_id for charge in live(database, project)}
    settle(database, project, [3], [llama(3, minute=59)])
    assert work_off(database) == 1
    conserved(database, project, BILL + 5)
    after = {charge.origin_id: charge.charge_id for charge in live(database, project)}
    other_hour = (2).to_bytes(16, "big")
    assert after[other_hour] == before[other_hour]
    assert len(after) == 3


def test_sharing_twice_changes_nothing_and_pricing_again_leaves_the_share_alone(database: Engine, project: int) -> None:
    settle(database, project, [1, 2], [llama(1), llama(2)])
    deployment = declare(database, project)
    work_off(database)
    before = [charge.charge_id for kind in ("usage", "idle", "purchase") for charge in live(database, project, kind)]
    with database.begin() as connection:
        set_capacity(connection, project, deployment, [(HOUR, Decimal(2), BILL)])
        connection.execute(
            text("INSERT INTO unrated_calls (project_id, trace_id, span_id) SELECT project_id, trace_id, span_id "
                 "FROM calls WHERE project_id = :p"), {"p": project},
        )  # fmt: skip
    assert work_off(database) == 1
    assert [c.charge_id for kind in ("usage", "idle", "purchase") for c in live(database, project, kind)] == before


def test_a_changed_price_shares_the_hour_again(database: Engine, project: int) -> None:
    settle(database, project, [1], [llama(1)])
    deployment = declare(database, project, bill=None)
    work_off(database)
    charge = live(database, project)[0]
    assert (charge.price_status, charge.effective_cost) == ("unpriced", None)
    assert charge.unpriced_reason == "no price of a chip-hour is in force for the deployment"
    for price in ("2.5", "1.25"):
        with database.begin() as connection:
            rate = DeploymentRate(valid_from=START, usd_per_chip_hour=Decimal(price), source="contract")
            set_rate(connection, project, deployment, rate)
        assert work_off(database) == 1
        conserved(database, project, 2 * Decimal(price))


def test_without_calls_all_of_it_is_idle(database: Engine, project: int) -> None:
    declare(database, project)
    work_off(database)
    conserved(database, project, BILL)
    rows, totals = ask(database, project, "bucket")
    assert {row.keys["bucket"]: row.effective_cost for row in rows} == {"idle": BILL, "capacity": Decimal(0)}
    assert totals.calls == 0


def test_more_use_than_capacity_leaves_no_idle(database: Engine, project: int) -> None:
    big = TokenCounts(input=1_000_000, output=1_000_000)
    settle(database, project, range(1, 5), [llama(n, tokens=big) for n in range(1, 5)])
    declare(database, project)
    work_off(database)
    conserved(database, project, BILL)
    assert live(database, project, "idle")[0].effective_cost == 0


def test_a_call_that_vanishes_gives_its_share_back(database: Engine, project: int) -> None:
    settle(database, project, [1, 2], [llama(1), llama(2)])
    declare(database, project)
    work_off(database)
    settle(database, project, [2], [])
    assert work_off(database) == 1
    conserved(database, project, BILL)
    assert len(live(database, project)) == 1


def test_calls_leave_with_the_rule_that_took_them(database: Engine, project: int) -> None:
    claude = make_call(1, 1, HOUR + timedelta(minutes=1), TokenCounts(input=100_000), service="gateway")
    settle(database, project, [1], [claude])
    deployment = declare(database, project, match_model=None, match_service="gate*")
    work_off(database)
    assert live(database, project)[0].deployment_id == deployment
    with database.begin() as connection:
        change_deployment(connection, project, deployment, RULE)
    work_off(database)
    charge = live(database, project)[0]
    assert (charge.deployment_id, charge.effective_cost) == (None, Decimal("0.3"))
    assert live(database, project, "idle")[0].effective_cost == BILL
    with database.begin() as connection:
        change_deployment(connection, project, deployment, {**RULE, "match_model": None, "match_service": "gate*"})
    work_off(database)
    assert live(database, project)[0].deployment_id == deployment
    with database.begin() as connection:
        retire_deployment(connection, project, deployment)
    work_off(database)
    # It was in service when the call ended.
    assert live(database, project)[0].deployment_id == deployment


def test_unknown_use_has_unknown_cost_and_the_others_share_the_bill(database: Engine, project: int) -> None:
    settle(database, project, [1, 2], [llama(1), llama(2, tokens=TokenCounts())])
    declare(database, project)
    work_off(database)
    conserved(database, project, BILL)
    assert [charge.unpriced_reason for charge in live(database, project)] == [None, "usage absent"]


def test_an_hour_that_is_not_over_waits(database: Engine, project: int) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    deployment = declare(database, project)
    with database.begin() as connection:
        set_capacity(connection, project, deployment, [(now, Decimal(2), BILL)])
    settle(database, project, [1], [make_call(1, 1, now, TOKENS, model="llama-own")])
    assert work_off(database) == 1
    charge = live(database, project)[0]
    assert (charge.price_status, charge.unpriced_reason) == ("unpriced", "its hour of capacity is not shared yet")
    assert len(live(database, project, "idle")) == 1
