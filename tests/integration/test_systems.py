"""Systems and claims of the field on a real ledger: what each has to mean in the figures that users see."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Engine

from app import wiring
from app.settings import Settings
from app.tasks.capacity import share_next_hour
from app.tasks.rate import rate_batch
from app.wiring import Wiring
from models.core.queries import CostQuery, CostRow, Costs
from models.core.telemetry import TokenCounts
from models.costs.cache import input_share_with_cache
from models.costs.elasticity import break_even_volume, rebound
from models.costs.focus import conserved, focus_rows
from models.costs.loops import findings_of, waste_share
from models.costs.steps import Step
from models.store.capacity import add_deployment, set_capacity
from models.store.exports import daily_sums
from models.store.outcomes import outcome_summary, record_outcome
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from tests.conftest import Database
from tests.ledger_builders import END, START, all_pages, make_call, settle

AT = datetime(2026, 11, 3, 10, 15, tzinfo=UTC)
HOUR = AT.replace(minute=0)
_projects = iter(range(1, 10_000))


@pytest.fixture
def project(migrated: Database) -> Iterator[int]:
    wiring.use(Wiring(Settings(auth="off"), migrated.url))
    with migrated.engine.begin() as connection:
        made = ensure_project(connection, f"systems {next(_projects)}")
    yield made.id
    wiring.use(None)


def ask(engine: Engine, project: int, *group_by: str, **more: Any) -> tuple[list[CostRow], Costs]:
    query = CostQuery(**{"projects": (project,), "start": START, "end": END, "group_by": group_by, **more})
    return all_pages(StoreReader(engine), query)


def test_prompt_caching_at_95_percent_hits_saves_84_percent_of_the_input(database: Engine, project: int) -> None:
    # 95 % read at 0.1 times, the rest written at 1.25 times: 15.75 % of the price without a cache, 6.35 times less.
    tokens = TokenCounts(input=0, cache_read=95_000, cache_write_5m=5_000, output=0)
    settle(database, project, [1], [make_call(1, 1, AT, tokens)])
    _, answer = ask(database, project)
    cost, saved = answer.totals.effective_cost, answer.totals.cache_savings
    assert cost is not None
    assert saved is not None
    share = Fraction(cost) / Fraction(cost + saved)
    assert share == input_share_with_cache(Fraction(95, 100), Fraction(1, 10), Fraction(5, 4)) == Fraction("0.1575")
    assert round(float(1 / share), 2) == 6.35


def test_minimax_cost_per_task_counts_the_failed_tasks_of_both_models(database: Engine, project: int) -> None:
    # Ten tasks each; the cheap model has 8 accepted, the other 9. The failures are paid for by those accepted.
    calls = []
    for n in range(20):
        cheap = n < 10
        named = {"provider": "anthropic", "model": "claude-haiku-4-5" if cheap else "claude-opus-4-1"}
        calls.append(make_call(n, n, AT, TokenCounts(input=100_000, output=10_000), task=f"swe-{n}", **named))
    settle(database, project, range(20), calls)
    with database.begin() as connection:
        for n in range(20):
            failed = n in (0, 1, 10)
            record_outcome(
                connection, project, task=f"swe-{n}", outcome="failed" if failed else "accepted", source="ci",
                note=None, actor="test",
            )  # fmt: skip
        rows, whole = outcome_summary(connection, [project], START, END, "model")
    per_task = {row.key: row.cost_per_accepted for row in rows}
    # Haiku: 0.1 + 0.05 = 0.15 a task, 1.5 over 8. Opus: 1.5 + 0.75 = 2.25 a task, 22.5 over 9.
    assert per_task == {"claude-haiku-4-5": Decimal("0.1875"), "claude-opus-4-1": Decimal("2.5")}
    assert (whole.tasks, whole.accepted, whole.failed) == (20, 17, 3)


def test_a_glorified_while_loop_and_its_waste_share_of_what_was_spent(database: Engine, project: int) -> None:
    calls = [
        make_call(1, n, AT + timedelta(seconds=3 * n), TokenCounts(input=10_000, output=0), agent="fixer")
        for n in range(1, 31)
    ]
    settle(database, project, [1], calls)
    _, answer = ask(database, project, "agent")
    spent = answer.totals.effective_cost
    assert spent is not None
    assert spent == Decimal("0.9")
    steps: list[Step] = []
    for call in calls:
        shared: dict[str, Any] = {"trace_id": call.trace_id, "agent": "fixer"}
        steps.append(
            Step(
                **shared, span_id=call.span_id, start_ns=call.start_ns, end_ns=call.end_ns, operation="chat",
                model=call.model, input_tokens=10_000, output_tokens=0, cost=spent / 30,
            )
        )  # fmt: skip
        steps.append(
            Step(
                **shared, span_id=b"tool" + call.span_id[4:], start_ns=call.end_ns, end_ns=call.end_ns + 10**9,
                operation="execute_tool", tool="bash", arguments_hash="same", failed=True,
            )
        )  # fmt: skip
    findings = findings_of(steps)
    assert "repeated_step" in {found.kind.value for found in findings}
    # Thirty failing runs of one command: what came after the fifth is waste, 25 of 30 calls.
    share = waste_share(findings, spent)
    assert share is not None
    assert share * 30 == pytest.approx(Decimal(25))


def test_jevons_break_even_ten_times_the_volume_after_nine_tenths_off(database: Engine, project: int) -> None:
    # The price falls from $15 to $1.50 a million: a request at a tenth, ten times as often, costs the same.
    before = make_call(1, 1, datetime(2026, 10, 5, tzinfo=UTC), TokenCounts(output=10_000))
    after = [make_call(n, n, AT, TokenCounts(cache_read=50_000)) for n in range(2, 12)]
    settle(database, project, range(1, 12), [before, *after])
    edge = datetime(2026, 11, 1, tzinfo=UTC)
    old = ask(database, project, end=edge)[1].totals
    new = ask(database, project, start=edge)[1].totals
    assert old.effective_cost == new.effective_cost == Decimal("0.15")
    assert (old.calls, new.calls) == (1, break_even_volume(Decimal("0.9")))
    found = rebound(Decimal("0.15"), Decimal(1), Decimal("0.015"), Decimal(10))
    assert (found.rebound, found.backfire) == (1, False)


def test_coverage_kpis_allocated_and_priced_shares_of_the_ledger(database: Engine, project: int) -> None:
    tokens = TokenCounts(input=10_000, output=0)
    owned = [make_call(n, n, AT, tokens, team="care") for n in range(1, 4)]
    nobody = make_call(4, 4, AT, tokens)
    unknown = make_call(5, 5, AT, tokens, provider="acme", model="acme-1", team="care")
    settle(database, project, range(1, 6), [*owned, nobody, unknown])
    rows, answer = ask(database, project, "team")
    costs = {row.keys["team"]: row.effective_cost for row in rows}
    total = answer.totals
    assert total.effective_cost == Decimal("0.12")
    assert costs == {"care": Decimal("0.09"), None: Decimal("0.03")}
    processed = sum(total.tokens.values())
    assert 1 - Decimal(total.unpriced_tokens) / processed == Decimal("0.8")
    assert total.unpriced_calls == 1


def test_focus_rows_of_a_month_with_tokens_own_hardware_and_idle_conserve_every_cost(
    database: Engine, project: int
) -> None:
    own = [
        make_call(n, n, AT, TokenCounts(input=5000, output=900), provider="vllm", model="llama-own", team=team)
        for n, team in ((1, "ml"), (2, None))
    ]
    settle(database, project, [1, 2, 3], [*own, make_call(3, 3, AT, TokenCounts(input=1000, output=10))])
    rule = {
        "name": "llama", "architecture": "llama-3.1-70b", "accelerator": "h200_sxm", "engine": "vllm",
        "precision": "fp8", "kv_precision": "bf16", "chips": 2, "attention_groups": 1, "concurrency": 8,
        "role": "aggregated", "match_service": None, "match_model": "llama-*", "match_server_address": None,
    }  # fmt: skip
    with database.begin() as connection:
        deployment = add_deployment(connection, project, rule)
        set_capacity(connection, project, deployment, [(HOUR, Decimal(2), Decimal(5))])
    with database.begin() as connection:
        rate_batch(connection, 100)
    with database.begin() as connection:
        assert share_next_hour(connection, quiet=timedelta(0)) == 1
    with database.connect() as connection:
        sums = pl.concat(daily_sums(connection, [project], date(2026, 11, 1)))
    made = focus_rows(sums, date(2026, 11, 1), date(2026, 12, 1))
    assert made.left_out == 0
    assert conserved(sums, made.rows) == []
    _, answer = ask(database, project)
    assert made.rows["EffectiveCost"].sum() == answer.totals.effective_cost
    assert made.rows["BilledCost"].sum() == answer.totals.billed_cost
    status = made.rows.group_by("CommitmentDiscountStatus").agg(pl.col("EffectiveCost").sum())
    by_status = dict(status.iter_rows())
    assert by_status["Used"] + by_status["Unused"] == 5
