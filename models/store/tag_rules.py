"""Ownership rules: kept as versions, read as those in force. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, text

from models.core.errors import BadInput, NotFound
from models.core.time import rfc3339
from models.costs.attribution_rules import Condition, Match, Stage, TagRule, check_rules
from models.store.tagging import RULE_DIMENSIONS, TAG, TARGETS

_COLUMNS = (
    "rule_id, version, position, stage, target, value, conditions, valid_from, valid_to, recorded_at, recorded_by"
)


@dataclass(slots=True, frozen=True)
class KeptRule:
    """A rule in force, and the version it has come to."""

    rule: TagRule
    version: int
    recorded_at: datetime
    recorded_by: str

    def as_json(self) -> dict[str, Any]:
        """The rule as shown outside."""
        return {
            **rule_json(self.rule),
            "version": self.version,
            "recorded_at": rfc3339(self.recorded_at),
            "recorded_by": self.recorded_by,
        }


def rule_json(rule: TagRule) -> dict[str, Any]:
    """What a rule says."""
    return {
        "id": rule.rule_id,
        "position": rule.position,
        "stage": rule.stage.name.lower(),
        "target": rule.target,
        "value": rule.value,
        "conditions": [
            {"dimension": each.dimension, "match": each.match.value, "pattern": each.pattern}
            for each in rule.conditions
        ],
        "valid_from": None if rule.valid_from is None else rfc3339(rule.valid_from),
        "valid_to": None if rule.valid_to is None else rfc3339(rule.valid_to),
    }


def list_rules(connection: Connection, project_id: int) -> Sequence[KeptRule]:
    """The rules in force, in the order in which they are asked."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM tag_rules WHERE project_id = :project_id AND superseded_at IS NULL "
            "ORDER BY stage, position, rule_id"
        ),
        {"project_id": project_id},
    )
    return [KeptRule(_rule(row._mapping), row.version, row.recorded_at, row.recorded_by) for row in rows]


def live_rules(connection: Connection, project_id: int) -> Sequence[TagRule]:
    """The rules in force."""
    return [kept.rule for kept in list_rules(connection, project_id)]


def usable(rules: Sequence[TagRule]) -> None:
    """Refuse rules that could not mean anything here.

    Raises   BadInput naming the rule and what it gets wrong.
    """
    check_rules(rules)
    for rule in rules:
        if rule.target not in TARGETS:
            raise BadInput(
                f"rule {rule.rule_id} gives {rule.target!r}; rules give {' or '.join(TARGETS)}.",
                [{"field": "target", "reason": f"{rule.target!r} is neither {' nor '.join(TARGETS)}"}],
            )
        for condition in rule.conditions:
            name = condition.dimension
            if name not in RULE_DIMENSIONS and not (name.startswith(TAG) and len(name) > len(TAG)):
                known = ", ".join(RULE_DIMENSIONS)
                raise BadInput(
                    f"rule {rule.rule_id} asks {name!r}; rules can ask {known} and tag:KEY.",
                    [{"field": "conditions", "reason": f"{name!r} is no dimension of a rule"}],
                )


def save_rule(connection: Connection, project_id: int, rule: TagRule, actor: str) -> KeptRule:
    """Add a rule (id 0) or a new version of one; the same rule again adds nothing.

    Raises   BadInput; NotFound where the rule to change is not in force.
    """
    usable([rule])
    # One writer of rules at a time: ids count up per project, and no two versions may be live.
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('tag_rules'), :project_id)"), {"project_id": project_id}
    )
    version = 1
    number = rule.rule_id
    if number:
        kept = kept_rule(connection, project_id, number)
        if kept.rule == rule:
            return kept
        version = kept.version + 1
        _supersede(connection, project_id, number)
    else:
        number = connection.execute(
            text("SELECT coalesce(max(rule_id), 0) + 1 FROM tag_rules WHERE project_id = :project_id"),
            {"project_id": project_id},
        ).scalar_one()
    facts = rule_json(rule)
    connection.execute(
        text(
            "INSERT INTO tag_rules (project_id, rule_id, version, position, stage, target, value, conditions, "
            "valid_from, valid_to, recorded_by) VALUES (:project_id, :rule_id, :version, :position, :stage, :target, "
            ":value, CAST(:conditions AS jsonb), :valid_from, :valid_to, :recorded_by)"
        ),
        {
            "project_id": project_id,
            "rule_id": number,
            "version": version,
            "position": rule.position,
            "stage": rule.stage.value,
            "target": rule.target,
            "value": rule.value,
            "conditions": orjson.dumps(facts["conditions"]).decode(),
            "valid_from": rule.valid_from,
            "valid_to": rule.valid_to,
            "recorded_by": actor,
        },
    )
    return kept_rule(connection, project_id, number)


def kept_rule(connection: Connection, project_id: int, rule_id: int) -> KeptRule:
    """One rule in force.

    Raises   NotFound naming those there are.
    """
    known = list_rules(connection, project_id)
    for kept in known:
        if kept.rule.rule_id == rule_id:
            return kept
    there = ", ".join(str(kept.rule.rule_id) for kept in known) or "none"
    raise NotFound(f"there is no rule {rule_id} in force. There are: {there}.")


def retire_rule(connection: Connection, project_id: int, rule_id: int) -> KeptRule:
    """Take a rule out of force; its versions stay. Raises NotFound."""
    kept = kept_rule(connection, project_id, rule_id)
    _supersede(connection, project_id, rule_id)
    return kept


def _supersede(connection: Connection, project_id: int, rule_id: int) -> None:
    connection.execute(
        text(
            "UPDATE tag_rules SET superseded_at = now() "
            "WHERE project_id = :project_id AND rule_id = :rule_id AND superseded_at IS NULL"
        ),
        {"project_id": project_id, "rule_id": rule_id},
    )


def _rule(row: Mapping[Any, Any]) -> TagRule:
    return TagRule(
        rule_id=row["rule_id"],
        position=row["position"],
        target=row["target"],
        value=row["value"],
        conditions=tuple(
            Condition(dimension=each["dimension"], match=Match(each["match"]), pattern=each["pattern"])
            for each in row["conditions"]
        ),
        stage=Stage(row["stage"]),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
    )
