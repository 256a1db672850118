"""Backup and restore with PostgreSQL's own tools: what went in comes out, and nothing is overwritten."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from app import dumps, migrate
from app.doctor import examine
from app.settings import Settings
from models.core.errors import BadInput
from models.store.audit import append_audit, first_broken_event
from models.store.engine import make_engine
from models.store.projects import ensure_project, list_projects


def test_a_backup_fills_an_empty_database_with_projects_and_an_unbroken_trail(
    migrated, empty_database_url: str, tmp_path: Path
) -> None:
    with migrated.engine.begin() as connection:
        ensure_project(connection, "payments")
        for n in range(3):
            append_audit(connection, actor="a", action="b", subject=str(n), at=datetime(2026, 1, 1, tzinfo=UTC))
    target = tmp_path / "jevons.dump"
    assert dumps.backup(migrated.url, target) == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert dumps.restore(empty_database_url, target) == migrate.head_revision()
    migrate.check(empty_database_url)
    engine = make_engine(empty_database_url)
    with engine.begin() as connection:
        assert [project.name for project in list_projects(connection)] == ["default", "payments"]
        assert first_broken_event(connection) is None
        # Sequences go on where they were.
        assert ensure_project(connection, "search").id > ensure_project(connection, "payments").id
    engine.dispose()


def test_a_restore_refuses_a_database_with_tables(migrated, tmp_path: Path) -> None:
    target = tmp_path / "jevons.dump"
    dumps.backup(migrated.url, target)
    with pytest.raises(BadInput, match="Nothing was changed"):
        dumps.restore(migrated.url, target)
    with pytest.raises(BadInput, match="overwrites nothing"):
        dumps.backup(migrated.url, target)


def test_the_doctor_finds_a_whole_instance_well_and_names_what_is_missing(
    migrated, empty_database_url: str, valkey_url: str, tmp_path: Path
) -> None:
    well = Settings(database_url=migrated.url, redis_url=valkey_url, data_dir=tmp_path)
    assert [(finding.name, finding.seen) for finding in examine(well) if not finding.is_ok] == []
    ill = Settings(database_url=empty_database_url, redis_url="redis://127.0.0.1:9/0", data_dir=tmp_path)
    wrong = {finding.name: finding.next_step for finding in examine(ill) if not finding.is_ok}
    assert wrong["migrations"] == "run `jevons migrate`"
    assert {"broker", "migrations"} <= set(wrong)
