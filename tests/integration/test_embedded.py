"""The embedded servers: who they run as, what survives a kill, what a wrong directory says."""

import os
import pwd
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from app.bench.watch import anonymous_bytes
from app.embedded import postgres as embedded
from app.embedded.postgres import MAJOR, Postgres, buffers_mb, memory_mb
from app.embedded.process import EmbeddedServerError
from app.embedded.valkey import Valkey

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jevons-embedded-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(data_dir: Path) -> Iterator[Postgres]:
    server = Postgres(data_dir)
    server.start()
    yield server
    server.stop()


def connect(server: Postgres) -> psycopg.Connection:
    return psycopg.connect(server.url.replace("+psycopg", ""))


def shown(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return row[0]


def test_committed_rows_survive_a_killed_postmaster_and_the_address_stays(postgres: Postgres) -> None:
    url = postgres.url
    with connect(postgres) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        for n in range(200):
            connection.execute("INSERT INTO kept VALUES (%s)", (n,))
            connection.commit()
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    while postgres.poll() is None:
        time.sleep(0.01)
    postgres.start()
    assert postgres.url == url
    with connect(postgres) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (200,)


def test_the_cluster_is_durable_checked_and_closed_to_those_without_the_password(postgres: Postgres) -> None:
    with connect(postgres) as connection:
        expected = {"data_checksums": "on", "fsync": "on", "password_encryption": "scram-sha-256", "TimeZone": "UTC"}
        assert {name: shown(connection, name) for name in expected} == expected
        assert shown(connection, "listen_addresses") == "127.0.0.1"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=postgres.url.split(":")[-1].split("/")[0], user="jevons", password="no")
    assert stat.S_IMODE(postgres.address_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(postgres.home.stat().st_mode) == 0o700


def test_a_session_gives_back_what_a_large_answer_needed(postgres: Postgres) -> None:
    with connect(postgres) as connection:
        process = psutil.Process(connection.info.backend_pid)
        connection.execute("SET work_mem = '64MB'")
        before = anonymous_bytes(process)
        # Left to itself, the allocator kept almost 5 MB after this one.
        connection.execute(
            "SELECT count(*) FROM (SELECT DISTINCT md5(n::text) FROM generate_series(1, 300000) n) d"
        ).fetchall()
        assert anonymous_bytes(process) - before < 2 * 2**20


@as_root
def test_root_starts_servers_as_somebody_without_rights(postgres: Postgres) -> None:
    assert postgres.pid is not None
    user = psutil.Process(postgres.pid).username()
    assert user in ("jevons", "postgres", "nobody")
    assert postgres.cluster.stat().st_uid == pwd.getpwnam(user).pw_uid


@as_root
def test_ancestors_of_the_data_directory_are_not_opened_for_the_servers(data_dir: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=rf"cannot pass {data_dir} .*--data-dir"):
        Postgres(data_dir / "inside").start()
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_a_second_launcher_takes_over_the_server_that_runs(postgres: Postgres) -> None:
    other = Postgres(postgres.data_dir)
    other.start()
    assert other.pid == postgres.pid
    assert other.poll() is None


def test_a_pid_file_whose_number_belongs_to_a_stranger_does_not_stop_a_start(data_dir: Path) -> None:
    server = Postgres(data_dir, durable=False)
    server.start()
    pid_file = server.cluster / "postmaster.pid"
    left = pid_file.read_text()
    server.stop()
    pid_file.write_text("\n".join([str(os.getppid()), *left.splitlines()[1:]]) + "\n")
    server.start()
    with connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()


def test_a_directory_of_another_major_version_is_refused_with_the_way_over(data_dir: Path) -> None:
    server = Postgres(data_dir)
    server.cluster.mkdir(parents=True)
    (server.cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedServerError, match=rf"PostgreSQL 17, this release brings {MAJOR}.*backup"):
        server.start()


def test_what_the_broker_holds_survives_its_kill(data_dir: Path) -> None:
    server = Valkey(data_dir)
    server.start()
    client = redis.Redis.from_url(server.url)
    client.rpush("jobs", *range(100))
    time.sleep(1.2)  # The append-only file is synced once a second.
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.poll() is None:
        time.sleep(0.01)
    server.start()
    assert client.llen("jobs") == 100
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=int(server.url.rsplit(":", 1)[1].split("/")[0])).ping()
    client.close()
    server.stop()
    assert server.poll() == 1


@pytest.mark.parametrize(("memory", "buffers"), [(512, 128), (8_192, 512), (24_105, 1024), (256_000, 1024)])
def test_the_cache_of_the_server_follows_the_memory_of_the_machine(memory: int, buffers: int) -> None:
    assert buffers_mb(memory) == buffers


def test_a_container_has_the_memory_that_it_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(embedded, "MEMORY_LIMIT", limit)
    whole = memory_mb()
    assert whole == psutil.virtual_memory().total // 2**20
    limit.write_text("max\n")
    assert memory_mb() == whole
    limit.write_text(f"{64 * 2**20}\n")
    assert memory_mb() == 64
