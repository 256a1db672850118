"""Hints to workers through a real broker: at most one of a kind waits, and small batches are given time to gather."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import cast

import pytest
import redis

from app import wiring
from app.hints import LOST_SECONDS, Hints
from app.settings import Settings
from app.tasks import derive as module
from app.tasks.derive import derive
from app.tasks.loop import MOST_REST_SECONDS
from app.wiring import Wiring
from tests.conftest import Database
from tests.integration.test_road import chat, send

QUEUE = "jevons:jevons"
DERIVE = "jevons:hinted:derive"


@pytest.fixture
def broker(migrated: Database, valkey_url: str) -> Iterator[redis.Redis]:
    """An empty broker, and a wiring that sends its hints there."""
    client = redis.Redis.from_url(valkey_url)
    client.flushdb()
    wiring.use(Wiring(Settings(auth="off"), migrated.url, valkey_url))
    yield client
    wiring.use(None)
    client.flushdb()
    client.close()


def waiting(broker: redis.Redis) -> Counter[str]:
    """Tasks in the queue of the workers, by name."""
    messages = cast(list[bytes], broker.lrange(QUEUE, 0, -1))
    return Counter(json.loads(message)["headers"]["task"] for message in messages)


def held_back_ms(broker: redis.Redis) -> int:
    """For how long no hint of `derive` is sent; negative: one would be sent now."""
    return cast(int, broker.pttl(DERIVE))


def test_a_flood_of_hints_is_one_of_each_kind(broker: redis.Redis) -> None:
    for _ in range(200):
        wiring.current().hint("derive")
        wiring.current().hint("deliver")
    assert waiting(broker) == {"derive": 1, "deliver": 1}


def test_a_hint_of_another_process_counts_as_well(broker: redis.Redis, valkey_url: str) -> None:
    others = Hints(valkey_url)
    others.send("derive")
    wiring.current().hint("derive")
    assert waiting(broker) == {"derive": 1}
    others.close()


def test_once_a_worker_has_begun_the_next_hint_is_sent(broker: redis.Redis) -> None:
    hints = Hints(wiring.current().broker_url or "")
    hints.send("derive")
    hints.heard("derive")
    hints.send("derive")
    hints.send("derive")
    assert waiting(broker) == {"derive": 2}
    hints.close()


def test_a_hint_that_nobody_heard_does_not_hold_the_next_one_back_for_long(broker: redis.Redis) -> None:
    wiring.current().hint("derive")
    assert 0 < held_back_ms(broker) <= LOST_SECONDS * 1000
    broker.delete(DERIVE)  # As if that time were over.
    wiring.current().hint("derive")
    assert waiting(broker) == {"derive": 2}


def test_a_broker_that_is_away_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    hints = Hints("redis://127.0.0.1:1/0")
    hints.send("derive")
    hints.heard("derive")
    hints.rest("derive", 1.0)
    hints.close()
    assert len(caplog.records) == 3
    assert "the sweeper will find the work" in caplog.text


def test_a_small_batch_lets_the_next_one_gather(broker: redis.Redis, migrated: Database) -> None:
    send(migrated.engine, [chat(trace, 1) for trace in (901, 902)])
    assert derive() == 2
    assert 0 < held_back_ms(broker) <= MOST_REST_SECONDS * 1000
    wiring.current().hint("derive")
    assert "derive" not in waiting(broker)


def test_a_batch_that_is_large_enough_does_not_rest(
    broker: redis.Redis, migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW_SPANS", 2)
    send(migrated.engine, [chat(903, 1), chat(903, 2)])
    assert derive() == 1
    assert not broker.exists(DERIVE)
    wiring.current().hint("derive")
    assert waiting(broker)["derive"] == 1


def test_nothing_to_do_holds_no_hint_back(broker: redis.Redis) -> None:
    assert derive() == 0
    assert not broker.exists(DERIVE)
