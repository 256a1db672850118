"""Real servers for tests: one PostgreSQL and one Valkey per session, one migrated database per module."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, make_url, text

from app import migrate
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from models.store.engine import APP_ROLE, OWNER_ROLE, make_engine
from tests.chromium import browser

__all__ = ["browser"]

# No test asserts a duration: how long an example takes says more about the neighbours than about the code.
settings.register_profile("jevons", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("jevons")

TEMPLATE = "jevons_template"


@dataclass(slots=True, frozen=True)
class Database:
    """A migrated database of its own: its address, and engines of both roles."""

    url: str
    engine: Engine
    owner_engine: Engine


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """A data directory that the servers' user can reach; pytest's own lies below a closed one."""
    folder = Path(tempfile.mkdtemp(prefix="jevons-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(servers_dir: Path) -> Iterator[str]:
    """Address of a real PostgreSQL, empty but for its `jevons` database."""
    server = Postgres(servers_dir, durable=False)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def valkey_url(servers_dir: Path) -> Iterator[str]:
    """Address of a real Valkey."""
    server = Valkey(servers_dir)
    server.start()
    yield server.url
    server.stop()


def in_database(url: str, name: str) -> str:
    """The same server, another database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def run_alone(url: str, statement: str) -> None:
    """One statement outside of a transaction, such as CREATE DATABASE."""
    engine = make_engine(url, role=None)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """Name of a database at the newest revision, to copy from."""
    run_alone(postgres_url, f"CREATE DATABASE {TEMPLATE}")
    migrate.upgrade(in_database(postgres_url, TEMPLATE))
    return TEMPLATE


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """Address of a database without tables, for tests of migrations."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    run_alone(postgres_url, f"CREATE DATABASE {name}")
    yield in_database(postgres_url, name)
    run_alone(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def migrated(postgres_url: str, migrated_template: str) -> Iterator[Database]:
    """A migrated database for the tests of one module, which see each other's rows."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    run_alone(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    url = in_database(postgres_url, name)
    engine, owner_engine = make_engine(url, role=APP_ROLE), make_engine(url, role=OWNER_ROLE)
    yield Database(url, engine, owner_engine)
    engine.dispose()
    owner_engine.dispose()
    run_alone(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def database(migrated: Database) -> Engine:
    """Engine of the module's database as `jevons_app`, the role everything but migrations uses."""
    return migrated.engine


@pytest.fixture(scope="module")
def owner_engine(migrated: Database) -> Engine:
    """Engine of the module's database as `jevons_owner`, the role of migrations."""
    return migrated.owner_engine
