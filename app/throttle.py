"""Failed logins are counted per name and per address; whoever fails too often waits."""

import threading
import time
from collections import deque
from collections.abc import Callable

FAILURES = 10
WINDOW_SECONDS = 300.0
MOST_KEYS = 10_000


class Throttle:
    """Failures of the last minutes by key, in this process. Bounded: the oldest keys are forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def wait_seconds(self, *keys: str) -> float:
        """How long until any of these may try again; 0: now."""
        now = self._clock()
        with self._lock:
            return max((self._wait(key, now) for key in keys), default=0.0)

    def note_failure(self, *keys: str) -> None:
        """Remember that these failed."""
        now = self._clock()
        with self._lock:
            for key in keys:
                if key not in self._failed and len(self._failed) >= MOST_KEYS:
                    self._failed.pop(next(iter(self._failed)))
                self._failed.setdefault(key, deque(maxlen=FAILURES)).append(now)

    def forget(self, *keys: str) -> None:
        """These got in."""
        with self._lock:
            for key in keys:
                self._failed.pop(key, None)

    def _wait(self, key: str, now: float) -> float:
        failed = self._failed.get(key, ())
        return max(failed[0] + WINDOW_SECONDS - now, 0.0) if len(failed) == FAILURES else 0.0
