"""OTLP while the database is away or too much waits: 503 or UNAVAILABLE, and when to come back. Never 500."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from sqlalchemy import make_url, text

from app import auth, errors, otlp_grpc, wiring
from app.collector import Collector, Receipt
from app.routes import otlp
from app.settings import Settings
from app.wiring import Wiring
from models.core.vocabulary import Signal
from models.store.projects import ensure_project
from tests.conftest import Database, run_alone
from tests.integration.test_otlp_grpc import EXPORT
from tests.integration.test_otlp_http import PROTOBUF, count, traces

QUEUE_BYTES = 100_000


@pytest.fixture(scope="module")
def application(migrated: Database) -> Iterator[FastAPI]:
    """The collector's HTTP side on the module's database."""
    wiring.use(Wiring(Settings(auth="off", max_queue_bytes=QUEUE_BYTES), migrated.url))
    made = FastAPI()
    errors.install(made)
    made.include_router(otlp.router)
    yield made
    wiring.use(None)


@pytest.fixture(scope="module")
def address(application: FastAPI) -> Iterator[str]:
    """Where it answers."""
    server = uvicorn.Server(uvicorn.Config(application, log_level="error", ws="none"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@contextmanager
def away(migrated: Database, postgres_url: str) -> Iterator[None]:
    """The database refuses connections and has ended those there were, as a restarting server does."""
    name = make_url(migrated.url).database
    run_alone(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    run_alone(postgres_url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    forget_senders()
    try:
        yield
    finally:
        run_alone(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def forget_senders() -> None:
    """Make the next request ask the database who sends."""
    auth.forget()
    otlp._projects.clear()


@pytest.mark.parametrize("is_sender_known", [True, False])
def test_a_database_that_is_away_is_told_with_when_to_come_back(
    address: str, migrated: Database, postgres_url: str, is_sender_known: bool
) -> None:
    trace = 501 + is_sender_known
    body = traces(trace, 3).SerializeToString()
    with away(migrated, postgres_url):
        if is_sender_known:
            otlp._projects[None, None, None, None] = (time.monotonic() + 60, 1)
        refused = [httpx.post(f"{address}/v1/traces", content=body, headers=PROTOBUF) for _ in range(3)]
    assert [answer.status_code for answer in refused] == [503] * 3
    assert {answer.headers["retry-after"] for answer in refused} == {"2"}
    assert "Send it again after 2 s" in (message := Status.FromString(refused[0].content).message) or (
        "Try again after 2 s" in message
    )
    # The very next attempt after its return is acknowledged.
    again = httpx.post(f"{address}/v1/traces", content=body, headers=PROTOBUF)
    assert again.status_code == 200
    assert count(migrated, trace) == 3


def test_every_sender_gets_through_once_the_database_is_back(
    address: str, migrated: Database, postgres_url: str
) -> None:
    bodies = {trace: traces(trace, 4).SerializeToString() for trace in range(600, 624)}

    def send(body: bytes) -> list[int]:
        seen: list[int] = []
        while not seen or seen[-1] != 200:
            assert len(seen) < 100
            seen.append(httpx.post(f"{address}/v1/traces", content=body, headers=PROTOBUF, timeout=10).status_code)
            time.sleep(0.05)
        return seen

    with ThreadPoolExecutor(8) as senders:
        with away(migrated, postgres_url):
            sending = [senders.submit(send, body) for body in bodies.values()]
            time.sleep(0.5)
        seen = {status for future in sending for status in future.result(20)}
    assert seen == {200, 503}
    assert {count(migrated, trace) for trace in bodies} == {4}


def test_too_much_waiting_is_told_with_when_to_come_back(
    application: FastAPI, address: str, migrated: Database
) -> None:
    collector: Collector = application.state.collector
    with collector.hold(1, QUEUE_BYTES - 10):
        refused = httpx.post(f"{address}/v1/traces", content=traces(701, 5).SerializeToString(), headers=PROTOBUF)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert f"of {QUEUE_BYTES} that may" in Status.FromString(refused.content).message
    assert count(migrated, 701) == 0
    assert collector.held_bytes == 0


def test_over_grpc_a_database_that_is_away_is_unavailable(
    application: FastAPI, migrated: Database, postgres_url: str
) -> None:
    collector = Collector(wiring.current().engine)
    collector.start()
    server, port = otlp_grpc.start(collector, "127.0.0.1:0", max_body_bytes=100_000)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            with away(migrated, postgres_url), pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(EXPORT)(traces(801).SerializeToString())
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            retry = RetryInfo()
            details = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
            assert Status.FromString(details).details[0].Unpack(retry)
            assert retry.retry_delay.seconds == 2
            channel.unary_unary(EXPORT)(traces(801).SerializeToString())
    finally:
        server.stop(1).wait()
        collector.stop()
    assert count(migrated, 801) == 1


def test_a_sender_that_hangs_up_costs_nobody_else_the_acknowledgement(
    application: FastAPI, address: str, migrated: Database
) -> None:
    collector: Collector = application.state.collector
    with migrated.engine.connect() as blocker:
        # Both committing threads wait for this lock, and what comes then waits in the queue.
        blocker.execute(text("lock table scopes in access exclusive mode"))
        collector.committer.forget()
        waiting: list[Future[Receipt]] = []
        for trace in (901, 902):
            waiting.append(collector.submit(traces(trace).SerializeToString(), "protobuf", Signal.TRACES, 1))
            time.sleep(0.3)
        gone = [collector.submit(traces(n).SerializeToString(), "protobuf", Signal.TRACES, 1) for n in (903, 904)]
        assert [future.cancel() for future in gone] == [True, True]
        blocker.rollback()
    assert [future.result(10).records for future in waiting] == [1, 1]
    for trace in (905, 906, 907):
        body = traces(trace).SerializeToString()
        assert httpx.post(f"{address}/v1/traces", content=body, headers=PROTOBUF).status_code == 200


def test_a_project_that_floods_does_not_hold_up_another_one(
    application: FastAPI, address: str, migrated: Database
) -> None:
    collector: Collector = application.state.collector
    with migrated.engine.begin() as connection:
        quiet = ensure_project(connection, "quiet").id
    ended: list[int] = []
    with migrated.engine.connect() as blocker:
        # Both committing threads wait for this lock with a body each, and the flood gathers behind them.
        blocker.execute(text("lock table scopes in access exclusive mode"))
        collector.committer.forget()
        waiting: list[Future[Receipt]] = []
        for number in range(40):
            body = traces(20_000 + number, 512).SerializeToString()
            waiting.append(collector.submit(body, "protobuf", Signal.TRACES, 1))
            waiting[-1].add_done_callback(lambda _: ended.append(1))
            time.sleep(0.3 if number < 2 else 0)
        waiting.append(collector.submit(traces(30_000).SerializeToString(), "protobuf", Signal.TRACES, quiet))
        waiting[-1].add_done_callback(lambda _: ended.append(quiet))
        blocker.rollback()
    assert sum(future.result(60).records for future in waiting) == 40 * 512 + 1
    # 38 bodies of 512 spans waited before it, of which a commit takes 16; two commits may be under way at once.
    assert ended.index(quiet) <= 2 + 2 * 16
