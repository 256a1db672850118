"""Ownership rules, re-pricing and documents: small tables, and laws of conservation."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core.errors import BadInput, Conflict
from models.core.frames import USD
from models.costs.attribution_rules import Condition, Match, Stage, TagRule, apply_rules, moves
from models.costs.corrections import PRICED, document_amounts, reprice, repricing_diff

JAN, FEB = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 2, 10, tzinfo=UTC)
CALLS = {"at": pl.Datetime("us", "UTC"), "team": pl.String, "service": pl.String, "agent": pl.String}
CALLS |= {"effective_cost": USD}


def calls(*rows: tuple[datetime, str | None, str | None, str | None, str | None]) -> pl.DataFrame:
    costed = [(*row[:4], None if row[4] is None else Decimal(row[4])) for row in rows]
    return pl.DataFrame(costed, schema=CALLS, orient="row")


def rule(number: int, value: str, match: str, pattern: str, dimension: str = "service", **facts: Any) -> TagRule:
    condition = Condition(dimension=dimension, match=Match(match), pattern=pattern)
    return TagRule(
        rule_id=number,
        position=facts.pop("position", number),
        target="team",
        value=value,
        conditions=(condition,),
        **facts,
    )


def test_stated_first_then_principal_then_service_then_rule_then_unallocated() -> None:
    frame = calls(
        (JAN, "stated", "shop", "bot", "1"),
        (JAN, None, "shop", "bot", "1"),
        (JAN, None, "shop", None, "1"),
        (JAN, None, "other", None, "1"),
    )
    rules = [
        rule(1, "by-rule", "regex", ".", position=0),
        rule(2, "by-service", "equals", "shop", stage=Stage.SERVICE),
        rule(3, "by-key", "prefix", "bo", dimension="agent", stage=Stage.PRINCIPAL),
    ]
    got = apply_rules(frame, rules)
    assert got["team"].to_list() == ["stated", "by-key", "by-service", "by-rule"]
    assert got["team_rule_id"].to_list() == [None, 3, 2, 1]
    assert apply_rules(frame, rules[1:])["team"].to_list()[-1] is None


@pytest.mark.parametrize(
    ("match", "pattern", "taken"),
    [
        ("equals", "shop-api", [True, False, False]),
        ("prefix", "shop-", [True, True, False]),
        ("glob", "shop-*", [True, True, False]),
        ("glob", "*-a?i", [True, False, False]),
        ("regex", "^shop-(api|web)$", [True, True, False]),
    ],
)
def test_the_four_ways_to_match(match: str, pattern: str, taken: list[bool]) -> None:
    frame = calls(*((JAN, None, service, None, "1") for service in ("shop-api", "shop-web", None)))
    got = apply_rules(frame, [rule(1, "t", match, pattern)])["team"]
    assert [value is not None for value in got] == taken


def test_a_reorganisation_moves_only_what_comes_after_it() -> None:
    frame = calls((JAN, None, "shop", None, "1"), (FEB, None, "shop", None, "2"))
    moment = datetime(2026, 2, 1, tzinfo=UTC)
    rules = [rule(1, "old", "equals", "shop", valid_to=moment), rule(2, "new", "equals", "shop", valid_from=moment)]
    assert apply_rules(frame, rules)["team"].to_list() == ["old", "new"]


def test_a_dry_run_names_rows_and_money() -> None:
    frame = calls((JAN, None, "shop", None, "1.5"), (JAN, None, "shop", None, None), (JAN, None, "web", None, "4"))
    got = moves(frame, [], [rule(1, "retail", "equals", "shop")])
    assert got.rows == 2
    assert got.effective_cost.rows() == [("team", None, "retail", 2, Decimal("1.5"), 1)]
    assert moves(frame, [], []).rows == 0


@pytest.mark.parametrize(
    "wrong",
    [
        rule(1, "t", "regex", "("),
        rule(1, "t", "equals", "a", valid_from=FEB, valid_to=JAN),
        TagRule(rule_id=1, position=1, target="team", value="t", conditions=()),
    ],
)
def test_rules_that_mean_nothing_are_refused(wrong: TagRule) -> None:
    with pytest.raises(BadInput, match="rule 1"):
        apply_rules(calls((JAN, None, "a", None, "1")), [wrong])


costs = st.one_of(st.none(), st.decimals(0, 1000, places=15))
services = st.sampled_from(["a", "ab", "b", None])


@given(st.lists(st.tuples(services, costs), min_size=1, max_size=20), st.randoms())
def test_rules_lose_no_money_and_do_not_depend_on_order(rows: list[tuple[Any, Any]], shuffle: Any) -> None:
    frame = pl.DataFrame([(JAN, None, s, None, c) for s, c in rows], schema=CALLS, orient="row")
    rules = [rule(1, "x", "prefix", "a"), rule(2, "y", "glob", "*b"), rule(3, "z", "equals", "b")]
    got = apply_rules(frame, rules)
    known = [c for _, c in rows if c is not None]
    by_team = got.group_by("team").agg(pl.col("effective_cost").sum())
    assert sum(by_team["effective_cost"].to_list(), Decimal(0)) == sum(known, Decimal(0))
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    shuffle.shuffle(rules)
    assert apply_rules(frame[order], rules).equals(got[order])


def priced(*rows: tuple[int, datetime, str | None]) -> pl.DataFrame:
    built = [
        (number, at, "bot", "retail", "m1/input", *([None if cost is None else Decimal(cost)] * 3))
        for number, at, cost in rows
    ]
    return pl.DataFrame(built, schema=PRICED, orient="row")


def test_open_months_are_replaced_and_closed_ones_corrected() -> None:
    before = priced((1, JAN, "3"), (2, JAN, "5"), (3, FEB, "7"), (4, FEB, "1"), (5, JAN, None), (6, JAN, "9"))
    after = priced((1, JAN, "2"), (2, JAN, "5"), (3, FEB, "8"), (4, FEB, "1"), (5, JAN, "4"), (6, JAN, None))
    got = reprice(before, after, frozenset({"2026-01"}))
    assert got.replacements.select("charge_id", "effective_cost").rows() == [(3, Decimal(8))]
    told = got.corrections.select("part", "calls", "effective_cost").rows()
    assert told == [("rebooking", 2, Decimal(6)), ("reversal", 1, Decimal(-3))]
    assert got.now_unpriced == 1  # the 9 stay booked and are shown
    diff = repricing_diff(before.filter(pl.col("charge_id") != 6), after.filter(pl.col("charge_id") != 6))
    assert diff.select("month", "calls", "delta", "became_priced").rows() == [
        ("2026-01", 2, Decimal(3), 1),
        ("2026-02", 1, Decimal(1), 0),
    ]


def test_repricing_other_charges_is_refused() -> None:
    with pytest.raises(Conflict, match="1 charges before and 1 after"):
        repricing_diff(priced((1, JAN, "1")), priced((2, JAN, "1")))


@given(st.lists(st.tuples(st.sampled_from([JAN, FEB]), st.decimals(0, 99, places=15), st.decimals(0, 99, places=15))))
def test_replacements_and_corrections_are_the_whole_difference(rows: list[tuple[Any, ...]]) -> None:
    before = priced(*((n, at, str(old)) for n, (at, old, _) in enumerate(rows)))
    after = priced(*((n, at, str(new)) for n, (at, _, new) in enumerate(rows)))
    got = reprice(before, after, frozenset({"2026-01"}))
    ids = set(got.replacements["charge_id"])
    replaced = [new - old for n, (_, old, new) in enumerate(rows) if n in ids]
    moved = sum(replaced, Decimal(0)) + sum(got.corrections["effective_cost"].to_list(), Decimal(0))
    assert moved == sum((new - old for _, old, new in rows), Decimal(0))
    assert moved == sum(repricing_diff(before, after)["delta"].to_list(), Decimal(0))


def test_a_document_sums_to_its_rounded_total() -> None:
    third = Decimal("0.333333333333333")
    assert sorted(document_amounts({"a": third, "b": third, "c": third + Decimal("1e-15")}).values()) == [
        Decimal("0.33"),
        Decimal("0.33"),
        Decimal("0.34"),
    ]
    assert document_amounts({"a": Decimal("-1.005"), "b": Decimal("-2.005")}) == {
        "a": Decimal("-1.00"),
        "b": Decimal("-2.01"),
    }
    assert document_amounts({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.decimals(-(10**6), 10**6, places=15), max_size=12))
def test_documents_conserve_the_total_and_stay_within_two_cents(costs: dict[str, Decimal]) -> None:
    parts = document_amounts(costs)
    assert sum(parts.values(), Decimal(0)) == sum(costs.values(), Decimal(0)).quantize(Decimal("0.01"))
    assert all(abs(parts[key] - cost) < Decimal("0.02") for key, cost in costs.items())
