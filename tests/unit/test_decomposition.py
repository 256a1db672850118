"""Why the bill moved: figures a person can work out, and the laws of the decomposition."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.core.errors import BadInput
from models.core.money import QUANTUM
from models.costs.decomposition import FACTORS, Cell, decompose
from models.costs.wording import sentence

D = Decimal


def cell(key: str, activity: int, calls: int, tokens: dict[str, int], costs: dict[str, str]) -> Cell:
    return Cell(
        key=(key,),
        activity=D(activity),
        calls=D(calls),
        tokens={name: D(count) for name, count in tokens.items()},
        costs={name: D(cost) for name, cost in costs.items()},
    )


ONE = cell("a", 10, 20, {"input": 1000, "output": 100}, {"input": "2", "output": "1"})


@pytest.mark.parametrize(
    ("after", "factor", "change"),
    [
        pytest.param(
            cell("a", 20, 40, {"input": 2000, "output": 200}, {"input": "4", "output": "2"}),
            "activity",
            "3",
            id="twice",
        ),
        pytest.param(
            cell("a", 10, 40, {"input": 2000, "output": 200}, {"input": "4", "output": "2"}),
            "calls_per_task",
            "3",
            id="two-calls-where-one-did",
        ),
        pytest.param(
            cell("a", 10, 20, {"input": 2000, "output": 200}, {"input": "4", "output": "2"}),
            "context_size",
            "3",
            id="twice-the-tokens-per-call",
        ),
        pytest.param(
            cell("a", 10, 20, {"input": 1000, "output": 100}, {"input": "1", "output": "0.5"}),
            "unit_price",
            "-1.5",
            id="half-the-price",
        ),
    ],
)
def test_a_change_of_one_factor_is_the_effect_of_that_factor_alone(after: Cell, factor: str, change: str) -> None:
    found = decompose([ONE], [after])
    assert found.effects == {name: D(change) if name == factor else D(0) for name in FACTORS}


def test_a_new_agent_is_mix_a_new_bucket_is_bucket_mix_and_a_first_period_is_activity() -> None:
    new = cell("b", 5, 5, {"input": 100}, {"input": "7"})
    more_work = decompose([ONE], [ONE, new])
    # Fifteen tasks instead of ten lift activity; agent a's share falls from 1 to 2/3 and takes the same away.
    of_a = next(cell for cell in more_work.cells if cell.key == ("a",))
    of_b = next(cell for cell in more_work.cells if cell.key == ("b",))
    assert of_b.effects["mix"] == D(7)
    assert of_a.effects["activity"] == -of_a.effects["mix"] > 0
    # Half the input is now read from the cache for a tenth: one dollar of it becomes ten cents.
    reads = cell(
        "a",
        10,
        20,
        {"input": 500, "cache_read": 500, "output": 100},
        {"input": "1", "cache_read": "0.1", "output": "1"},
    )
    assert decompose([ONE], [reads]).effects == {
        factor: D("-0.9") if factor == "bucket_mix" else D(0) for factor in FACTORS
    }
    assert decompose([], [ONE]).effects["activity"] == D(3)


def test_a_paid_bucket_that_was_free_is_unit_price() -> None:
    free = cell("a", 10, 20, {"input": 1000}, {"input": "0"})
    paid = cell("a", 10, 20, {"input": 1000}, {"input": "4"})
    assert decompose([free], [paid]).effects["unit_price"] == D(4)


def test_requests_priced_by_the_piece_move_the_bucket_mix() -> None:
    searched = cell("a", 10, 20, {"input": 1000}, {"input": "2", "web_search": "0.4"})
    twice = cell("a", 10, 20, {"input": 1000}, {"input": "2", "web_search": "0.8"})
    assert decompose([searched], [twice]).effects["bucket_mix"] == D("0.4")


def test_negative_figures_and_repeated_cells_are_refused() -> None:
    with pytest.raises(BadInput, match="negative"):
        decompose([cell("a", 1, 1, {"input": 1}, {"input": "-1"})], [])
    with pytest.raises(BadInput, match="twice"):
        decompose([ONE, ONE], [])


def test_the_sentence_names_the_largest_reasons_first() -> None:
    after = cell("a", 20, 40, {"input": 2000, "output": 200}, {"input": "2", "output": "1"})
    text = sentence(decompose([ONE], [after]))
    assert text == "Spend stayed level from $3.00 to $3.00 (+0.0 %); added: more activity $2.08; " + (
        "saved: lower unit prices $2.08."
    )


COUNTS = st.integers(1, 10**9)
BUCKETS = ("input", "cache_read", "output")


@st.composite
def cells(draw: st.DrawFn) -> list[Cell]:
    keys = draw(st.lists(st.sampled_from("abcde"), unique=True, max_size=5))
    found = []
    for key in keys:
        buckets = draw(st.lists(st.sampled_from(BUCKETS), unique=True, min_size=1))
        tokens = {bucket: D(draw(COUNTS)) for bucket in buckets}
        costs = {bucket: D(draw(st.integers(0, 10**21))).scaleb(-15) for bucket in buckets}
        found.append(Cell(key=(key,), activity=D(draw(COUNTS)), calls=D(draw(COUNTS)), tokens=tokens, costs=costs))
    return found


@given(cells(), cells())
def test_the_effects_sum_to_the_change_to_the_last_digit(base: list[Cell], current: list[Cell]) -> None:
    found = decompose(base, current)
    paid = [sum((cost for cell in period for cost in cell.costs.values()), D(0)) for period in (base, current)]
    assert sum(found.effects.values()) == paid[1] - paid[0] == found.change
    for part in found.cells:
        assert sum(part.effects.values()) == part.change
    for factor in FACTORS:
        assert sum((part.effects[factor] for part in found.cells), D(0)) == found.effects[factor]


BEFORE_TIE = [cell("d", 1, 1, {"cache_read": 1, "input": 199}, {"cache_read": "0", "input": "1E-15"})]
AFTER_TIE = [
    cell("d", 571, 1, {"input": 1}, {"input": "2.00E-13"}),
    cell("b", 17, 62, {"cache_read": 1}, {"cache_read": "0"}),
    cell("x", 4, 3, {"input": 1}, {"input": "0"}),
]


@example(BEFORE_TIE, AFTER_TIE)
@given(cells(), cells())
def test_running_time_backwards_flips_every_sign(base: list[Cell], current: list[Cell]) -> None:
    forth, back = decompose(base, current), decompose(current, base)
    assert {factor: -effect for factor, effect in forth.effects.items()} == dict(back.effects)


@given(cells(), cells(), st.integers(2, 9))
def test_splitting_every_cell_into_equal_parts_changes_no_effect(
    base: list[Cell], current: list[Cell], parts: int
) -> None:
    whole = decompose([_times(cell, parts) for cell in base], [_times(cell, parts) for cell in current])
    halves = decompose(_split(base, parts), _split(current, parts))
    for factor in FACTORS:
        # Each cell is cut to whole units of 10⁻¹⁵, so that many units may differ and no more.
        assert abs(whole.effects[factor] - halves.effects[factor]) <= QUANTUM * len(halves.cells)


def _times(cell: Cell, parts: int) -> Cell:
    return Cell(
        key=cell.key,
        activity=cell.activity * parts,
        calls=cell.calls * parts,
        tokens={name: count * parts for name, count in cell.tokens.items()},
        costs={name: cost * parts for name, cost in cell.costs.items()},
    )


def _split(period: list[Cell], parts: int) -> list[Cell]:
    return [
        Cell(key=(*cell.key, str(n)), activity=cell.activity, calls=cell.calls, tokens=cell.tokens, costs=cell.costs)
        for cell in period
        for n in range(parts)
    ]
