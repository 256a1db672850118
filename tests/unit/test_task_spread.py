"""Cost per task as a distribution: bins that lose no task, shares of what was paid."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from models.core.task_spread import EDGES, PER_DECADE, TaskSpread, bins_of


@given(st.dictionaries(st.integers(1, len(EDGES) - 1), st.integers(1, 1000)))
def test_bins_lose_no_task_and_follow_one_another(counts: dict[int, int]) -> None:
    found = bins_of(counts)
    assert sum(each.tasks for each in found) == sum(counts.values())
    assert all(lower.high == upper.low for lower, upper in pairwise(found))
    assert not found or (found[0].tasks and found[-1].tasks)


def test_edges_are_fifths_of_factors_of_ten() -> None:
    assert {Decimal(1), Decimal("0.001")} <= set(EDGES)
    assert all(a < b for a, b in pairwise(EDGES))
    assert EDGES[EDGES.index(Decimal(1)) + PER_DECADE] == 10


def test_shares_of_what_was_paid_and_of_nothing() -> None:
    spread = TaskSpread(
        tasks=4, unknown=1, free=0, cost=Decimal(10), quantiles={}, costliest=Decimal(4), bins=(), nameless=None
    )
    assert (spread.mean, spread.share_of_costliest) == (Decimal("2.5"), Decimal("0.4"))
    none = TaskSpread(tasks=0, unknown=0, free=0, cost=None, quantiles={}, costliest=None, bins=(), nameless=Decimal(1))
    assert (none.mean, none.share_of_costliest) == (None, None)
