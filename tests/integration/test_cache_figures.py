"""Cache figures: money of the whole period as its charges add up, rates and waste of the newest calls."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app.tasks.rollup import rollup_batch
from dashboards.pages import cache as page
from models.core.errors import BadInput
from models.core.queries import CostQuery
from models.core.telemetry import Call, TokenCounts
from models.core.vocabulary import CACHE_WRITE_BUCKETS, INPUT_BUCKETS, UsageSource
from models.costs.cache_report import CacheReport
from models.store import cache_calls
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from models.store.unit_sums import merge_units
from tests.ledger_builders import END, START, make_call, settle

DAY = datetime(2026, 10, 30, tzinfo=UTC)
CUT = (DAY + timedelta(hours=5, minutes=7), DAY + timedelta(days=2, hours=1, minutes=50))
PERIODS = [(START, END), CUT, (DAY + timedelta(hours=7, minutes=10), DAY + timedelta(hours=7, minutes=50))]
FILTERS: dict[tuple[tuple[str, str | None], ...], str] = {
    (): "true",
    (("agent", "one"),): "a.agent = 'one'",
    (("agent", "one"), ("agent", None)): "(a.agent = 'one' OR a.agent IS NULL)",
    (("session", "session 1"),): "u.session = 'session 1'",
    (("session", None), ("model", "claude-sonnet-4-5")): "u.session IS NULL AND a.model = 'claude-sonnet-4-5'",
    (("tag:feature", "a"),): "u.tags ->> 'feature' = 'a'",
    (("project", "nowhere"),): "false",
}
INPUT = [bucket.value for bucket in INPUT_BUCKETS]
WRITES = [bucket.value for bucket in CACHE_WRITE_BUCKETS]


def random_calls(chance: random.Random, numbers: Sequence[int]) -> list[Call]:
    """Calls of three days: some read and write, some do not tell reads, some have no price, some no tokens."""
    made: list[Call] = []
    for number in numbers:
        tells = chance.random() < 0.7
        tokens = TokenCounts(
            input=chance.randrange(5000),
            cache_read=chance.randrange(900) if tells else None,
            cache_write_5m=chance.choice([None, 0, chance.randrange(700)]) if tells else None,
            cache_write_1h=chance.choice([None, chance.randrange(300)]) if tells else None,
            output=chance.randrange(90),
        )
        silent = chance.random() < 0.1
        made.append(
            make_call(
                number,
                number,
                DAY + timedelta(minutes=chance.randrange(72 * 60), microseconds=number),
                TokenCounts() if silent else tokens,
                agent=chance.choice([None, "one", "other"]),
                session=chance.choice([None, "session 1", "session 2"]),
                tags={"feature": chance.choice(["a", "b"])},
                model=chance.choice(["claude-sonnet-4-5", "claude-haiku-4-5", "no-such-model"]),
                usage_source=UsageSource.ABSENT if silent else UsageSource.REPORTED,
            )
        )
    return made


def charged(engine: Engine, project: int, start: datetime, end: datetime, where: str) -> list[Any]:
    """The live charges of a period, their tokens and their priced lines."""
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    f"SELECT a.agent, a.model, c.price_status, {', '.join(f'c.{name}' for name in INPUT)}, "
                    "c.line_buckets, c.line_list_costs, c.line_billed_costs, c.line_effective_costs, "
                    "c.line_uncached_costs FROM charges c JOIN work_units u USING (project_id, unit_id) "
                    "JOIN attributions a USING (project_id, attribution_id) WHERE c.project_id = :project "
                    f"AND c.superseded_at IS NULL AND c.end_at >= :start AND c.end_at < :end AND {where}"
                ),
                {"project": project, "start": start, "end": end},
            )
        )


def money(charges: Sequence[Any]) -> tuple[Any, ...]:
    """Cost, cost without a cache, savings, premium and tokens written, added up line by line."""
    lines = [
        line
        for row in charges
        if row.price_status == "priced"
        for effective in [row.line_effective_costs or row.line_billed_costs or row.line_list_costs]
        for line in zip(row.line_buckets, effective, row.line_uncached_costs or effective, strict=True)
        if line[0] in INPUT
    ]
    written = sum(getattr(row, name) or 0 for row in charges for name in WRITES)
    if not lines:
        return None, None, None, None, written
    cost, without = sum(line[1] for line in lines), sum(line[2] for line in lines)
    premium = sum(line[1] - line[2] for line in lines if line[0] in WRITES)
    has_write = any(line[0] in WRITES for line in lines)
    return cost, without, without - cost, premium if has_write else None, written


def told(row: Any) -> tuple[Any, ...]:
    return row.cost, row.without_cache, row.savings, row.write_premium, row.written_tokens


@pytest.mark.parametrize("seed", range(3))
def test_money_is_what_the_charges_add_up_to(database: Engine, seed: int) -> None:
    chance = random.Random(seed)
    with database.begin() as connection:
        project = ensure_project(connection, f"money of seed {seed}").id
    reader = StoreReader(database)
    for step in range(2):
        numbers = chance.sample(range(1, 200), 120)
        settle(database, project, numbers, random_calls(chance, numbers[: 120 - 20 * step]))
        with database.begin() as connection:
            merge_units(connection, chance.choice([3, 1000]))
            if step:
                rollup_batch(connection, 1000)
        for start, end in PERIODS:
            for filters, where in FILTERS.items():
                question = CostQuery(projects=(project,), start=start, end=end, filters=filters)
                report = reader.cache(question)
                charges = charged(database, project, start, end, where)
                assert told(report.total) == money(charges), (filters, start, step)
                if report.total.savings is not None:
                    assert report.total.savings == reader.costs(question).totals.cache_savings
                for row in report.rows:
                    of_row = [each for each in charges if (each.agent, each.model) == (row.agent, row.model)]
                    assert told(row) == money(of_row)
                    assert row.calls == len(of_row)
                assert report.is_whole
                assert report.total.seen_calls == sum(row.seen_calls for row in report.rows)


def day_of_calls(number: int) -> list[Call]:
    """A call every ten minutes: each writes 100 tokens again, the first half of all by an agent that then stops."""
    return [
        make_call(
            at + 1,
            at + 1,
            DAY + timedelta(minutes=10 * at),
            TokenCounts(input=10, cache_read=0, cache_write_5m=100, output=1),
            agent="early" if at < number // 2 else "late",
            session="one" if at < number // 2 else "other",
        )
        for at in range(number)
    ]


def words(component: Any) -> str:
    return str(component.to_plotly_json()) if hasattr(component, "to_plotly_json") else str(component)


def test_money_is_whole_where_only_the_newest_calls_are_looked_at(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        project = ensure_project(connection, "more than is looked at").id
    settle(database, project, range(1, 21), day_of_calls(20))
    question = CostQuery(projects=(project,), start=START, end=END)
    reader = StoreReader(database)
    whole = reader.cache(question)
    monkeypatch.setattr(cache_calls, "MOST_CALLS", 4)
    newest = reader.cache(question)
    assert (whole.is_whole, newest.is_whole) == (True, False)
    assert told(newest.total) == told(whole.total)
    assert [told(row) for row in newest.rows] == [told(row) for row in whole.rows]
    assert (newest.total.calls, newest.total.seen_calls, newest.total.seen_written_tokens) == (20, 4, 400)
    # Of the four newest the first has nothing before it; each of the others writes again what a pause lost.
    assert (newest.total.rewritten_tokens, newest.total.never_read_tokens) == (300, 400)
    assert newest.total.rewrites_within_hour == pytest.approx(0.75)
    early, late = sorted(newest.rows, key=lambda row: row.agent or "")
    assert (early.seen_calls, early.read_of_input, early.never_read_tokens) == (0, None, None)
    assert (early.calls, early.written_tokens, late.seen_calls) == (10, 1000, 4)
    # 400 tokens at 3.75 USD per million.
    assert late.never_read_cost == Decimal("0.0015")
    # Nobody read, so what a read costs is not known.
    assert late.lost_to_expiry is None


def test_the_page_says_which_figures_are_of_the_newest_calls(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.begin() as connection:
        project = ensure_project(connection, "said on the page").id
    settle(database, project, range(1, 21), day_of_calls(20))

    def said(report: CacheReport) -> str:
        monkeypatch.setattr(page, "places", lambda *_: {})
        monkeypatch.setattr(page.dcc, "Link", lambda *_, **__: "link")

        class Silent:
            theme, project = "light", None

            def with_filter(self, *_: Any, **__: Any) -> str:
                return "/calls"

        view: Any = Silent()
        shown = [page._rates(view, report), page._waste(view, report), page._break_even(report)]
        return " ".join(map(words, shown))

    reader = StoreReader(database)
    question = CostQuery(projects=(project,), start=START, end=END)
    assert "newest" not in said(reader.cache(question))
    monkeypatch.setattr(cache_calls, "MOST_CALLS", 4)
    text_of_page = said(reader.cache(question))
    assert "Hit rates are those of the newest 4 calls" in text_of_page
    assert "Never read and lost to expiry are of the newest 4 calls" in text_of_page


def test_hit_rates_by_hand_leave_out_calls_that_do_not_tell(database: Engine) -> None:
    with database.begin() as connection:
        project = ensure_project(connection, "rates by hand").id
    told_counts = [
        ("one", TokenCounts(input=50, cache_read=150, cache_write_5m=100, output=1)),
        ("one", TokenCounts(input=100, cache_read=0, output=1)),
        # Neither tells cache reads: their input counts nowhere in a rate.
        ("one", TokenCounts(input=7000, output=1)),
        ("silent", TokenCounts(input=900, output=1)),
    ]
    made = [
        make_call(at, at, DAY + timedelta(minutes=at), tokens, agent=agent)
        for at, (agent, tokens) in enumerate(told_counts, 1)
    ]
    settle(database, project, range(1, 5), made)
    report = StoreReader(database).cache(CostQuery(projects=(project,), start=START, end=END))
    rows = {row.agent: row for row in report.rows}
    assert (rows["one"].seen_calls, rows["one"].reporting_calls) == (3, 2)
    for row in (rows["one"], report.total):
        assert row.read_of_input == pytest.approx(150 / 400)
        assert row.read_of_cached == pytest.approx(150 / 250)
        assert row.read_of_readable == pytest.approx(150 / 300)
    assert (rows["silent"].reporting_calls, rows["silent"].read_of_input) == (0, None)
    assert (report.total.calls, report.total.seen_calls, report.total.reporting_calls) == (4, 4, 2)


def test_calls_of_several_projects_are_looked_at_by_time(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.begin() as connection:
        projects = tuple(ensure_project(connection, f"together {name}").id for name in ("one", "other"))
    made = day_of_calls(10)
    for project, calls in zip(projects, (made[::2], made[1::2]), strict=True):
        settle(database, project, [int.from_bytes(call.trace_id, "big") for call in calls], calls)
    monkeypatch.setattr(cache_calls, "MOST_CALLS", 5)
    reader = StoreReader(database)
    together = reader.cache(CostQuery(projects=projects, start=START, end=END))
    assert [
        (row.agent, row.calls, row.seen_calls) for row in sorted(together.rows, key=lambda row: row.agent or "")
    ] == [
        ("early", 5, 0),
        ("late", 5, 5),
    ]
    only = reader.cache(CostQuery(projects=projects, start=START, end=END, filters=(("project", "together one"),)))
    assert (only.total.calls, only.total.seen_calls, only.is_whole) == (5, 5, True)


def test_buckets_are_no_filter(database: Engine) -> None:
    question = CostQuery(projects=(1,), start=START, end=END, filters=(("bucket", "input"),))
    with pytest.raises(BadInput, match="bucket"):
        StoreReader(database).cache(question)
