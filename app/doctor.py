"""Checks of an instance, each with what is wrong and what to do."""

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from sqlalchemy import Engine, text

from app import migrate
from app.embedded.process import is_port_free
from app.runtime import addresses, running
from app.settings import Settings
from models.store.audit import first_broken_event
from models.store.engine import APP_ROLE, OWNER_ROLE, make_engine

LEAST_FREE_BYTES = 2 * 2**30
MOST_CLOCK_SECONDS = 2.0


@dataclass(slots=True, frozen=True)
class Finding:
    """One check: whether it is well, what was seen, and the next step where it is not."""

    name: str
    is_ok: bool
    seen: str
    next_step: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in order; a broken part does not hide those after it."""
    yield Finding("versions", True, f"jevons {version('jevons')}, Python {platform.python_version()}, {sys.platform}")
    yield _disk(settings)
    yield _instance(settings)
    yield _ports(settings)
    try:
        database, broker = addresses(settings)
    except Exception as missing:
        yield Finding("database", False, str(missing), "start an instance or set JEVONS_DATABASE_URL")
        return
    yield from _database(database)
    yield _guarded("broker", lambda: _broker(broker))


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as fault:
        reason = str(getattr(fault, "orig", fault)).strip().splitlines() or [type(fault).__name__]
        return Finding(name, False, reason[0], "see docs/operations.md")


def _disk(settings: Settings) -> Finding:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    seen = f"{free / 2**30:.1f} GiB free at {folder}"
    return Finding("disk", free >= LEAST_FREE_BYTES, seen, "free some space or move --data-dir")


def _instance(settings: Settings) -> Finding:
    import httpx

    found = running(settings.data_dir)
    if found is None:
        return Finding("instance", True, f"none is running on {settings.data_dir}")
    try:
        answer = httpx.get(f"{found.base_url}/readyz", timeout=5)
    except httpx.HTTPError as fault:
        return Finding(
            "instance", False, f"pid {found.pid} does not answer: {fault}", "look at the logs in its directory"
        )
    return Finding(
        "instance", answer.status_code == 200, f"pid {found.pid}, {found.base_url}: {answer.text}", "see below"
    )


def _ports(settings: Settings) -> Finding:
    """Whether the ports are ours to take; those of a running instance are taken by itself."""
    wanted = {"--port": settings.port, "--grpc-port": settings.grpc_port}
    if running(settings.data_dir) is not None:
        return Finding("ports", True, "held by the running instance")
    taken = [f"{option} {port}" for option, port in wanted.items() if not is_port_free(port, settings.host)]
    seen = f"taken: {', '.join(taken)}" if taken else f"{', '.join(map(str, wanted.values()))} are free"
    return Finding("ports", not taken, seen, "stop what listens there, or choose others with --port and --grpc-port")


def _database(url: str) -> Iterator[Finding]:
    login, app = make_engine(url, role=None, pool_size=1), make_engine(url, role=APP_ROLE, pool_size=1)
    owner = make_engine(url, role=OWNER_ROLE, pool_size=1)
    try:
        reached = _guarded("database", lambda: _server(login))
        yield reached
        if not reached.is_ok:
            return
        yield _guarded("clock", lambda: _clock(login))
        yield _guarded("roles", lambda: _roles(app, owner))
        yield _guarded("migrations", lambda: _migrations(app))
        yield _guarded("partitions", lambda: _partitions(app))
        yield _guarded("audit", lambda: _audit(app))
    finally:
        for engine in (login, app, owner):
            engine.dispose()


def _server(engine: Engine) -> Finding:
    with engine.connect() as connection:
        found = connection.execute(text("SHOW server_version")).scalar_one()
    return Finding(
        "database", int(found.split(".")[0]) >= 16, f"PostgreSQL {found}", "PostgreSQL 16 or later is needed"
    )


def _clock(engine: Engine) -> Finding:
    with engine.connect() as connection:
        theirs = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    gap = abs((datetime.now(UTC) - theirs).total_seconds())
    return Finding("clock", gap <= MOST_CLOCK_SECONDS, f"{gap:.2f} s from the database's", "synchronise both clocks")


def _roles(*engines: Engine) -> Finding:
    names: list[str] = []
    for engine in engines:
        with engine.connect() as connection:
            names.append(connection.execute(text("SELECT current_user")).scalar_one())
    return Finding("roles", names == [APP_ROLE, OWNER_ROLE], " and ".join(names), "run `jevons migrate`")


def _migrations(engine: Engine) -> Finding:
    with engine.connect() as connection:
        at, head = migrate.current_revision(connection), migrate.head_revision()
    return Finding("migrations", at == head, f"at {at}, this release brings {head}", "run `jevons migrate`")


def _partitions(engine: Engine) -> Finding:
    """Each partitioned table with the number of its partitions; a table without one can take no row."""
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT c.relname, count(i.inhrelid) FROM pg_partitioned_table p "
                "JOIN pg_class c ON c.oid = p.partrelid "
                "LEFT JOIN pg_inherits i ON i.inhparent = c.oid GROUP BY c.relname ORDER BY c.relname"
            )
        ).all()
        today = connection.execute(
            text("SELECT to_regclass('spans_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL")
        ).scalar_one()
    seen = ", ".join(f"{name}: {count}" for name, count in found) or "no partitioned table"
    if not today and any(name == "span_blocks" and count for name, count in found):
        seen += "; none for today's spans yet, the first of them makes it"
    return Finding("partitions", bool(found), seen, "run `jevons migrate`")


def _audit(engine: Engine) -> Finding:
    with engine.connect() as connection:
        broken = first_broken_event(connection)
    seen = "the chain is whole" if broken is None else f"event {broken} does not follow from the one before"
    return Finding("audit", broken is None, seen, "somebody changed the trail: compare with a backup")


def _broker(url: str | None) -> Finding:
    import redis

    if url is None:
        return Finding("broker", False, "no address", "set JEVONS_REDIS_URL")
    client = redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3)
    try:
        told = client.info()
    finally:
        client.close()
    policy = str(told.get("maxmemory_policy"))
    version_told = told.get("valkey_version") or told.get("redis_version")
    return Finding(
        "broker", policy == "noeviction", f"{version_told}, maxmemory-policy {policy}", "set it to noeviction"
    )
