"""The month that `jevons bench` asks its questions about: its sums are its charges, also where it grew."""

from sqlalchemy import Engine, text

from app.bench import made_ledger
from models.core.queries import CostQuery
from models.store.projects import ensure_project
from models.store.reader import StoreReader
from tests.conftest import Database


def test_a_month_that_grew_has_every_call_once(migrated: Database, database: Engine) -> None:
    with database.begin() as connection:
        project_id = ensure_project(connection, "default").id
    made_ledger.fill(migrated.url, 500)
    made_ledger.fill(migrated.url, 2_000, already=500)
    asked = CostQuery(
        projects=(project_id,), start=made_ledger.START, end=made_ledger.END, group_by=("team",), limit=100
    )
    answer = StoreReader(database).costs(asked)
    with database.connect() as connection:
        calls, charged = connection.execute(
            text("SELECT (SELECT count(*) FROM calls), (SELECT sum(effective_cost) FROM charges)")
        ).one()
    assert calls == 2_000
    assert charged > 0
    assert sum(row.effective_cost for row in answer.rows if row.effective_cost is not None) == charged
    assert [row.effective_cost for row in answer.rows].count(None) == 0
    assert [row.calls for row in answer.rows].count(None) == 0
    assert sum(row.calls for row in answer.rows if row.calls is not None) == 2_000
