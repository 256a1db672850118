"""The collector: bodies in, commits out. One queue bounded by bytes, group commit, success only after commit."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from app.measures import COMMIT_SECONDS, QUEUE_BYTES, SPANS_RECEIVED, SPANS_REJECTED, SPANS_STORED
from ingest.linking import link_ids
from ingest.otlp import Encoding, decode
from ingest.otlp_records import Window
from ingest.otlp_values import AttributeReader
from ingest.redaction import Redactor
from models.core.errors import JevonsError
from models.core.telemetry import Rejection
from models.core.time import ns_of_utc
from models.core.vocabulary import Signal
from models.store.availability import is_unavailable
from models.store.span_codec import PreparedSpans, ids_of_block, prepare_spans
from models.store.telemetry import (
    StoreOutcome,
    body_digest,
    ensure_partitions,
    record_rejections,
    redaction_key,
    store_spans,
)

log = logging.getLogger(__name__)

MAX_ROWS_PER_COMMIT = 8192
HINT_EVERY_SECONDS = 0.4
MAX_MESSAGE = 2000
MAX_READERS = 3
"""Readers kept between bodies; each remembers some megabytes of attributes."""
MAX_KNOWN = 100_000
"""Interned resources remembered as stored; beyond, all are forgotten and inserted again."""


class Overloaded(JevonsError):
    """More waits for its commit than may; the sender keeps its batch and tries again."""

    code = "overloaded"
    status = 503
    retry_after_seconds = 1

    def __init__(self, waiting: int, limit: int) -> None:
        super().__init__(
            f"{waiting} bytes wait to be stored, of {limit} that may. Send again after "
            f"{self.retry_after_seconds} s; if it lasts, raise JEVONS_MAX_QUEUE_BYTES or add a collector."
        )


class StoreUnavailable(JevonsError):
    """The database did not take a commit. Nothing was acknowledged."""

    code = "store_unavailable"
    status = 503
    retry_after_seconds = 2

    def __init__(self, fault: BaseException) -> None:
        super().__init__(
            f"the database did not take the spans ({type(fault).__name__}); none of this body is stored. "
            f"Send it again after {self.retry_after_seconds} s."
        )


@dataclass(slots=True)
class Receipt:
    """What became of one body, after its commit."""

    records: int = 0
    """Records that are stored now, whether by this body or by an earlier one."""
    rejections: list[Rejection] = field(default_factory=list[Rejection])


@dataclass(slots=True)
class _Submission:
    spans: PreparedSpans
    rejections: Sequence[Rejection]
    digest: int
    done: "Future[Receipt]" = field(default_factory=Future)  # type: ignore[type-arg]


class Collector:
    """Takes OTLP bodies from any protocol and stores their spans.

    Use      `start()`, then `submit(...)` from any thread; the future it returns is done after the commit.
             `stop()` commits what waits. One per process.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        keep_content: bool = False,
        max_queue_bytes: int = 256 * 2**20,
        max_age: timedelta = timedelta(days=400),
        max_future: timedelta = timedelta(minutes=60),
        hint: Callable[[], None] | None = None,
        flushers: int = 2,
    ) -> None:
        self._engine = engine
        self._keep_content = keep_content
        self._max_queue_bytes = max_queue_bytes
        self._max_age, self._max_future = max_age, max_future
        self._hint = hint
        self._flushers = flushers
        self._queue: deque[_Submission] = deque()
        self._changed = threading.Condition()
        self._held_bytes = 0
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._to_hint = threading.Event()
        self._readers: deque[AttributeReader] = deque()
        self._redaction_key: bytes | None = None
        self._known_days: set[date] = set()
        self._known_interned: set[tuple[int, int]] = set()

    def start(self) -> None:
        """Start the threads that commit. The database need not be there yet."""
        self._stopping = False
        for number in range(self._flushers):
            thread = threading.Thread(target=self._flush_forever, name=f"collector-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        if self._hint is not None:
            thread = threading.Thread(target=self._hint_forever, name="collector-hint", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Commit what waits, then end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._to_hint.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies between their arrival and their commit."""
        return self._held_bytes

    def hold(self, size: int) -> None:
        """Count the bytes of a body against the queue, before it is decoded.

        Raises   Overloaded; a single body is always taken when nothing waits.
        """
        with self._changed:
            if self._held_bytes and self._held_bytes + size > self._max_queue_bytes:
                raise Overloaded(self._held_bytes, self._max_queue_bytes)
            self._held_bytes += size
        QUEUE_BYTES.inc(size)

    def let_go(self, size: int) -> None:
        """The other half of `hold`, once the body is acknowledged or refused."""
        with self._changed:
            self._held_bytes -= size
        QUEUE_BYTES.dec(size)

    def submit(
        self, body: bytes, encoding: Encoding, signal: Signal, project_id: int, window: Window | None = None
    ) -> "Future[Receipt]":
        """Decode, redact and queue one inflated body; done after the commit.

        Raises   BadInput for a body that cannot be read. The future raises StoreUnavailable.
        """
        reader = self._reader()
        try:
            decoded = decode(body, encoding, signal, reader=reader, window=window or self._window())
        finally:
            if len(self._readers) < MAX_READERS:
                self._readers.append(reader)
        SPANS_RECEIVED.inc(len(decoded.spans) + len(decoded.rejections))
        links = [link_ids(span) for span in decoded.spans]
        spans = prepare_spans(project_id, decoded.spans, links)
        # The digest only names rejections; a clean body does without.
        submission = _Submission(spans, decoded.rejections, body_digest(body) if decoded.rejections else 0)
        if not spans.count and not decoded.rejections:
            submission.done.set_result(Receipt())
            return submission.done
        with self._changed:
            if self._stopping or not self._threads:
                raise StoreUnavailable(RuntimeError("stopping"))
            self._queue.append(submission)
            self._changed.notify()
        return submission.done

    def _reader(self) -> AttributeReader:
        """A reader that nobody uses now, the last one put back first: it remembers attributes."""
        try:
            return self._readers.pop()
        except IndexError:
            pass
        if self._redaction_key is None:
            try:
                with self._engine.connect() as connection:
                    self._redaction_key = redaction_key(connection)
            except Exception as fault:
                if is_unavailable(fault):
                    raise StoreUnavailable(fault) from fault
                raise
        return AttributeReader(Redactor(self._redaction_key, keep_content=self._keep_content))

    def _window(self) -> Window:
        now = datetime.now(UTC)
        return Window(ns_of_utc(now - self._max_age), ns_of_utc(now + self._max_future))

    def _flush_forever(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._stopping:
                    self._changed.wait()
                if not self._queue:
                    return
                taken: list[_Submission] = []
                rows = 0
                # Whatever waits goes along: the commit before was the time to gather it, no timer is needed.
                while self._queue and rows < MAX_ROWS_PER_COMMIT:
                    taken.append(self._queue.popleft())
                    rows += taken[-1].spans.count
            # A sender that hung up has cancelled its future, and what is settled by then cannot be answered.
            taken = [submission for submission in taken if submission.done.set_running_or_notify_cancel()]
            try:
                self._commit(taken)
            except Exception as fault:
                # This thread must outlive any fault: without it every later sender would wait in vain.
                log.exception("a commit of %d bodies was not settled", len(taken))
                for submission in taken:
                    if not submission.done.done():
                        submission.done.set_exception(StoreUnavailable(fault))

    def _commit(self, taken: list[_Submission]) -> None:
        if not taken:
            return
        try:
            with COMMIT_SECONDS.time():
                outcome = self._stored(taken)
        except Exception as fault:
            if is_unavailable(fault):
                log.error("commit of %d bodies failed: %s", len(taken), fault)
                for submission in taken:
                    submission.done.set_exception(StoreUnavailable(fault))
                return
            if len(taken) > 1:
                # One body that the database refuses must not cost its neighbours their acknowledgement.
                for submission in taken:
                    self._commit([submission])
                return
            log.exception("a body of %d spans cannot be stored", taken[0].spans.count)
            taken[0].done.set_exception(fault if isinstance(fault, JevonsError) else StoreUnavailable(fault))
            return
        for submission in taken:
            receipt = _receipt(submission, outcome)
            SPANS_STORED.inc(receipt.records)
            SPANS_REJECTED.inc(len(receipt.rejections))
            submission.done.set_result(receipt)
        self._to_hint.set()

    def _stored(self, taken: list[_Submission]) -> StoreOutcome:
        batches = [submission.spans for submission in taken]
        self._make_partitions(batches)
        try:
            return self._stored_once(taken, batches)
        except DBAPIError as fault:
            if getattr(fault.orig, "sqlstate", None) != "23514":
                raise
            # A partition known here was dropped since (retention): make it again.
            self._known_days.clear()
            self._make_partitions(batches)
            return self._stored_once(taken, batches)

    def _stored_once(self, taken: list[_Submission], batches: list[PreparedSpans]) -> StoreOutcome:
        with self._engine.begin() as connection:
            outcome = store_spans(connection, batches, self._known_interned)
            for submission in taken:
                if submission.rejections:
                    record_rejections(connection, submission.spans.project_id, submission.rejections, submission.digest)
        if len(self._known_interned) > MAX_KNOWN:
            self._known_interned = set()
        for batch in batches:
            self._known_interned.update((batch.project_id, key) for key in (*batch.resources, *batch.scopes))
        return outcome

    def _make_partitions(self, batches: list[PreparedSpans]) -> None:
        days = {day for batch in batches for day in batch.days} - self._known_days
        if days:
            with self._engine.begin() as connection:
                ensure_partitions(connection, days)
            self._known_days |= days

    def _hint_forever(self) -> None:
        """Tell the workers, apart from the commits: a broker that is away must not delay an acknowledgement."""
        assert self._hint is not None
        while not self._stopping:
            self._to_hint.wait()
            if self._stopping:
                return
            self._to_hint.clear()
            self._hint()
            time.sleep(HINT_EVERY_SECONDS)


def _receipt(submission: _Submission, outcome: StoreOutcome) -> Receipt:
    rejections = list(submission.rejections)
    if outcome.conflicts:
        ids = {
            (block.trace_id, span_id) for block in submission.spans.blocks for span_id in ids_of_block(block.span_ids)
        }
        project_id = submission.spans.project_id
        rejections += [
            Rejection(
                position="spans",
                reason="another span with these ids is stored already and differs; the first is kept",
                trace_id=trace_id,
                span_id=span_id,
            )
            for conflict_project, trace_id, span_id in outcome.conflicts
            if conflict_project == project_id and (trace_id, span_id) in ids
        ]
    return Receipt(submission.spans.count - (len(rejections) - len(submission.rejections)), rejections)


def partial_success(receipt: Receipt, noun: str) -> str:
    """What a sender is told about the records that were not taken; empty when all were."""
    if not receipt.rejections:
        return ""
    reasons: dict[str, list[Rejection]] = {}
    for rejection in receipt.rejections:
        reasons.setdefault(rejection.reason, []).append(rejection)
    parts = [
        f"{found[0].position}: {reason}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")
        for reason, found in list(reasons.items())[:5]
    ]
    if len(reasons) > len(parts):
        parts.append(f"and {len(reasons) - len(parts)} more reasons")
    rejected = len(receipt.rejections)
    return f"{rejected} of {receipt.records + rejected} {noun} were not taken: {'; '.join(parts)}"[:MAX_MESSAGE]
