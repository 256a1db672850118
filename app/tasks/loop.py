"""One transaction per batch until nothing is left, within a time box: the shape of every task that drains a queue."""

import time
from collections.abc import Callable

from sqlalchemy import Connection

from app import wiring

BOX_SECONDS = 2.0
"""After this a task ends and asks for another one, so that the other queues of a worker get their turn."""
REST = 2.0
"""A worker rests for so many times what its last small batch took: a batch has a price of about a tenth of a second,
however little it holds, and what gathers meanwhile shares it."""
MOST_REST_SECONDS = 0.5


class Few(int):
    """What a batch did that found too little to be worth its price."""


def until_empty(task: str, batch: Callable[[Connection], int], box_seconds: float = BOX_SECONDS) -> int:
    """Run batches, each in a transaction of its own, until one finds nothing; returns how much was done.

    A batch that says `Few` is the last, and hints of this task are held back for a while, so that more gathers. When
    the box is over with work left, a hint for the same task is sent; losing it loses nothing.
    """
    deadline = time.monotonic() + box_seconds
    done = 0
    while True:
        begun = time.monotonic()
        with wiring.current().transaction() as connection:
            found = batch(connection)
        done += found
        ended = time.monotonic()
        if not found:
            return done
        if isinstance(found, Few):
            wiring.current().rest(task, min(REST * (ended - begun), MOST_REST_SECONDS))
            return done
        if ended > deadline:
            wiring.current().hint(task)
            return done
