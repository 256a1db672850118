"""Back-pressure by what waits for pricing: senders are held to what workers work off, before the wait gets long.

Storing is several times cheaper than deriving, so a collector that looks only at its own queue would take in hours of
work in minutes. Three states, told apart by what the queue of dirty traces does:

- *open*: what waits would be worked off within HORIZON_SECONDS; everything is taken.
- *standstill*: nothing is worked off at all. Workers are stopped or being replaced, and senders are not the reason:
  what they measured is stored, which the disk alone bounds, and priced later.
- *pressed*: more waits than that. No more is taken than workers do, and half of it until the wait is short again. The
  rest is refused with the time to come back.
"""

import logging
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.intake_queue import Overloaded
from app.measures import BODIES_REFUSED
from models.store.backlog import DerivationFlow

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
WINDOW = 10
"""Looks that rates are taken over: PostgreSQL's counters come in steps of a second or more."""
STANDSTILL = 4
"""Looks without any work done that make a standstill; one batch takes less."""
HORIZON_SECONDS = 30.0
"""So long a wait is no reason to refuse anything."""
FEW_TRACES = 10_000
"""So many waiting traces are never a reason to refuse anything, however slowly they go."""
UNTOLD_BYTES = 64 * 1024
"""What a body counts whose size is not known before it is read."""
LEAST_SHARE = 0.02
"""Something is always let in: a rate can only be told from what comes."""


class PricingBehind(Overloaded):
    """More arrives than is priced, and what waits would take too long."""

    retry_after_seconds = 2

    def __init__(self, waiting: int, worked_off: float) -> None:
        super().__init__(
            f"{waiting} traces wait to be priced and {worked_off:.0f} are priced a second: more comes in than can be "
            f"worked off. Nothing of this body is stored; send it again after {self.retry_after_seconds} s. If it "
            "lasts, start more workers (JEVONS_WORKERS, `jevons worker`)."
        )


@dataclass(slots=True, frozen=True)
class Look:
    """The flow at one moment, and what was let in since the look before."""

    at: float
    flow: DerivationFlow
    share: float
    """Of what was offered since the look before, the part that was let in."""


class Gate:
    """Decides which bodies come in.

    Use      `start()`; `admit(...)` from any thread before a body is read; `stop()`. One per process: each looks at the
             same queue and comes to the same share, so several need not speak to one another.
    """

    def __init__(self, read: Callable[[int], DerivationFlow]) -> None:
        self._read = read
        self._looks: deque[Look] = deque(maxlen=WINDOW + 1)
        self._share = 1.0
        self._chances: Mapping[int, float] = {}
        self._offered: dict[int, int] = defaultdict(int)
        self._waiting, self._worked_off = 0, 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look at the queue once a second from now on."""
        self._over.clear()
        self._thread = threading.Thread(target=self._look_forever, name="collector-gate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; everything is let in."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._share, self._chances = 1.0, {}

    def admit(self, project_id: int, size: int) -> None:
        """Let a body of so many bytes in, or not; 0 where the sender did not tell.

        Raises   PricingBehind.
        """
        self._offered[project_id] += size or UNTOLD_BYTES
        chance = self._chances.get(project_id, 1.0)
        if chance < 1.0 and random.random() >= chance:
            BODIES_REFUSED.labels("pricing").inc()
            raise PricingBehind(self._waiting, self._worked_off)

    def look(self, at: float, flow: DerivationFlow) -> float:
        """Take in what the queue does now; returns the share of bodies that is let in from here on.

        Units    `at` in seconds of a clock that only goes forward.
        """
        looks = self._looks
        if looks and (flow.arrived < looks[-1].flow.arrived or flow.worked_off < looks[-1].flow.worked_off):
            looks.clear()  # The counters began again, as after a crash of the database.
        looks.append(Look(at, flow, self._share))
        self._share = self._next_share()
        offered, self._offered = self._offered, defaultdict(int)
        was_pressed = bool(self._chances)
        self._chances = chances(offered, self._share) if self._share < 1.0 else {}
        if bool(self._chances) != was_pressed:
            log.warning(
                "%d traces wait to be priced, %.0f a second are: %s",
                self._waiting,
                self._worked_off,
                "senders are held back" if self._chances else "everything is taken again",
            )
        return self._share

    def _next_share(self) -> float:
        first, last = self._looks[0], self._looks[-1]
        seconds = last.at - first.at
        self._waiting = last.flow.waiting
        if seconds <= 0:
            return self._share
        self._worked_off = (last.flow.worked_off - first.flow.worked_off) / seconds
        most = max(FEW_TRACES, HORIZON_SECONDS * self._worked_off)
        before = list(self._looks)[-STANDSTILL - 1] if len(self._looks) > STANDSTILL else first
        is_standstill = before.flow.worked_off == last.flow.worked_off
        if is_standstill or last.flow.waiting <= (most if self._share == 1.0 else most / 2):
            return 1.0
        offered = 0.0
        for before, after in zip(self._looks, list(self._looks)[1:], strict=False):
            offered += (after.flow.arrived - before.flow.arrived) / after.share
        wanted = self._worked_off * (0.5 if last.flow.waiting > most else 1.0)
        return min(max(wanted * seconds / offered, LEAST_SHARE), 1.0) if offered else 1.0

    def _look_forever(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                most = int(max(FEW_TRACES, HORIZON_SECONDS * self._worked_off)) + 1
                self.look(time.monotonic(), self._read(most))
            except Exception as fault:
                # A database that is away is told by the commits; nobody is refused for a look that failed.
                log.debug("the queue was not looked at: %s", fault)


def chances(offered: Mapping[int, int], share: float) -> dict[int, float]:
    """The chance of each project's bodies to be let in, so that a share of all is: those that send little go first.

    Units    `offered` in bytes by project; `share` 0–1.
    """
    left, found = share * sum(offered.values()), dict[int, float]()
    projects = sorted(offered, key=lambda project: offered[project])
    for number, project in enumerate(projects):
        taken = min(float(offered[project]), left / (len(projects) - number))
        left -= taken
        found[project] = taken / offered[project]
    return found
