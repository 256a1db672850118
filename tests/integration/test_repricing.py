"""Pricing again: a dry run tells exactly what doing it in earnest then does, and writes nothing."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app import wiring
from app.price_changes import add_own_rates
from app.settings import Settings
from app.tasks.price_again import Repriced
from app.tasks.repricing import reprice
from app.wiring import Wiring
from models.core.telemetry import Call, Derivation, TokenCounts
from models.core.vocabulary import CallStatus
from models.prices.books import own_rate
from models.store import repriced
from models.store.calls import replace_calls
from models.store.projects import ensure_project
from tests.conftest import Database
from tests.ledger_builders import make_call, settle

PERIOD = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
SONNET = {"provider": "anthropic", "model": "claude-sonnet-4-5"}
DEEPSEEK = {"provider": "deepseek", "model": "deepseek-chat"}
MODELS = (SONNET, DEEPSEEK, {"provider": "google", "model": "gemini-2.5-pro"}, {"provider": "a", "model": "of its own"})
CHANGES: dict[str, Sequence[dict[str, Any]]] = {
    "nothing": (),
    "a contract": ({**SONNET, "bucket": "output", "price_per_m": "10", "kind": "contract"},),
    "a price from a moment within an hour": (
        {**SONNET, "bucket": "input", "price_per_m": "2", "valid_from": "2026-10-17T07:13:11Z"},
    ),
    "input dearer by what output gets cheaper": (
        {**SONNET, "bucket": "input", "price_per_m": "4"},
        {**SONNET, "bucket": "output", "price_per_m": "14"},
    ),
    "a price for what had none": (
        {"provider": "a", "model": "of its own", "bucket": "input", "price_per_m": "1"},
        {"provider": "a", "model": "of its own", "bucket": "output", "price_per_m": "0"},
    ),
    "a band of the total input": ({**SONNET, "bucket": "output", "price_per_m": "30", "context_from": "1001"},),
    "a time of day that passes midnight": (
        {**DEEPSEEK, "bucket": "input", "price_per_m": "0.01", "daily_start": "22:15", "daily_end": "03:40"},
    ),
    "audio apart from its bucket": ({**SONNET, "bucket": "input_audio", "price_per_m": "7"},),
    "a fee per request": ({**SONNET, "bucket": "requests", "price_per_m": "1000"},),
    "fresh input alone, which cached tokens are compared with": (
        {**SONNET, "bucket": "input", "price_per_m": "5", "valid_from": "2026-10-09"},
    ),
    "another tier": ({**SONNET, "bucket": "input", "price_per_m": "9", "tier": "priority"},),
}


@pytest.fixture(scope="module", autouse=True)
def parts(migrated: Database) -> Iterator[None]:
    wiring.use(Wiring(Settings(auth="off"), migrated.url))
    yield
    wiring.use(None)


def made(number: int, draw: random.Random) -> Call:
    """A call like many others, or not."""
    tokens = TokenCounts(
        input=draw.choice([None, 0, 500, 1_000, 250_000]),
        cache_read=draw.choice([None, 0, 2_000]),
        cache_write_5m=draw.choice([None, None, None, 300]),
        cache_write_unknown=draw.choice([None, None, None, 20]),
        output=draw.choice([None, 0, 500, 1_000]),
        reasoning=draw.choice([None, None, 40]),
    )
    if draw.random() < 0.5:
        tokens = TokenCounts(input=draw.choice([1_000, 1_001]), cache_read=2_000, output=500)
    facts: dict[str, Any] = {**draw.choice(MODELS)}
    if draw.random() < 0.1:
        facts["details"] = {"input_audio": 100, "cache_read_audio": 0, "prompt_system": 3}
    if draw.random() < 0.2:
        facts["service_tier"] = draw.choice(["standard", "priority", "no such tier"])
    if draw.random() < 0.1:
        facts |= {"status": CallStatus.ERROR, "region": "eu"}
    if draw.random() < 0.05:
        facts["provider"] = None
    if draw.random() < 0.02:
        tokens = TokenCounts(input=-5, output=500)
    at = PERIOD[0] + timedelta(seconds=draw.randrange(61 * 86_400))
    return make_call(number, 1, at, tokens, **facts)


def kept(engine: Engine, project: int) -> Sequence[Any]:
    with engine.connect() as connection:
        statement = "SELECT charge_id, superseded_at FROM charges WHERE project_id = :project ORDER BY 1"
        return connection.execute(text(statement), {"project": project}).all()


@pytest.fixture
def project(database: Engine, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A project with 600 calls over two months, looked through in several slices."""
    monkeypatch.setattr(repriced, "SLICE_CALLS", 150)
    with database.begin() as connection:
        made_now = ensure_project(connection, request.node.name[:60]).id
    draw = random.Random(7)
    settle(database, made_now, range(1, 601), [made(number, draw) for number in range(1, 601)])
    return made_now


@pytest.mark.parametrize("change", CHANGES)
def test_a_dry_run_tells_what_pricing_again_then_does(database: Engine, project: int, change: str) -> None:
    rates = [own_rate({"valid_from": "2026-01-01", **fields}) for fields in CHANGES[change]]
    with wiring.transaction() as connection:
        add_own_rates(connection, project, rates, "local")
    before = kept(database, project)
    dry = reprice(project, *PERIOD, actor="local", dry_run=True)
    assert kept(database, project) == before
    done = reprice(project, *PERIOD, actor="local", dry_run=False)
    assert dry == done
    assert dry.calls == 600
    assert bool(dry.changed) == bool(rates)
    assert reprice(project, *PERIOD, actor="local", dry_run=True) == Repriced(calls=600)


def test_a_line_that_changes_counts_though_the_total_does_not(database: Engine) -> None:
    with database.begin() as connection:
        alone = ensure_project(connection, "as much of the one as of the other").id
    tokens = TokenCounts(input=1_000, output=1_000)
    settle(database, alone, [1, 2], [make_call(1, 1, PERIOD[0], tokens), make_call(2, 1, PERIOD[0], tokens)])
    swapped = CHANGES["input dearer by what output gets cheaper"]
    with wiring.transaction() as connection:
        add_own_rates(connection, alone, [own_rate({"valid_from": "2026-01-01", **each}) for each in swapped], "local")
    assert reprice(alone, *PERIOD, actor="local", dry_run=True) == Repriced(calls=2, changed=2, change=Decimal(0))


def test_calls_that_wait_for_their_charge_or_read_differently_are_changes(database: Engine, project: int) -> None:
    new = make_call(601, 1, PERIOD[0], TokenCounts(input=1_000_000), **SONNET)
    other = make_call(5, 1, PERIOD[1] - timedelta(seconds=1), TokenCounts(input=2_000_000), **SONNET)
    with database.begin() as connection:
        replaced = replace_calls(
            connection, project, [each.trace_id for each in (new, other)], Derivation(calls=[new, other])
        )
    assert replaced.changed.height == 2
    dry = reprice(project, *PERIOD, actor="local", dry_run=True)
    assert (dry.calls, dry.changed) == (601, 2)
    assert reprice(project, *PERIOD, actor="local", dry_run=False) == dry
