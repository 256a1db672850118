"""Closed months: nothing in them changes, and what arrives late is a correction of exactly its cost."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from app import closing, wiring
from app.settings import Settings
from app.tasks.repricing import reprice
from app.wiring import Wiring
from models.core.errors import BadInput, Conflict
from models.core.queries import CostQuery, Costs
from models.core.telemetry import TokenCounts
from models.prices.books import own_rate
from models.store.periods import list_periods, reopen_period, snapshot_of
from models.store.projects import ensure_project, list_projects
from models.store.reader import StoreReader
from tests.conftest import Database
from tests.ledger_builders import make_call, settle

MONTH, LAST = date(2026, 9, 1), datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC)
DAY = datetime(2026, 9, 10, 12, tzinfo=UTC)
SEPTEMBER = (datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
TOKENS = TokenCounts(input=1_000, output=500)
COST = Decimal("0.0105")  # 1,000 at 3 and 500 at 15 per million


@pytest.fixture(scope="module")
def parts(migrated: Database) -> Iterator[Wiring]:
    made = Wiring(Settings(auth="off"), migrated.url)
    wiring.use(made)
    yield made
    wiring.use(None)


@pytest.fixture
def project(parts: Wiring, database: Engine, request: pytest.FixtureRequest) -> int:
    """A project with two calls in September, which is closed."""
    with database.begin() as connection:
        made = ensure_project(connection, request.node.name).id
    settle(database, made, [1, 2], [make_call(1, 1, DAY, TOKENS, team="care"), make_call(2, 1, LAST, TOKENS)])
    close(made)
    return made


def close(project: int, **more: Any) -> None:
    closing.close(projects(project), MONTH, actor="local", **more)


def projects(number: int) -> list[Any]:
    with wiring.transaction() as connection:
        return [each for each in list_projects(connection) if each.id == number]


def figures(parts: Wiring, project: int, period: tuple[datetime, datetime] | None = None, **more: Any) -> Costs:
    start, end = period or (SEPTEMBER[1], datetime.now(UTC) + timedelta(days=40))
    answer = StoreReader(parts.engine).costs(CostQuery(projects=(project,), start=start, end=end, **more))
    return replace(answer, priced_through=None)  # the moment of asking, where nothing waits


def corrections(engine: Engine, project: int) -> list[Any]:
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    "SELECT correction_part, effective_cost, month, usage_at, corrects_id, call_count FROM charges "
                    "WHERE project_id = :project AND charge_class = 'correction' AND superseded_at IS NULL "
                    "ORDER BY charge_id"
                ),
                {"project": project},
            )
        )


def test_a_late_span_of_known_cost_is_one_correction_of_exactly_that_cost(
    parts: Wiring, database: Engine, project: int
) -> None:
    before = figures(parts, project, SEPTEMBER, group_by=("team",))
    late = make_call(3, 1, DAY, TokenCounts(output=820_000), team="care")
    settle(database, project, [3], [late])
    [row] = corrections(database, project)
    assert (row.correction_part, row.effective_cost, row.corrects_id, row.call_count) == (
        "late",
        Decimal("12.3"),
        None,
        1,
    )
    assert row.usage_at == DAY
    assert row.month == datetime.now(UTC).date().replace(day=1)
    assert figures(parts, project, SEPTEMBER, group_by=("team",)) == before
    now = figures(parts, project, group_by=("team",))
    assert [(each.keys["team"], each.effective_cost, each.calls) for each in now.rows] == [("care", Decimal("12.3"), 1)]
    # Again, and derived again: still one.
    settle(database, project, [3], [late])
    assert corrections(database, project) == [row]
    # It turns out to be another amount while the month that carries it is open: replaced, not added.
    settle(database, project, [3], [make_call(3, 1, DAY, TokenCounts(input=100_000), team="care")])
    [row] = corrections(database, project)
    assert row.effective_cost == Decimal("0.3")
    assert figures(parts, project).totals.effective_cost == Decimal("0.3")
    # And it vanishes.
    settle(database, project, [3], [])
    assert corrections(database, project) == []
    assert figures(parts, project).totals.calls == 0


def test_another_reading_of_a_closed_call_is_a_reversal_and_a_rebooking(
    parts: Wiring, database: Engine, project: int
) -> None:
    before = figures(parts, project, SEPTEMBER).totals
    more = TokenCounts(input=2_000, output=500)
    settle(database, project, [1], [make_call(1, 1, DAY, more, team="care")])
    reversal, rebooking = sorted(corrections(database, project), key=lambda row: row.effective_cost)
    assert (reversal.correction_part, reversal.effective_cost, reversal.call_count) == ("reversal", -COST, -1)
    assert (rebooking.correction_part, rebooking.effective_cost) == ("rebooking", COST + Decimal("0.003"))
    assert reversal.corrects_id == rebooking.corrects_id is not None
    assert figures(parts, project, SEPTEMBER).totals == before
    totals = figures(parts, project).totals
    assert (totals.effective_cost, totals.calls, totals.tokens["input"], totals.tokens["output"]) == (
        Decimal("0.003"),
        0,
        1_000,
        0,
    )
    by_bucket = figures(parts, project, group_by=("bucket",))
    assert {row.keys["bucket"]: row.effective_cost for row in by_bucket.rows} == {
        "input": Decimal("0.003"),
        "output": Decimal(0),
    }
    # Read as it was before: the pair goes, nothing is left to correct.
    settle(database, project, [1], [make_call(1, 1, DAY, TOKENS, team="care")])
    assert corrections(database, project) == []
    # Gone altogether: taken back once.
    settle(database, project, [1], [])
    assert [row.effective_cost for row in corrections(database, project)] == [-COST]
    assert figures(parts, project, SEPTEMBER).totals == before


def test_a_call_that_moves_to_another_agent_costs_nothing_and_both_sides_see_it(
    parts: Wiring, database: Engine, project: int
) -> None:
    settle(database, project, [1], [make_call(1, 1, DAY, TOKENS, team="sales")])
    rows = {row.keys["team"]: row.effective_cost for row in figures(parts, project, group_by=("team",)).rows}
    assert rows == {"care": -COST, "sales": COST}


def test_pricing_a_closed_month_again_books_pairs_whose_sum_is_the_dry_run(
    parts: Wiring, database: Engine, project: int
) -> None:
    from app.price_changes import add_own_rates

    before = figures(parts, project, SEPTEMBER).totals
    fields = {"provider": "anthropic", "model": "claude-sonnet-4-5", "bucket": "output", "price_per_m": "10"}
    rate = own_rate({**fields, "kind": "contract", "valid_from": "2026-09-01", "source": "a contract signed late"})
    with parts.transaction() as connection:
        add_own_rates(connection, project, [rate], "local")
    dry = reprice(project, *SEPTEMBER, actor="local", dry_run=True)
    assert (dry.changed, dry.change) == (4, Decimal("-0.005"))
    assert corrections(database, project) == []
    done = reprice(project, *SEPTEMBER, actor="local", dry_run=False)
    assert done.change == dry.change == figures(parts, project).totals.effective_cost
    assert sorted(row.correction_part for row in corrections(database, project)) == [
        "rebooking",
        "rebooking",
        "reversal",
        "reversal",
    ]
    assert figures(parts, project, SEPTEMBER).totals == before
    assert reprice(project, *SEPTEMBER, actor="local", dry_run=False).changed == 0


def test_a_closed_call_without_a_price_gets_its_cost_later_and_counts_once(parts: Wiring, database: Engine) -> None:
    from app.price_changes import add_own_rates

    with database.begin() as connection:
        made = ensure_project(connection, "priced later").id
    unknown = make_call(1, 1, DAY, TOKENS, provider="acme", model="acme-1")
    settle(database, made, [1], [unknown])
    with pytest.raises(Conflict, match="1 calls"):
        close(made)
    with pytest.raises(BadInput, match="reason"):
        close(made, force=True)
    close(made, force=True, reason="the price list comes in October")
    rates = [
        own_rate({"provider": "acme", "model": "acme-1", "bucket": bucket, "price_per_m": "2", "source": "a list"})
        for bucket in ("input", "output")
    ]
    with parts.transaction() as connection:
        add_own_rates(connection, made, rates, "local")
    reprice(made, *SEPTEMBER, actor="local", dry_run=False)
    [row] = corrections(database, made)
    assert (row.correction_part, row.effective_cost, row.call_count) == ("rebooking", Decimal("0.003"), 0)
    frozen, now = figures(parts, made, SEPTEMBER).totals, figures(parts, made).totals
    assert (frozen.calls, frozen.unpriced_calls, frozen.effective_cost) == (1, 1, None)
    assert (now.calls, now.unpriced_calls, now.tokens["input"], now.effective_cost) == (0, 0, 0, Decimal("0.003"))


STATEMENTS = [
    "UPDATE {table} SET effective_cost = 0 WHERE project_id = {project}",
    "UPDATE {table} SET superseded_at = now() WHERE project_id = {project}",
    # A charge that no key refuses: only the state of its month does.
    "INSERT INTO {table} SELECT (jsonb_populate_record(c, jsonb_build_object('charge_id', c.charge_id + 1000000, "
    "'superseded_at', now()))).* FROM {table} c WHERE project_id = {project}",
    # Every project's charges of the month: one closed among them is enough.
    "UPDATE {table} SET effective_cost = effective_cost WHERE month = '2026-09-01'",
    "DELETE FROM {table} WHERE project_id = {project}",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_database_refuses_changes_to_a_closed_month_from_application_and_owner(
    migrated: Database, project: int, statement: str
) -> None:
    for engine, table in (
        (migrated.engine, "charges"),
        (migrated.owner_engine, "charges"),
        (migrated.owner_engine, "charges_2026_09"),
    ):
        refused = "permission denied" if statement.startswith("DELETE") and engine is migrated.engine else "is closed"
        with engine.connect() as connection, pytest.raises(DBAPIError, match=refused):
            connection.execute(text(statement.format(table=table, project=project)))


@pytest.mark.parametrize("table", ["charges", "charges_2026_09", "period_snapshots"])
def test_nobody_truncates_the_ledger(migrated: Database, project: int, table: str) -> None:
    with migrated.owner_engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text(f"TRUNCATE {table}"))


def test_the_snapshot_is_a_hash_that_comes_out_again_and_a_reopened_month_gets_another(
    parts: Wiring, database: Engine, project: int
) -> None:
    with database.begin() as connection:
        [period] = [each for each in list_periods(connection, [project]) if each.month == MONTH]
        [first] = period.snapshots
        assert (period.state, first.number, first.charges, first.effective_cost) == ("closed", 1, 2, 2 * COST)
        assert snapshot_of(connection, project, MONTH)[0].hex() == first.sha256
    with pytest.raises(Conflict, match="closed already"):
        close(project)
    with pytest.raises(BadInput, match="reason"), database.begin() as connection:
        reopen_period(connection, project, MONTH, actor="local", at=datetime.now(UTC), reason=" ")
    with database.begin() as connection:
        reopen_period(connection, project, MONTH, actor="local", at=datetime.now(UTC), reason="a contract")
    settle(database, project, [3], [make_call(3, 1, DAY, TOKENS)])
    assert figures(parts, project, SEPTEMBER).totals.effective_cost == 3 * COST
    close(project)
    with database.begin() as connection:
        [period] = [each for each in list_periods(connection, [project]) if each.month == MONTH]
    assert [each.number for each in period.snapshots] == [2, 1]
    assert period.snapshots[0].sha256 != period.snapshots[1].sha256 == first.sha256


def test_a_month_that_still_runs_is_refused(parts: Wiring, project: int) -> None:
    with pytest.raises(Conflict, match="the month runs until"):
        closing.close(projects(project), datetime.now(UTC).date().replace(day=1), actor="local")


def test_cache_figures_of_a_session_count_what_its_call_took_with_it(
    parts: Wiring, database: Engine, project: int
) -> None:
    cached = TokenCounts(input=1_000, cache_read=5_000, cache_write_5m=300, output=10)
    october = DAY + timedelta(days=30)
    made = [make_call(7, span, october + timedelta(minutes=span), cached, session="first") for span in (1, 2)]
    settle(database, project, [7], made)
    closing.close(projects(project), date(2026, 10, 1), actor="local")
    settle(database, project, [7], [made[0], replace(made[1], session="second")])
    reader = StoreReader(parts.engine)
    periods = [
        (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        (datetime(2026, 10, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=40)),
        (datetime(2026, 11, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=40)),
    ]
    seen: list[tuple[Decimal | None, ...]] = []
    for session in ("first", "second"):
        for start, end in periods:
            asked = CostQuery(projects=(project,), start=start, end=end, filters=(("session", session),))
            total, costs = reader.cache(asked).total, reader.costs(asked).totals
            assert total.savings == costs.cache_savings
            assert total.written_tokens == costs.tokens["cache_write_5m"]
            seen.append((total.savings,))
    assert len(set(seen)) > 1
