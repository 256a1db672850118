"""Migrations against a real PostgreSQL: up, down, up again, concurrently, and no drift."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from app import migrate
from models.store.audit import append_audit, first_broken_event
from models.store.engine import make_engine
from models.store.projects import ensure_project, list_projects
from tests.integration.test_span_store import NOON, loaded, span, stored

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_an_empty_database_comes_to_the_newest_revision_and_matches_the_tables(empty_database_url: str) -> None:
    assert migrate.upgrade(empty_database_url) == migrate.head_revision()
    migrate.check(empty_database_url)


def test_every_migration_can_be_undone_and_done_again(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    while migrate.downgrade(empty_database_url, "-1") is not None:
        pass
    assert migrate.upgrade(empty_database_url) == migrate.head_revision()
    migrate.check(empty_database_url)


def test_stored_spans_outlive_the_way_from_blocks_to_single_rows_and_back(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    spans = [
        span(number % 2 + 1, number + 1, end_ns=NOON + number % 3 * 86_400_000_000_000, **facts)
        for number in range(70)
        for facts in [
            {"status_message": "no", "events": ({"name": "e", "time_ns": 5, "attributes": {"a": 1}},)}
            if number % 7 == 0
            else {"parent_span_id": bytes(7) + b"p", "scope_version": str(number % 4)}
        ]
    ]
    engine = make_engine(empty_database_url)
    try:
        stored(engine, 1, spans)
        before = loaded(engine, 1, [1, 2])
        migrate.downgrade(empty_database_url, "0008_large_traces")
        with engine.connect() as connection:
            assert connection.execute(text("select count(distinct digest) from spans")).scalar_one() == len(spans)
        migrate.upgrade(empty_database_url)
        assert loaded(engine, 1, [1, 2]) == before
        assert stored(engine, 1, [*spans, span(1, 1)]).duplicates == len(spans)
    finally:
        engine.dispose()


def test_migrators_that_start_together_all_succeed(empty_database_url: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        reached = list(pool.map(migrate.upgrade, [empty_database_url] * 3))
    assert reached == [migrate.head_revision()] * 3


def test_a_database_of_a_newer_release_is_refused_with_its_revision(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    owner = make_engine(empty_database_url, role="jevons_owner")
    with owner.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    owner.dispose()
    with pytest.raises(migrate.MigrationFailed, match="9999_future"):
        migrate.upgrade(empty_database_url)


def test_the_default_project_is_number_one_and_a_name_makes_one_project(database: Engine) -> None:
    with database.begin() as connection:
        first, again = ensure_project(connection, "demo", is_demo=True), ensure_project(connection, "demo")
        assert first == again
        assert [(p.id, p.name) for p in list_projects(connection)] == [(1, "default"), (first.id, "demo")]
        assert first.is_demo


def test_the_application_runs_without_the_rights_of_the_owner(database: Engine) -> None:
    with database.connect() as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one() == "jevons_app"
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
            connection.execute(text("DROP TABLE projects"))


def test_the_audit_trail_is_a_chain_and_tells_where_it_was_broken(migrated) -> None:
    with migrated.engine.begin() as connection:
        for amount in ("100.00", "250.50"):
            append_audit(
                connection,
                actor="user:ada",
                action="budget.set",
                subject="team:payments",
                at=AT,
                after={"amount": Decimal(amount), "from": AT, "share": 0.1},
                reason="a new quarter",
            )
    with migrated.engine.connect() as connection:
        assert first_broken_event(connection) is None
        last = connection.execute(text("SELECT max(id) FROM audit_events")).scalar_one()
    with migrated.owner_engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_events DISABLE TRIGGER refuse_update"))
        connection.execute(text("UPDATE audit_events SET actor = 'user:eve' WHERE id = :id"), {"id": last})
        connection.execute(text("ALTER TABLE audit_events ENABLE TRIGGER refuse_update"))
    with migrated.engine.connect() as connection:
        assert first_broken_event(connection) == last


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"]
)
def test_not_even_the_owner_changes_the_audit_trail_by_dml(owner_engine: Engine, statement: str) -> None:
    with owner_engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text(statement))


def test_new_partitions_leave_the_same_columns_out_of_their_statistics(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    engine = make_engine(empty_database_url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT ledger_month('2031-05-01'), ensure_span_partitions('{2031-05-07}')"))
            left_out = {
                table: set(names)
                for table, names in connection.execute(
                    text(
                        "SELECT attrelid::regclass::text, array_agg(attname::text) FROM pg_attribute "
                        "WHERE attstattarget = 0 AND attnum > 0 GROUP BY 1"
                    )
                )
            }
    finally:
        engine.dispose()
    assert {"line_list_costs", "digest", "input"} <= left_out["charges"]
    assert not {"project_id", "end_at", "superseded_at", "price_status"} & left_out["charges"]
    assert left_out["charges_2031_05"] == left_out["charges"]
    assert left_out["calls_2031_05"] == left_out["calls"] >= {"provenance", "digest", "reported_cost"}
    assert left_out["spans_20310507"] == left_out["span_blocks"] >= {"body", "span_ids"}
