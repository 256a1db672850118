"""One transaction per batch until nothing is left, within a time box: the shape of every task that drains a queue."""

import time
from collections.abc import Callable

from sqlalchemy import Connection

from app import wiring

BOX_SECONDS = 2.0
"""After this a task ends and asks for another one, so that the other queues of a worker get their turn."""


def until_empty(
    task: str, batch: Callable[[Connection], int], box_seconds: float = BOX_SECONDS, gather_seconds: float = 0.0
) -> int:
    """Run batches, each in a transaction of its own, until one finds nothing; returns how much was done.

    A batch that took less than `gather_seconds` found nearly all there was and is the last: what arrives meanwhile
    gathers until the next hint, since a batch has a price of its own, whatever it holds. When the box is over with work
    left, a hint for the same task is sent; losing it loses nothing.
    """
    deadline = time.monotonic() + box_seconds
    done = 0
    while True:
        begun = time.monotonic()
        with wiring.current().transaction() as connection:
            found = batch(connection)
        done += found
        ended = time.monotonic()
        if not found or ended - begun < gather_seconds:
            return done
        if ended > deadline:
            wiring.current().hint(task)
            return done
