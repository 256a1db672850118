"""Copilot's credits on a real ledger: charges that are no calls, once however often imported, shared by consumption."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from app import closing, wiring
from app.cli import build
from app.reported import ReportImport, import_copilot
from app.settings import Settings
from app.wiring import Wiring
from models.core.queries import CostQuery, CostRow, Costs
from models.costs.attribution_rules import Condition, Match, TagRule
from models.costs.focus import conserved, focus_rows
from models.costs.focus_table import focus_csv
from models.store.exports import daily_sums
from models.store.projects import ensure_project, list_projects
from models.store.reader import StoreReader
from models.store.tag_rules import save_rule
from tests.conftest import Database
from tests.ledger_builders import END, START, all_pages
from tests.unit.test_copilot_report import ALICE, BOB, written

OCTOBER = date(2026, 10, 1)
_numbers = iter(range(1, 1000))


@pytest.fixture
def project(migrated: Database) -> Iterator[int]:
    wiring.use(Wiring(Settings(auth="off"), migrated.url))
    with migrated.engine.begin() as connection:
        made = ensure_project(connection, f"copilot {next(_numbers)}")
    yield made.id
    wiring.use(None)


def load(project: int, *paths: Path) -> ReportImport:
    return import_copilot(paths, lambda: project)


def ask(database: Database, project: int, *group_by: str) -> tuple[dict[str | None, CostRow], Costs]:
    query = CostQuery(projects=(project,), start=START, end=END, group_by=group_by)
    rows, answer = all_pages(StoreReader(database.engine), query)
    return {row.keys[group_by[0]] if group_by else None: row for row in rows}, answer


def charges(database: Database, project: int) -> tuple[int, int]:
    with database.engine.connect() as connection:
        found = connection.execute(
            text("SELECT count(*), count(*) FILTER (WHERE superseded_at IS NULL) FROM charges WHERE project_id = :id"),
            {"id": project},
        ).one()
    return found[0], found[1]


def test_github_copilot_consumption_is_apart_from_what_is_billed_and_shared_by_consumption(
    migrated: Database, project: int, tmp_path: Path
) -> None:
    done = load(project, written(tmp_path, ALICE, BOB))
    assert (done.recorded.added, done.ties[0].is_tied) == (2, True)
    by_user, answer = ask(migrated, project, "user")
    assert answer.totals.calls == 0
    assert answer.totals.list_cost == Decimal("17.9275")
    assert answer.totals.billed_cost == answer.totals.effective_cost == Decimal("4.8025")
    assert (by_user["alice"].billed_cost, by_user["bob"].billed_cost) == (Decimal(0), Decimal("4.8025"))
    # 4.8025 of 17.9275 consumed is billed; Alice consumed 6.125.
    share = by_user["alice"].effective_cost
    assert share is not None
    assert abs(share - Decimal("4.8025") * Decimal("6.125") / Decimal("17.9275")) <= Decimal("1e-15")
    for name, expected in (("cost_center", "CC-5200"), ("provider", "github"), ("tag:organization", "acme")):
        rows, whole = ask(migrated, project, name)
        assert rows[expected].effective_cost == whole.totals.effective_cost == Decimal("4.8025")
    by_bucket, _ = ask(migrated, project, "bucket")
    assert by_bucket["ai_credits"].billed_cost == Decimal("4.8025")


def test_importing_again_changes_nothing_and_a_later_report_replaces(
    migrated: Database, project: int, tmp_path: Path
) -> None:
    file = written(tmp_path, ALICE, BOB)
    load(project, file)
    again = load(project, file)
    assert (again.recorded.added, again.recorded.superseded, again.recorded.unchanged) == (0, 0, 2)
    assert charges(migrated, project) == (2, 2)
    # A day later: one more line, and the pool's discount of Bob was raised. Alice's share changes with the sums.
    carol = BOB.replace("2026-10-02,bob", "2026-10-03,carol")
    load(project, written(tmp_path, BOB.replace("7.00,4.8025", "8.00,3.8025"), carol, name="later.csv"))
    by_user, answer = ask(migrated, project, "user")
    assert answer.totals.billed_cost == answer.totals.effective_cost == Decimal("8.605")
    shares = [by_user[name].effective_cost for name in ("bob", "carol")]
    assert shares[0] is not None
    assert shares[1] is not None
    assert abs(shares[0] - shares[1]) <= Decimal("1e-15")
    assert charges(migrated, project) == (5, 3)


def test_rules_give_copilot_lines_a_team(migrated: Database, project: int, tmp_path: Path) -> None:
    load(project, written(tmp_path, ALICE, BOB))
    condition = Condition(dimension="user", match=Match.EQUALS, pattern="alice")
    rule = TagRule(rule_id=0, position=1, target="team", value="care", conditions=(condition,))
    with migrated.engine.begin() as connection:
        save_rule(connection, project, rule, "test")
    before = ask(migrated, project, "user")[0]["alice"].effective_cost
    moved = closing.apply_rules(project, actor="test")
    assert moved.calls == 0
    by_team, answer = ask(migrated, project, "team")
    assert by_team["care"].effective_cost == before
    assert answer.totals.effective_cost == Decimal("4.8025")
    again = load(project, written(tmp_path, ALICE, BOB))
    assert (again.recorded.added, again.recorded.unchanged) == (0, 2)


def test_focus_and_statement_hold_the_credits_and_pass_the_gate(
    migrated: Database, project: int, tmp_path: Path
) -> None:
    load(project, written(tmp_path, ALICE, BOB))
    with migrated.engine.connect() as connection:
        sums = pl.concat(daily_sums(connection, [project], OCTOBER))
    made = focus_rows(sums, OCTOBER, date(2026, 11, 1))
    assert made.left_out == 0
    assert conserved(sums, made.rows) == []
    rows = made.rows.sort("SkuId").to_dicts()
    assert [row["PricingQuantity"] for row in rows] == [Decimal("612.5"), Decimal("1180.25")]
    for row in rows:
        assert (row["PricingUnit"], row["ConsumedUnit"], row["ListUnitPrice"]) == (
            "Credits",
            "Credits",
            Decimal("0.01"),
        )
        assert row["ListCost"] == row["ListUnitPrice"] * row["PricingQuantity"]
        assert row["ServiceSubcategory"] == "Development Environments"
    assert sum(row["BilledCost"] for row in rows) == Decimal("4.8025")
    assert b"Credits" in focus_csv(made.rows)
    statement = StoreReader(migrated.engine).statement([project], OCTOBER)
    assert [(row.payer, row.other, row.calls) for row in statement.rows] == [("CC-5200", Decimal("4.8025"), 0)]
    assert statement.ledger_total == statement.total


def test_a_closed_month_takes_a_late_line_as_one_correction_at_its_own_net(
    migrated: Database, project: int, tmp_path: Path
) -> None:
    load(project, written(tmp_path, ALICE, BOB))
    with migrated.engine.connect() as connection:
        projects = [each for each in list_projects(connection) if each.id == project]
    closing.close(projects, OCTOBER, actor="test", force=True, reason="test")
    carol = BOB.replace("2026-10-02,bob", "2026-10-03,carol")
    both = written(tmp_path, ALICE, BOB, carol)
    late = load(project, both)
    assert (late.recorded.added, late.recorded.superseded) == (1, 0)
    again = load(project, both)
    assert (again.recorded.added, again.recorded.superseded) == (0, 0)
    with migrated.engine.connect() as connection:
        booked = connection.execute(
            text(
                "SELECT correction_part, call_count, effective_cost, usage_at FROM charges "
                "WHERE project_id = :id AND charge_class = 'correction' AND superseded_at IS NULL"
            ),
            {"id": project},
        ).one()
    assert tuple(booked) == ("late", 0, Decimal("4.8025"), datetime(2026, 10, 3, tzinfo=UTC))
    # A changed line is taken back and booked anew; what the ledger says in all is what the reports say.
    changed = written(tmp_path, ALICE, BOB.replace("7.00,4.8025", "8.00,3.8025"), carol, name="changed.csv")
    load(project, changed)
    load(project, changed)
    with migrated.engine.connect() as connection:
        total = connection.execute(
            text("SELECT sum(billed_cost) FROM charges WHERE project_id = :id AND superseded_at IS NULL"),
            {"id": project},
        ).scalar_one()
    assert total == Decimal("8.605")


def test_the_command_ties_credits_to_dollars_and_names_bad_lines(migrated: Database, tmp_path: Path) -> None:
    wiring.use(Wiring(Settings(auth="off"), migrated.url))
    file = written(tmp_path, ALICE, BOB.replace("1180.25", "lots"))
    done = CliRunner().invoke(build(), ["import", "copilot", str(file), "--project", "copilot cli", "--json"])
    wiring.use(None)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["lines"], told["new"]) == (1, 1)
    assert told["months"][0] | {"lines": 1} == {
        "period": "2026-10",
        "lines": 1,
        "credits": "612.5",
        "consumed": "6.125",
        "gross": "6.125",
        "discount": "6.125",
        "net": "0",
        "off_percent": "0",
        "tied": True,
    }
    assert told["rejections"][0]["position"] == f"{file}:3"
