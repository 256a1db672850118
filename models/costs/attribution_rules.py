"""Who pays: ordered rules give calls the dimensions that their spans do not state. Pure; a dry run shows what moves."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from fnmatch import translate

import polars as pl

from models.core.errors import BadInput
from models.core.frames import USD

RULE_COLUMN = "rule_id"


class Stage(IntEnum):
    """Where a rule comes in the order; what a span states itself stands before all of them."""

    PRINCIPAL = 1
    """Maps of API keys, workspaces, IAM principals."""
    SERVICE = 2
    """Maps of repositories and services."""
    RULE = 3
    """Everything else."""


class Match(StrEnum):
    """How a pattern is compared with a dimension, case and all."""

    EQUALS = "equals"
    PREFIX = "prefix"
    GLOB = "glob"
    REGEX = "regex"


@dataclass(slots=True, frozen=True, kw_only=True)
class Condition:
    """One dimension compared with one pattern; an unknown dimension never matches."""

    dimension: str
    match: Match
    pattern: str

    def holds(self) -> pl.Expr:
        """The condition over a frame with the dimension as a column."""
        value = pl.col(self.dimension)
        match self.match:
            case Match.EQUALS:
                found = value == self.pattern
            case Match.PREFIX:
                found = value.str.starts_with(self.pattern)
            case Match.GLOB:
                # fnmatch writes Python's flags and anchor; Rust spells the anchor differently.
                body = translate(self.pattern).removeprefix("(?s:").removesuffix(")\\Z").removesuffix(")\\z")
                found = value.str.contains(f"(?s)^(?:{body})$")
            case Match.REGEX:
                found = value.str.contains(self.pattern)
        return found.fill_null(False)


@dataclass(slots=True, frozen=True, kw_only=True)
class TagRule:
    """Gives `target` the value `value` where all conditions hold, for calls that end in [valid_from, valid_to)."""

    rule_id: int
    position: int
    """Order within its stage; the first rule that matches wins, ties go to the smaller id."""
    target: str
    value: str
    conditions: tuple[Condition, ...]
    stage: Stage = Stage.RULE
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(slots=True, frozen=True)
class Moves:
    """What another set of rules would change: calls and money per target, from value and to value."""

    rows: int
    effective_cost: pl.DataFrame = field(repr=False)
    """target, before, after, calls, effective_cost (null where nothing is priced), unpriced_calls."""


def check_rules(rules: Sequence[TagRule]) -> None:
    """Refuse rules that could not mean anything.

    Raises   BadInput naming the rule and what is wrong with it.
    """
    for rule in rules:
        name = f"rule {rule.rule_id}"
        if not rule.conditions:
            raise BadInput(f"{name} has no condition and would take everything. Name at least one dimension.")
        if rule.valid_from and rule.valid_to and rule.valid_from >= rule.valid_to:
            raise BadInput(f"{name}: valid_to {rule.valid_to} is not after valid_from {rule.valid_from}.")
        for condition in rule.conditions:
            if condition.match is Match.REGEX:
                try:
                    re.compile(condition.pattern)
                    pl.Series([""]).str.contains(condition.pattern)
                except (re.error, pl.exceptions.ComputeError) as wrong:
                    raise BadInput(f"{name}: {condition.pattern!r} is no regular expression: {wrong}") from wrong


def apply_rules(calls: pl.DataFrame, rules: Sequence[TagRule]) -> pl.DataFrame:
    """Fill the targets of rules where the span states nothing.

    Shapes   a frame with `at`, the dimensions that conditions read and the targets → the same rows and order.
    Adds     for each target T of a rule: T filled, and `T_rule_id` (null: stated by the span, or unallocated).
             Rules read the dimensions as given, never what another rule filled, so the order of targets is
             without effect; what no rule matches stays null.
    Raises   BadInput for rules that mean nothing.
    Source   money rules V1 (order), S2 (first match wins), V3 (effective dates).
    """
    check_rules(rules)
    ordered = sorted(rules, key=lambda rule: (rule.stage, rule.position, rule.rule_id))
    filled: list[pl.Expr] = []
    for target in dict.fromkeys(rule.target for rule in ordered):
        stated = pl.col(target).is_not_null()
        chosen, value = pl.when(stated).then(None), pl.when(stated).then(pl.col(target))
        for rule in (rule for rule in ordered if rule.target == target):
            matches = _matches(rule)
            chosen = chosen.when(matches).then(pl.lit(rule.rule_id, dtype=pl.Int64))
            value = value.when(matches).then(pl.lit(rule.value))
        filled += [value.otherwise(None).alias(target)]
        filled += [chosen.otherwise(None).cast(pl.Int64).alias(f"{target}_{RULE_COLUMN}")]
    return calls.with_columns(filled)


def moves(calls: pl.DataFrame, before: Sequence[TagRule], after: Sequence[TagRule]) -> Moves:
    """A dry run: the calls and the money that change their payer between two sets of rules.

    Shapes   as `apply_rules`, with `effective_cost` → Moves. Nothing is lost: each moved cost leaves one payer and
             reaches one.
    """
    one, two = apply_rules(calls, before), apply_rules(calls, after)
    targets = sorted({rule.target for rule in (*before, *after)})
    changed = pl.lit(False)
    parts: list[pl.DataFrame] = []
    paired = calls.select("effective_cost").with_columns(
        *(one[target].alias(f"{target}_before") for target in targets),
        *(two[target].alias(f"{target}_after") for target in targets),
    )
    for target in targets:
        differs = pl.col(f"{target}_before").ne_missing(pl.col(f"{target}_after"))
        changed = changed | differs
        parts.append(
            paired.filter(differs)
            .group_by(pl.col(f"{target}_before").alias("before"), pl.col(f"{target}_after").alias("after"))
            .agg(
                pl.len().cast(pl.Int64).alias("calls"),
                _known_sum(pl.col("effective_cost")).alias("effective_cost"),
                pl.col("effective_cost").null_count().cast(pl.Int64).alias("unpriced_calls"),
            )
            .select(pl.lit(target).alias("target"), pl.all())
            .sort("before", "after")
        )
    table = pl.concat(parts) if parts else pl.DataFrame(schema=_MOVES)
    return Moves(paired.select(changed.sum()).item() if targets else 0, table)


_MOVES: Mapping[str, pl.DataType] = {
    "target": pl.String(),
    "before": pl.String(),
    "after": pl.String(),
    "calls": pl.Int64(),
    "effective_cost": USD,
    "unpriced_calls": pl.Int64(),
}


def _matches(rule: TagRule) -> pl.Expr:
    matches = pl.all_horizontal(condition.holds() for condition in rule.conditions)
    if rule.valid_from is not None:
        matches = matches & (pl.col("at") >= rule.valid_from)
    if rule.valid_to is not None:
        matches = matches & (pl.col("at") < rule.valid_to)
    return matches


def _known_sum(cost: pl.Expr) -> pl.Expr:
    return pl.when(cost.is_not_null().any()).then(cost.sum()).otherwise(None)
