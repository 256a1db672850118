"""What waits between arrival and commit: bounded by bytes, and dealt out fairly between projects."""

import heapq
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType

from app.measures import BODIES_REFUSED, QUEUE_BYTES
from app.receipts import Receipt
from models.core.errors import JevonsError
from models.core.telemetry import Rejection
from models.store.span_codec import PreparedSpans

SHARE = 8
"""A project may hold this many times what is left: alone eight ninths of all, so that there is room for another."""


class Overloaded(JevonsError):
    """More comes than can be taken; the sender keeps its batch and tries again."""

    code = "overloaded"
    status = 503
    retry_after_seconds = 1


class QueueFull(Overloaded):
    """More waits for its commit than may."""

    def __init__(self, waiting: int, limit: int) -> None:
        super().__init__(
            f"{waiting} bytes wait to be stored, of {limit} that may. Send again after "
            f"{self.retry_after_seconds} s; if it lasts, raise JEVONS_MAX_QUEUE_BYTES or add a collector."
        )


class Held:
    """The memory of one body, from its first byte to its acknowledgement. Use it as a context."""

    __slots__ = ("_pool", "project_id", "size")

    def __init__(self, pool: "HeldBytes", project_id: int) -> None:
        self._pool, self.project_id, self.size = pool, project_id, 0

    def __enter__(self) -> "Held":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.resize(0)

    def resize(self, size: int) -> None:
        """Count as much instead of what was counted before.

        Raises   QueueFull where it is more and there is no room for it; what was counted stays.
        """
        self._pool.change(self, size)


class HeldBytes:
    """Bytes between arrival and commit, by project."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._by_project: dict[int, int] = {}
        self._lock = threading.Lock()

    def change(self, held: Held, size: int) -> None:
        """See `Held.resize`. What there is alone is always taken: a limit below one body would stop everything."""
        more = size - held.size
        if not more:
            return
        with self._lock:
            own = self._by_project.get(held.project_id, 0)
            if more > 0 and self.total > held.size:
                left = self.limit - self.total - more
                if left < 0 or own + more > SHARE * left:
                    BODIES_REFUSED.labels("queue").inc()
                    raise QueueFull(self.total, self.limit)
            self.total += more
            if own + more:
                self._by_project[held.project_id] = own + more
            else:
                self._by_project.pop(held.project_id, None)
            held.size = size
        QUEUE_BYTES.inc(more)


@dataclass(slots=True)
class Submission:
    """One decoded body that waits for its commit."""

    spans: PreparedSpans
    rejections: Sequence[Rejection]
    digest: int
    done: "Future[Receipt]" = field(default_factory=Future)  # type: ignore[type-arg]


class IntakeQueue:
    """Submissions by project, in the order of their arrival within each. Not safe between threads by itself."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[Submission]] = {}
        self.rows = 0
        """Spans that wait."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, submission: Submission) -> None:
        """Let it wait behind those of its project."""
        self._waiting.setdefault(submission.spans.project_id, deque()).append(submission)
        self.rows += submission.spans.count

    def take(self, max_rows: int) -> list[Submission]:
        """The next ones to commit: always from the project that has had the fewest rows of this commit so far.

        A project that floods fills what the others leave, and these wait for one commit at most. Who had a turn
        stands behind who had none.
        """
        taken: list[Submission] = []
        rows = 0
        line = [(0, place, project_id) for place, project_id in enumerate(self._waiting)]
        while line and rows < max_rows:
            had, place, project_id = heapq.heappop(line)
            waiting = self._waiting.pop(project_id)
            submission = waiting.popleft()
            taken.append(submission)
            rows += submission.spans.count
            if waiting:
                self._waiting[project_id] = waiting
                heapq.heappush(line, (had + submission.spans.count, place, project_id))
        self.rows -= rows
        return taken
