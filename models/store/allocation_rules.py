"""Rules by which one billed request is shared among its agents: kept as facts, and found for each call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import polars as pl
from sqlalchemy import Connection, text

from models.core.errors import BadInput, Conflict, NotFound
from models.core.time import rfc3339
from models.costs.attribution_rules import Condition, Match, TagRule, apply_rules
from models.costs.sharing import SharingRule
from models.store.interning import ATTRIBUTION
from models.store.tag_rules import usable
from models.store.tagging import RULE_DIMENSIONS, TAG

_TARGET = "allocation"
NARROW = tuple(name for name in RULE_DIMENSIONS if name in ATTRIBUTION)
"""Dimensions of rules that an attribution holds; the others belong to the unit of work."""


@dataclass(slots=True, frozen=True, kw_only=True)
class AllocationRule:
    """Shares the cost of calls where all conditions hold, by one method, among agents."""

    rule_id: int
    name: str
    method: SharingRule
    conditions: tuple[Condition, ...]
    agents: tuple[str, ...] | None = None
    """None: those that each call names."""
    recorded_at: datetime | None = None
    recorded_by: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The rule as shown outside."""
        return {
            "id": self.rule_id,
            "name": self.name,
            "method": self.method.value,
            "conditions": [
                {"dimension": each.dimension, "match": each.match.value, "pattern": each.pattern}
                for each in self.conditions
            ],
            "agents": None if self.agents is None else list(self.agents),
            "recorded_at": None if self.recorded_at is None else rfc3339(self.recorded_at),
            "recorded_by": self.recorded_by,
        }


def list_allocation_rules(connection: Connection, project_id: int) -> Sequence[AllocationRule]:
    """The rules in force, in the order in which they are asked: the oldest that matches wins."""
    rows = connection.execute(
        text(
            "SELECT rule_id, name, method, conditions, agents, recorded_at, recorded_by FROM allocation_rules "
            "WHERE project_id = :project_id AND retired_at IS NULL ORDER BY rule_id"
        ),
        {"project_id": project_id},
    )
    return [
        AllocationRule(
            rule_id=row.rule_id,
            name=row.name,
            method=SharingRule(row.method),
            conditions=tuple(
                Condition(dimension=each["dimension"], match=Match(each["match"]), pattern=each["pattern"])
                for each in row.conditions
            ),
            agents=None if row.agents is None else tuple(row.agents),
            recorded_at=row.recorded_at,
            recorded_by=row.recorded_by,
        )
        for row in rows
    ]


def add_allocation_rule(connection: Connection, project_id: int, rule: AllocationRule, actor: str) -> AllocationRule:
    """Keep a rule under the next free id.

    Raises   BadInput where it could not mean anything; Conflict where its name is in force already.
    """
    usable([_as_tag_rule(rule, "team")])
    if rule.agents is not None:
        if rule.method is SharingRule.BY_OUTPUT:
            reason = "output is told by each call; leave the agents out"
            raise BadInput(f"{reason}.", [{"field": "agents", "reason": reason}])
        if not rule.agents or len(set(rule.agents)) != len(rule.agents):
            reason = "name at least one agent, and each once"
            raise BadInput(f"{reason}.", [{"field": "agents", "reason": reason}])
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('allocation_rules'), :project_id)"), {"project_id": project_id}
    )
    if any(known.name == rule.name for known in list_allocation_rules(connection, project_id)):
        raise Conflict(f"an allocation rule {rule.name!r} is in force. Retire it first, or choose another name.")
    number: int = connection.execute(
        text("SELECT coalesce(max(rule_id), 0) + 1 FROM allocation_rules WHERE project_id = :project_id"),
        {"project_id": project_id},
    ).scalar_one()
    connection.execute(
        text(
            "INSERT INTO allocation_rules (project_id, rule_id, name, method, conditions, agents, recorded_by) "
            "VALUES (:project_id, :rule_id, :name, :method, CAST(:conditions AS jsonb), :agents, :recorded_by)"
        ),
        {
            "project_id": project_id,
            "rule_id": number,
            "name": rule.name,
            "method": rule.method.value,
            "conditions": orjson.dumps(rule.as_json()["conditions"]).decode(),
            "agents": None if rule.agents is None else list(rule.agents),
            "recorded_by": actor,
        },
    )
    return allocation_rule(connection, project_id, number)


def allocation_rule(connection: Connection, project_id: int, rule_id: int) -> AllocationRule:
    """One rule in force.

    Raises   NotFound naming those there are.
    """
    known = list_allocation_rules(connection, project_id)
    for rule in known:
        if rule.rule_id == rule_id:
            return rule
    there = ", ".join(str(rule.rule_id) for rule in known) or "none"
    raise NotFound(f"there is no allocation rule {rule_id} in force. There are: {there}.")


def retire_allocation_rule(connection: Connection, project_id: int, rule_id: int) -> AllocationRule:
    """Take a rule out of force; it stays on record. Raises NotFound."""
    rule = allocation_rule(connection, project_id, rule_id)
    connection.execute(
        text(
            "UPDATE allocation_rules SET retired_at = now() "
            "WHERE project_id = :project_id AND rule_id = :rule_id AND retired_at IS NULL"
        ),
        {"project_id": project_id, "rule_id": rule_id},
    )
    return rule


def rules_for(rows: Sequence[Mapping[str, Any]], rules: Sequence[AllocationRule]) -> list[int | None]:
    """The id of the first rule that each call meets, or None.

    Shapes   n calls with the columns of ATTRIBUTION, task, session, user_id, tags and end_at → n ids.
    """
    if not rules or not rows:
        return [None] * len(rows)
    names = {condition.dimension for rule in rules for condition in rule.conditions}
    columns = {name: [_value(row, name) for row in rows] for name in names}
    frame = pl.DataFrame(
        {**columns, _TARGET: [None] * len(rows), "at": [row["end_at"] for row in rows]},
        schema={**dict.fromkeys(columns, pl.String), _TARGET: pl.String, "at": pl.Datetime("us", "UTC")},
    )
    found = apply_rules(frame, [_as_tag_rule(rule, _TARGET) for rule in rules])
    return found[f"{_TARGET}_rule_id"].to_list()


def _value(row: Mapping[str, Any], name: str) -> str | None:
    if name.startswith(TAG):
        return row["tags"].get(name.removeprefix(TAG))
    return row["user_id" if name == "user" else name]


def _as_tag_rule(rule: AllocationRule, target: str) -> TagRule:
    return TagRule(
        rule_id=rule.rule_id, position=rule.rule_id, target=target, value=rule.name, conditions=rule.conditions
    )


def attributions_met(connection: Connection, project_id: int, rules: Sequence[AllocationRule]) -> list[int]:
    """Attributions whose calls a rule may meet: conditions on task, session, user and tags are taken as met."""
    narrowed = [[each for each in rule.conditions if each.dimension in NARROW] for rule in rules]
    rows = connection.execute(
        text(f"SELECT attribution_id, {', '.join(NARROW)} FROM attributions WHERE project_id = :project_id"),
        {"project_id": project_id},
    ).all()
    frame = pl.DataFrame(
        [tuple(row) for row in rows],
        schema={"attribution_id": pl.Int64, **dict.fromkeys(NARROW, pl.String)},
        orient="row",
    )
    met = [pl.all_horizontal(each.holds() for each in held) if held else pl.lit(True) for held in narrowed]
    return frame.filter(pl.any_horizontal(met))["attribution_id"].to_list() if met else []
