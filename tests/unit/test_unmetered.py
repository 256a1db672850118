"""Calls without usage: the median of their like, between bounds, and nothing where there is no like."""

from decimal import Decimal

from models.costs.unmetered import Peers, Untold, estimate

PEERS = Peers(calls=40, tokens=(1_000, 5_000, 20_000), cost=(Decimal("0.01"), Decimal("0.05"), Decimal("0.2")))
WIDER = Peers(calls=90, tokens=(10, 4_000, 90_000), cost=None)


def test_the_median_of_the_same_agent_and_model_is_taken() -> None:
    (found,) = estimate(
        [Untold(agent="planner", model="gpt-5", calls=3, failed=1)], {("planner", "gpt-5"): PEERS}, {"gpt-5": WIDER}
    )
    assert (found.basis, found.peers) == ("agent and model", 40)
    # The call that failed here may never have been processed: two of three are sure.
    assert (found.tokens_low, found.tokens, found.tokens_high) == (2_000, 15_000, 60_000)
    assert (found.cost_low, found.cost, found.cost_high) == (Decimal("0.02"), Decimal("0.15"), Decimal("0.6"))


def test_without_a_like_agent_the_model_serves_and_no_price_stays_unknown() -> None:
    (found,) = estimate([Untold(agent=None, model="gpt-5", calls=2, failed=0)], {}, {"gpt-5": WIDER})
    assert (found.basis, found.tokens_low, found.tokens, found.tokens_high) == ("model", 20, 8_000, 180_000)
    assert (found.cost_low, found.cost, found.cost_high) == (None, None, None)


def test_nothing_is_invented_where_nobody_is_like_it() -> None:
    (found,) = estimate([Untold(agent="planner", model="new", calls=2, failed=0)], {}, {"gpt-5": WIDER})
    assert (found.basis, found.peers, found.tokens, found.cost) == ("no peer", 0, None, None)
