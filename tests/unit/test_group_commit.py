"""Group commit: a few rows gather while a commit runs, many do not wait for it."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from app.bench.payloads import filled, templates
from app.collector import ROWS_BESIDE, Collector
from app.intake_queue import Submission
from models.core.vocabulary import Signal
from models.store.telemetry import StoreOutcome


class HeldCommitter:
    """Stores nothing; each commit waits until it is let go."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.go = threading.Semaphore(0)

    def store(self, taken: list[Submission]) -> StoreOutcome:
        spans = sum(submission.spans.count for submission in taken)
        self.commits.append(spans)
        assert self.go.acquire(timeout=10)
        return StoreOutcome(stored=spans)

    def hang_up(self) -> None:
        pass


@pytest.fixture
def committer(monkeypatch: pytest.MonkeyPatch) -> HeldCommitter:
    monkeypatch.setattr("app.collector.redaction_key", lambda _connection: b"k" * 32)
    return HeldCommitter()


@pytest.fixture
def collector(committer: HeldCommitter) -> Iterator[Collector]:
    made = Collector(create_engine("sqlite://"))
    made.committer = committer  # type: ignore[assignment]
    made.start()
    yield made
    committer.go.release(100)
    made.stop()


def submit(collector: Collector, spans: int, number: int) -> None:
    collector.submit(filled(templates(1, spans)[0].body, number), "protobuf", Signal.TRACES, 1)


def wait_for(committer: HeldCommitter, commits: int) -> None:
    until = time.monotonic() + 10
    while len(committer.commits) < commits and time.monotonic() < until:
        time.sleep(0.005)
    assert len(committer.commits) == commits


def test_a_few_spans_gather_while_a_commit_runs(collector: Collector, committer: HeldCommitter) -> None:
    submit(collector, 1, 0)
    wait_for(committer, 1)
    few = ROWS_BESIDE - 2
    for number in range(1, few + 1):
        submit(collector, 1, number)
    time.sleep(0.1)
    assert committer.commits == [1]
    committer.go.release()
    wait_for(committer, 2)
    assert committer.commits == [1, few]


def test_many_spans_do_not_wait_for_the_commit_that_runs(collector: Collector, committer: HeldCommitter) -> None:
    submit(collector, 1, 0)
    wait_for(committer, 1)
    submit(collector, ROWS_BESIDE, 1)
    wait_for(committer, 2)
    assert committer.commits == [1, ROWS_BESIDE]


def test_one_span_does_not_wait_for_a_commit_of_many(collector: Collector, committer: HeldCommitter) -> None:
    submit(collector, ROWS_BESIDE, 0)
    wait_for(committer, 1)
    submit(collector, 1, 1)
    wait_for(committer, 2)
    assert committer.commits == [ROWS_BESIDE, 1]


def test_a_stop_commits_what_gathered(collector: Collector, committer: HeldCommitter) -> None:
    submit(collector, 1, 0)
    wait_for(committer, 1)
    submit(collector, 1, 1)
    committer.go.release(2)
    collector.stop()
    assert committer.commits == [1, 1]
