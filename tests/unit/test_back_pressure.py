"""Senders are held to what workers work off: never for a standstill, never below that rate, and the small ones last."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.back_pressure import FEW_TRACES, HORIZON_SECONDS, STANDSTILL, Gate, PricingBehind, chances
from models.store.backlog import DerivationFlow


class Queue:
    """Dirty marks second by second: what the gate lets in arrives, workers take off what they can."""

    def __init__(self, waiting: int = 0) -> None:
        self.now, self.waiting, self.arrived, self.worked_off = 0.0, waiting, waiting, 0
        self.gate = Gate(lambda most: DerivationFlow(0, 0, 0))
        self.share = 1.0
        self.refused = 0.0

    def run(self, seconds: int, offered: int, workers: int) -> list[int]:
        """What waited after each second."""
        seen: list[int] = []
        for _ in range(seconds):
            self.now += 1
            come = round(offered * self.share)
            self.refused += offered - come
            gone = min(workers, self.waiting + come)
            self.waiting += come - gone
            self.arrived += come
            self.worked_off += gone
            self.gate.admit(1, 1000) if self.share == 1.0 else None
            # The counter tells as many as were asked for at most, as the store does.
            self.share = self.gate.look(self.now, DerivationFlow(self.waiting, self.arrived, self.worked_off))
            seen.append(self.waiting)
        return seen


def test_three_times_what_can_be_worked_off_waits_no_longer_than_the_horizon() -> None:
    queue = Queue()
    waited = queue.run(300, offered=6_000, workers=2_000)
    assert max(waited) <= 2_000 * HORIZON_SECONDS + 2 * 6_000
    assert queue.refused > 0
    # Workers were never without work, so what was let in is what could be priced.
    assert min(waited[30:]) > 0
    # Within a minute of the end nothing waits and everything is taken.
    assert queue.run(60, offered=0, workers=2_000)[-1] == 0
    assert queue.share == 1.0


def test_a_rate_that_workers_keep_up_with_is_never_refused() -> None:
    queue = Queue()
    queue.run(600, offered=1_900, workers=2_000)
    assert queue.refused == 0


def test_while_no_worker_works_everything_is_stored() -> None:
    queue = Queue()
    queue.run(30, offered=9_000, workers=10_000)
    queue.run(3_600, offered=9_000, workers=0)
    # For a moment after the stop it looks like slow work.
    assert queue.refused <= (STANDSTILL - 1) * 9_000
    before = queue.refused
    queue.run(3_600, offered=9_000, workers=0)
    assert queue.refused == before


def test_catching_up_after_an_outage_takes_what_comes_at_a_usual_rate() -> None:
    queue = Queue(waiting=3_600_000)
    waited = queue.run(1_200, offered=500, workers=4_000)
    assert queue.refused == 0
    assert waited[-1] == 0


def test_counters_that_began_again_are_not_taken_for_work() -> None:
    queue = Queue()
    queue.run(60, offered=6_000, workers=2_000)
    assert queue.share < 1.0
    queue.arrived = queue.worked_off = 0
    before = queue.refused
    queue.run(1, offered=6_000, workers=2_000)
    queue.run(120, offered=6_000, workers=2_000)
    assert queue.refused > before
    assert queue.waiting <= 2_000 * HORIZON_SECONDS + 2 * 6_000


def test_who_is_refused_is_told_what_waits_and_when_to_come_back() -> None:
    gate = Gate(lambda most: DerivationFlow(0, 0, 0))
    gate.look(0.0, DerivationFlow(0, 0, 0))
    gate.admit(1, 10_000)
    gate.look(1.0, DerivationFlow(FEW_TRACES * 10, FEW_TRACES * 10 + 10, 10))
    with pytest.raises(PricingBehind, match=r"100000 traces wait .* 10 are priced a second.*after 2 s") as refused:
        deque((gate.admit(1, 10_000) for _ in range(10_000)), maxlen=0)
    assert (refused.value.status, refused.value.code, refused.value.retry_after_seconds) == (503, "overloaded", 2)
    gate.admit(2, 10)  # Who sent nothing in the second before is let in.


@given(st.dictionaries(st.integers(1, 9), st.integers(1, 10**9), min_size=1), st.floats(0.02, 1.0))
def test_the_share_is_dealt_out_to_those_who_send_least_first(offered: dict[int, int], share: float) -> None:
    found = chances(offered, share)
    taken = {project: offered[project] * found[project] for project in offered}
    assert sum(taken.values()) == pytest.approx(share * sum(offered.values()))
    cut = [taken[project] for project in offered if found[project] < 1 - 1e-9]
    # Those who are cut get the same, and nobody who is let in whole sent more than that.
    if cut:
        assert max(cut) == pytest.approx(min(cut))
        assert all(offered[project] <= max(cut) * (1 + 1e-9) for project in offered if found[project] >= 1 - 1e-9)
