"""Statistics in a process of their own, started on demand: what they import stays out of those that answer.

Forecasts and elasticities need statsmodels, scipy and pandas: a hundred megabytes and seconds of import, and seconds of
calculation that would hold up every other thread. Functions go over by name and their arguments by value, one at a
time; the end of its input ends the process, so that it outlives nobody who was killed.
"""

import os
import pickle
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from models.core.running import NotCalculated

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_SECONDS = 60.0
"""Longest calculation, its imports included; a forecast takes one to five seconds."""
IDLE_SECONDS = 300.0
"""After so long without a question the process ends. Pages keep their answers as long."""


class StatisticsProcess:
    """Runs functions of modules in a child process (`models.core.running.Run`).

    Use      call it from any thread, one calculation runs at a time; `close()` at the end, or to start afresh.
    """

    def __init__(self, *, answer_seconds: float = ANSWER_SECONDS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._answer_seconds, self._idle_seconds = answer_seconds, idle_seconds
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._idle: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """Process id while there is one."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def __call__(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Run a function there. One whose process was killed is run once more.

        Raises   what the function raises; NotCalculated after `answer_seconds`, or where the process ends twice.
        """
        question = pickle.dumps((function, args, named))
        if not self._lock.acquire(timeout=self._answer_seconds):
            raise NotCalculated(f"other calculations took more than {self._answer_seconds:g} s. Try again.")
        try:
            if self._idle is not None:
                self._idle.cancel()
            try:
                is_answer, answer = self._answered(question)
            except (OSError, EOFError):
                self._end()
                is_answer, answer = self._answered(question)
        except (OSError, EOFError) as ended:
            self._end()
            raise NotCalculated(
                f"the process that calculates {function.__name__} ended twice ({type(ended).__name__}). "
                "Look for its last words in the log, and whether the machine has 200 MB of memory left."
            ) from ended
        finally:
            self._idle = threading.Timer(self._idle_seconds, self.close)
            self._idle.daemon = True
            self._idle.start()
            self._lock.release()
        if not is_answer:
            raise answer
        return answer

    def close(self) -> None:
        """End the process; a calculation in hand is waited for."""
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            self._end()

    def _answered(self, question: bytes) -> tuple[bool, Any]:
        """(whether it is the answer and not a fault, the answer or the fault)."""
        child = self._child
        if child is None or child.poll() is not None:
            self._end()
            child = self._child = _started()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(question)
        child.stdin.flush()
        if not select.select([child.stdout], [], [], self._answer_seconds)[0]:
            self._end()
            raise NotCalculated(f"the calculation was given up after {self._answer_seconds:g} s.")
        return pickle.load(child.stdout)

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "app.statistics_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            # Strangers' `app` directories in the working directory must not be imported instead of ours.
            "PYTHONSAFEPATH": "1",
            # Its matrices are small: a thread per core would only take memory.
            "OPENBLAS_NUM_THREADS": "1",
        },
    )


def _serve() -> None:
    """Answer until the input ends."""
    questions = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as answers:
        # What a library prints must not stand between the answers.
        os.dup2(2, 1)
        while True:
            try:
                function, args, named = pickle.load(questions)
            except EOFError:
                return
            try:
                answer = (True, function(*args, **named))
            except Exception as fault:
                answer = (False, fault)
            answers.write(pickle.dumps(answer))
            answers.flush()


if __name__ == "__main__":
    _serve()
