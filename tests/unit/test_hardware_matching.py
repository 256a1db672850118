"""Matching calls to deployments by service, model and server address."""

import polars as pl

from models.costs.hardware_matching import MatchRule, match_deployments

CALLS = pl.DataFrame(
    [
        ("support", "llama-3.1-70b", "gpu-1.internal"),
        ("support", "gpt-5.4", "api.openai.com"),
        (None, "llama-3.1-70b", "gpu-2.internal"),
        ("search", None, None),
    ],
    schema={"service": pl.String, "model": pl.String, "server_address": pl.String},
    orient="row",
)


def matched(*rules: MatchRule) -> list[str | None]:
    return match_deployments(CALLS, rules)["deployment"].to_list()


def test_a_call_matches_when_every_part_of_the_rule_does() -> None:
    rule = MatchRule(deployment="a", service="support", model="llama-3.1-70b")
    assert matched(rule) == ["a", None, None, None]


def test_a_star_stands_for_any_characters_and_a_dot_only_for_itself() -> None:
    assert matched(MatchRule(deployment="a", server_address="gpu-*.internal")) == ["a", None, "a", None]
    assert matched(MatchRule(deployment="a", model="llama-3x1*")) == [None, None, None, None]


def test_the_most_specific_rule_wins_whatever_the_order() -> None:
    wide = MatchRule(deployment="wide", model="llama-*")
    narrow = MatchRule(deployment="narrow", model="llama-*", server_address="gpu-1.*")
    literal = MatchRule(deployment="literal", model="llama-3.1-70b")
    assert matched(wide, narrow, literal) == matched(literal, narrow, wide) == ["narrow", None, "literal", None]


def test_without_rules_no_call_is_on_hardware_of_ones_own() -> None:
    assert matched() == [None, None, None, None]
