"""The collector: bodies in, commits out. One queue bounded by bytes, group commit, success only after commit."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from app.back_pressure import Gate
from app.committer import Committer
from app.intake_queue import Held, HeldBytes, IntakeQueue, Submission
from app.measures import COMMIT_SECONDS, SPANS_RECEIVED, SPANS_REJECTED, SPANS_STORED
from app.receipts import Receipt, receipt_of
from ingest.linking import link_ids
from ingest.otlp import Encoding, decode
from ingest.otlp_records import Window
from ingest.otlp_values import AttributeReader
from ingest.redaction import Redactor
from models.core.errors import JevonsError
from models.core.time import ns_of_utc
from models.core.vocabulary import Signal
from models.store.availability import is_unavailable
from models.store.backlog import DerivationFlow, derivation_flow
from models.store.span_codec import prepare_spans
from models.store.telemetry import body_digest, redaction_key

log = logging.getLogger(__name__)

MAX_ROWS_PER_COMMIT = 8192
ROWS_BESIDE = 8
"""Rows, running and waiting, from which on a second commit begins beside the first: a few cost less in the next one."""
HINT_EVERY_SECONDS = 0.4
"""Sending a hint costs as much as decoding hundreds of spans."""
DECODERS = 2
"""Bodies decoded at once: decoding needs the interpreter's lock, and each one in hand takes memory."""


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
        max_queue_bytes: int = 32 * 2**20,
        max_age: timedelta = timedelta(days=400),
        max_future: timedelta = timedelta(minutes=60),
        hint: Callable[[], None] | None = None,
        flushers: int = 2,
    ) -> None:
        self._engine = engine
        self._keep_content = keep_content
        self._max_age, self._max_future = max_age, max_future
        self._hint = hint
        self._flushers = flushers
        self._queue = IntakeQueue()
        self._changed = threading.Condition()
        self._rows_in_commit = 0
        self._held = HeldBytes(max_queue_bytes)
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._to_hint = threading.Event()
        self._readers: deque[AttributeReader] = deque()
        self._redaction_key: bytes | None = None
        self.committer = Committer(engine)
        self._gate = Gate(self._flow)
        self.decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="collector-decode")
        """Where to call `submit` for a body too large to hold up other work."""

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
        self._gate.start()

    def stop(self) -> None:
        """Commit what waits, then end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._to_hint.set()
        self._gate.stop()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies between their arrival and their commit."""
        return self._held.total

    def hold(self, project_id: int, size: int = 0) -> Held:
        """Let a body in and count its memory against the queue, before it is read or decoded.

        Raises   Overloaded, of the kind that tells why.
        """
        self._gate.admit(project_id, size)
        held = Held(self._held, project_id)
        held.resize(size)
        return held

    def submit(
        self,
        body: bytes,
        encoding: Encoding,
        signal: Signal,
        project_id: int,
        window: Window | None = None,
        held: Held | None = None,
    ) -> "Future[Receipt]":
        """Decode, redact and queue one inflated body; done after the commit.

        From then on `held` counts the rows that wait instead of the body, which the caller should let go of.
        Raises   BadInput for a body that cannot be read. The future raises StoreUnavailable.
        """
        reader = self._reader()
        try:
            decoded = decode(body, encoding, signal, reader=reader, window=window or self._window())
        finally:
            if len(self._readers) < DECODERS:
                self._readers.append(reader)
        SPANS_RECEIVED.inc(len(decoded.spans) + len(decoded.rejections))
        links = [link_ids(span) for span in decoded.spans]
        spans = prepare_spans(project_id, decoded.spans, links)
        # The digest only names rejections; a clean body does without.
        submission = Submission(spans, decoded.rejections, body_digest(body) if decoded.rejections else 0)
        if not spans.count and not decoded.rejections:
            submission.done.set_result(Receipt())
            return submission.done
        if held is not None:
            held.resize(min(held.size, spans.size_bytes))
        with self._changed:
            if self._stopping or not self._threads:
                raise StoreUnavailable(RuntimeError("stopping"))
            self._queue.put(submission)
            # Otherwise whoever commits takes it up next.
            if self._is_due:
                self._changed.notify()
        return submission.done

    def _flow(self, most: int) -> DerivationFlow:
        with self._engine.connect() as connection:
            return derivation_flow(connection, most)

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
        try:
            while taken := self._next():
                rows = sum(submission.spans.count for submission in taken)
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
                with self._changed:
                    self._rows_in_commit -= rows
        finally:
            self.committer.hang_up()

    def _next(self) -> list[Submission]:
        """Whatever waits: the commit before was the time to gather it, no timer is needed. Empty at the end."""
        with self._changed:
            while not self._is_due and not self._stopping:
                self._changed.wait()
            taken = self._queue.take(MAX_ROWS_PER_COMMIT)
            self._rows_in_commit += sum(submission.spans.count for submission in taken)
            return taken

    @property
    def _is_due(self) -> bool:
        """Whether what waits is to be committed now: nothing else is, or it is enough for a commit of its own."""
        beside = self._rows_in_commit
        return bool(self._queue) and (not beside or beside + self._queue.rows >= ROWS_BESIDE)

    def _commit(self, taken: list[Submission]) -> None:
        if not taken:
            return
        try:
            with COMMIT_SECONDS.time():
                outcome = self.committer.store(taken)
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
        stored = rejected = 0
        for submission in taken:
            receipt = receipt_of(submission.spans, submission.rejections, outcome)
            stored += receipt.records
            rejected += len(receipt.rejections)
            submission.done.set_result(receipt)
        SPANS_STORED.inc(stored)
        if rejected:
            SPANS_REJECTED.inc(rejected)
        self._to_hint.set()

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
