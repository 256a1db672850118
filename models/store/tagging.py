"""Who a call belongs to: what it states, and for what it leaves open the ownership rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from models.core.vocabulary import NARROW_DIMENSIONS, WIDE_DIMENSIONS
from models.costs.attribution_rules import RULE_COLUMN, TagRule, apply_rules
from models.store.interning import ATTRIBUTION, Interner

TAG = "tag:"
TARGETS = ("team", "cost_center")
_UNKNOWN_YET = ("project", "deployment", "hardware")
"""Not asked by rules: a rule holds within a project, and a call finds its deployment after it found its owner."""
RULE_DIMENSIONS = (*(name for name in NARROW_DIMENSIONS if name not in _UNKNOWN_YET), *WIDE_DIMENSIONS)


@dataclass(slots=True, frozen=True)
class Interned:
    """Attributions and units of work by id, as the columns of ATTRIBUTION and (task, session, user, tags)."""

    attributions: Mapping[int, tuple[Any, ...]]
    units: Mapping[int, tuple[Any, ...]]


def boundaries(rules: Sequence[TagRule]) -> list[datetime]:
    """The moments at which a rule begins or ends, in order: between two of them every call is treated alike."""
    return sorted({moment for rule in rules for moment in (rule.valid_from, rule.valid_to) if moment is not None})


def tagged(rows: pl.DataFrame, rules: Sequence[TagRule], interner: Interner) -> pl.Series:
    """The attribution of each row with the rules applied; new ones are interned.

    Shapes   rows with attribution_id, unit_id (both of this interner) and end_at → n ids, in their order.
    """
    interned = Interned(
        {number: key for key, number in interner.attributions.items()},
        {number: key for key, number in interner.units.items()},
    )
    cuts = boundaries(rules)
    segment = pl.sum_horizontal(pl.lit(0, dtype=pl.Int64), *((pl.col("end_at") >= cut).cast(pl.Int64) for cut in cuts))
    keyed = rows.select("attribution_id", "unit_id", pl.col("end_at").alias("at"), segment.alias("segment"))
    groups = keyed.group_by("attribution_id", "unit_id", "segment").agg(pl.col("at").min())
    groups = with_owners(groups, rules, interned, interner)
    return keyed.join(groups, on=("attribution_id", "unit_id", "segment"), how="left", maintain_order="left")[
        "belongs"
    ].alias("attribution_id")


def with_owners(groups: pl.DataFrame, rules: Sequence[TagRule], interned: Interned, interner: Interner) -> pl.DataFrame:
    """Groups of calls with the attribution that the rules give them.

    Shapes   attribution_id, unit_id, at (any moment of the group), … → the same rows and order.
    Adds     stated and rule-given values side by side: team, cost_center (as they will be), their `_before`, and
             `belongs`, the id of the attribution.
    """
    position = {name: index for index, name in enumerate(ATTRIBUTION)}
    held = [interned.attributions[number] for number in groups["attribution_id"]]
    units = [interned.units.get(number, (None, None, None, "{}")) for number in groups["unit_id"]]
    columns: dict[str, pl.Series] = {}
    for name in RULE_DIMENSIONS:
        if name in WIDE_DIMENSIONS:
            values = [unit[WIDE_DIMENSIONS.index(name)] for unit in units]
        else:
            values = [row[position[name]] for row in held]
        columns[name] = pl.Series(name, values, dtype=pl.String)
    for target in TARGETS:
        before = columns[target]
        given = pl.Series([row[position[f"{target}_{RULE_COLUMN}"]] is not None for row in held], dtype=pl.Boolean)
        columns[f"{target}_before"] = before
        # What a rule gave is no statement: it is asked anew.
        columns[target] = pl.select(pl.when(~given).then(before)).to_series()
    for name in {c.dimension for rule in rules for c in rule.conditions if c.dimension.startswith(TAG)}:
        key = name.removeprefix(TAG)
        columns[name] = pl.Series(name, [_tags(unit[3]).get(key) for unit in units], dtype=pl.String)
    known = groups.with_columns(series.alias(name) for name, series in columns.items())
    ruled = apply_rules(known, rules)
    belongs: list[int] = []
    for place, row in enumerate(ruled.iter_rows(named=True)):
        values = list(held[place])
        for target in TARGETS:
            values[position[target]] = row[target]
            values[position[f"{target}_{RULE_COLUMN}"]] = row.get(f"{target}_{RULE_COLUMN}")
        belongs.append(interner.intern(dict(zip(ATTRIBUTION, values, strict=True))))
    owners = [pl.Series("belongs", belongs, dtype=pl.Int64)]
    return groups.with_columns(
        *owners, *(ruled[name] for name in (*TARGETS, *(f"{target}_before" for target in TARGETS)))
    )


def _tags(stored: Any) -> Mapping[str, str]:
    return orjson.loads(stored) if isinstance(stored, str) else stored
