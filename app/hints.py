"""Hints to the workers that there may be work: at most one of a kind waits, so no kind waits behind many of another."""

import logging
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

LOST_SECONDS = 5.0
"""A hint not heard for so long counts as lost, and another one may be sent."""
EXPIRES_SECONDS = 60


class Hints:
    """Sends tasks to the workers, of each kind one at a time. Rows are the truth: losing all of this loses nothing.

    Use      `send(task)` where there may be work, `heard(task)` when a worker begins, `rest(task, seconds)` to hold
             hints back. None of them fails: the sweeper finds what was missed.
    """

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url

    def send(self, task: str) -> None:
        """Ask for a task, unless one of its kind waits already or rests."""
        try:
            if self._broker.set(_key(task), 1, nx=True, px=int(LOST_SECONDS * 1000)):
                from app.worker import connect

                connect().send_task(task, retry=False, expires=EXPIRES_SECONDS)
        except Exception as unreachable:
            log.warning("no hint %s sent, the sweeper will find the work: %s", task, unreachable)

    def heard(self, task: str) -> None:
        """A worker begins with this task: what is written from now on may need another one."""
        try:
            self._broker.delete(_key(task))
        except Exception as unreachable:
            log.warning("hints of %s are held back for %g s: %s", task, LOST_SECONDS, unreachable)

    def rest(self, task: str, seconds: float) -> None:
        """Hold hints of this task back for so long, counted from now."""
        try:
            self._broker.set(_key(task), 1, px=max(1, int(seconds * 1000)))
        except Exception as unreachable:
            log.warning("hints of %s are not held back: %s", task, unreachable)

    def close(self) -> None:
        """Give the connections back."""
        if "_broker" in self.__dict__:
            self._broker.close()

    @cached_property
    def _broker(self) -> "Redis":
        # Slow to import, and many commands never send a hint.
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return Redis.from_url(self._broker_url, socket_connect_timeout=2, socket_timeout=2, retry=Retry(NoBackoff(), 1))


def _key(task: str) -> str:
    return f"jevons:hinted:{task}"
