"""The tree of agents adds up."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from dashboards.agent_tree import tree
from models.core.queries import CostRow
from models.core.vocabulary import CostBasis


def row(path: str | None, cost: str | None) -> CostRow:
    known = None if cost is None else Decimal(cost)
    return CostRow(keys={"agent_path": path}, calls=1, effective_cost=known)


def test_inclusive_is_self_and_everything_below() -> None:
    roots = tree(
        [
            row("lead", "3"),
            row("lead/coder", "12"),
            row("lead/coder/tester", "1"),
            row("lead/reader", "5"),
            row("solo", "2"),
        ],
        CostBasis.EFFECTIVE,
    )
    assert [(agent.path, agent.own, agent.inclusive) for root in roots for agent in root.below()] == [
        ("lead", Decimal(3), Decimal(21)),
        ("lead/coder", Decimal(12), Decimal(13)),
        ("lead/coder/tester", Decimal(1), Decimal(1)),
        ("lead/reader", Decimal(5), Decimal(5)),
        ("solo", Decimal(2), Decimal(2)),
    ]


def test_a_coordinator_without_calls_of_its_own_still_has_its_place() -> None:
    (root,) = tree([row("lead/coder", "12")], CostBasis.EFFECTIVE)
    assert (root.path, root.own, root.inclusive, root.row) == ("lead", Decimal(0), Decimal(12), None)
    assert root.paths == ["lead/coder"]


def test_an_agent_with_unpriced_calls_only_is_unknown_not_free() -> None:
    (root,) = tree([row("lead", None)], CostBasis.EFFECTIVE)
    assert (root.own, root.inclusive) == (None, None)


names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(st.dictionaries(paths, st.decimals(0, 10**6, places=9), max_size=25))
def test_the_roots_sum_to_the_rows(costs: dict[str, Decimal]) -> None:
    roots = tree([row(path, str(cost)) for path, cost in costs.items()], CostBasis.EFFECTIVE)
    assert sum((root.inclusive or Decimal(0) for root in roots), Decimal(0)) == sum(costs.values(), Decimal(0))
