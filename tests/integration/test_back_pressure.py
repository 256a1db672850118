"""The gate on a real queue: senders are held back while more comes than is worked off, and not once nobody works."""

import threading
import time
from collections.abc import Callable, Iterator

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from sqlalchemy import text

from app import otlp_grpc, wiring
from app.collector import Collector
from tests.conftest import Database
from tests.integration.test_otlp_away import address, application
from tests.integration.test_otlp_grpc import EXPORT
from tests.integration.test_otlp_http import PROTOBUF, count, traces

__all__ = ["address", "application"]

PATIENCE_SECONDS = 30.0
_MORE = text(
    "INSERT INTO dirty_traces (project_id, trace_id, spans) "
    "SELECT 1, decode(lpad(to_hex(:first + n), 32, '0'), 'hex'), 1 FROM generate_series(1, :count) n"
)
_FEWER = text(
    "DELETE FROM dirty_traces WHERE ctid = ANY (ARRAY(SELECT ctid FROM dirty_traces LIMIT :count FOR UPDATE))"
)


@pytest.fixture
def busy(migrated: Database) -> Iterator[threading.Event]:
    """Marks come four times as fast as they go, 20,000 wait already; the event ends the going."""
    over, is_still = threading.Event(), threading.Event()

    def work() -> None:
        number = 10**6
        while not over.wait(0.2):
            with migrated.engine.begin() as connection:
                connection.execute(_MORE, {"first": number, "count": 200})
            number += 200
            if not is_still.is_set():
                with migrated.engine.begin() as connection:
                    connection.execute(_FEWER, {"count": 50})

    with migrated.engine.begin() as connection:
        connection.execute(_MORE, {"first": 0, "count": 20_000})
    working = threading.Thread(target=work)
    working.start()
    yield is_still
    over.set()
    working.join()
    with migrated.engine.begin() as connection:
        connection.execute(text("DELETE FROM dirty_traces"))


def first(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """The first answer of a status."""
    began = time.monotonic()
    while (answer := ask()).status_code != status:
        assert time.monotonic() - began < PATIENCE_SECONDS, f"no {status} within {PATIENCE_SECONDS:.0f} s"
        time.sleep(0.05)
    return answer


def test_senders_are_held_back_while_more_comes_than_goes_and_not_once_nobody_works(
    address: str, migrated: Database, busy: threading.Event
) -> None:
    sent = iter(range(900, 10_000))

    def post() -> httpx.Response:
        body = traces(next(sent), 1).SerializeToString()
        return httpx.post(f"{address}/v1/traces", content=body, headers=PROTOBUF)

    refused = first(post, 503)
    assert refused.headers["retry-after"] == "2"
    assert "traces wait to be priced" in Status.FromString(refused.content).message
    assert count(migrated, next(sent) - 1) == 0
    busy.set()
    first(post, 200)
    # A standstill: from now on everything is stored, however much waits.
    time.sleep(6)
    assert {post().status_code for _ in range(40)} == {200}


def export_for_long(channel: grpc.Channel) -> None:
    """Send until it is refused, at most for a while."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_SECONDS:
        channel.unary_unary(EXPORT)(traces(20_000).SerializeToString())


def test_over_grpc_the_answer_names_the_time_to_come_back(
    address: str, migrated: Database, busy: threading.Event
) -> None:
    collector = Collector(wiring.current().engine)
    collector.start()
    server, port = otlp_grpc.start(collector, "127.0.0.1:0", max_body_bytes=100_000)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
            export_for_long(channel)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = RetryInfo()
        details = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
        assert Status.FromString(details).details[0].Unpack(retry)
        assert retry.retry_delay.seconds == 2
    finally:
        server.stop(1).wait()
        collector.stop()
