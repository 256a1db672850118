"""`/api/v1/tag-rules`: ownership rules, what they would move, and moving it."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from app import closing, wiring
from app.auth import Principal, editor, viewer
from app.routes.asking import json_response
from models.core.errors import BadInput
from models.costs.attribution_rules import Condition, Match, Stage, TagRule
from models.store.audit import append_audit
from models.store.reattribution import dry_run
from models.store.tag_rules import list_rules, live_rules, retire_rule, save_rule, usable

router = APIRouter(prefix="/api/v1/tag-rules", tags=["ownership"])

Reads = Annotated[Principal, Depends(viewer)]
Edits = Annotated[Principal, Depends(editor)]


class ConditionBody(BaseModel):
    """One dimension compared with one pattern: `equals`, `prefix`, `glob` or `regex`."""

    model_config = ConfigDict(extra="forbid")

    dimension: str = Field(min_length=1, max_length=200)
    match: Match = Match.EQUALS
    pattern: str = Field(min_length=1, max_length=1000)


class RuleBody(BaseModel):
    """Gives `target` the value where all conditions hold and the span itself states none."""

    model_config = ConfigDict(extra="forbid")

    target: str = "team"
    value: str = Field(min_length=1, max_length=200)
    conditions: list[ConditionBody] = Field(min_length=1, max_length=20)
    position: int = Field(100, ge=0, le=1_000_000)
    stage: str = "rule"
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime | None = None

    @field_validator("stage")
    @classmethod
    def stage_is_known(cls, stage: str) -> str:
        """`principal`, `service` or `rule`."""
        if stage.upper() not in Stage.__members__:
            raise ValueError(f"{stage!r} is not among {', '.join(name.lower() for name in Stage.__members__)}")
        return stage

    def rule(self, number: int) -> TagRule:
        """The rule it describes."""
        return TagRule(
            rule_id=number,
            position=self.position,
            target=self.target,
            value=self.value,
            conditions=tuple(
                Condition(dimension=each.dimension, match=each.match, pattern=each.pattern) for each in self.conditions
            ),
            stage=Stage[self.stage.upper()],
            valid_from=self.valid_from,
            valid_to=self.valid_to,
        )


class DryRun(BaseModel):
    """Rules to try: added to those in force, instead of one of them, or in place of all."""

    model_config = ConfigDict(extra="forbid")

    rules: list[RuleBody] | None = None
    """All the rules there would be."""
    add: list[RuleBody] = []
    replace: dict[int, RuleBody] = {}
    retire: list[int] = []


class Apply(BaseModel):
    """Moving costs; the reason stands in the audit trail."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(default=None, max_length=2000)


@router.get("")
def rules(who: Reads) -> Response:
    """The rules in force, in the order in which they are asked: the first that matches wins."""
    with wiring.transaction() as connection:
        rows = [kept.as_json() for kept in list_rules(connection, who.project_id)]
    return json_response({"rows": rows, "next_cursor": None})


Applied = Annotated[bool, Query(description="Move the costs of open months as well, in the same request.")]


@router.post("", status_code=201)
def add(body: RuleBody, who: Edits, apply: Applied = False) -> Response:
    """Add a rule. It holds for new calls at once; `apply` moves those of open months."""
    with wiring.transaction() as connection:
        kept = save_rule(connection, who.project_id, body.rule(0), who.actor)
        _audit(connection, who, "tag_rule.add", kept.rule.rule_id, None, kept.as_json())
    if apply:
        closing.apply_rules(who.project_id, actor=who.actor)
    answer = json_response(kept.as_json())
    answer.status_code = 201
    return answer


@router.put("/{rule_id}")
def change(rule_id: int, body: RuleBody, who: Edits) -> Response:
    """Give a rule another version."""
    with wiring.transaction() as connection:
        before = [kept.as_json() for kept in list_rules(connection, who.project_id) if kept.rule.rule_id == rule_id]
        kept = save_rule(connection, who.project_id, body.rule(rule_id), who.actor)
        _audit(connection, who, "tag_rule.change", rule_id, before[0], kept.as_json())
    return json_response(kept.as_json())


@router.delete("/{rule_id}", status_code=204)
def retire(rule_id: int, who: Edits, apply: Applied = False) -> Response:
    """Take a rule out of force; its versions stay on record."""
    with wiring.transaction() as connection:
        kept = retire_rule(connection, who.project_id, rule_id)
        _audit(connection, who, "tag_rule.retire", rule_id, kept.as_json(), None)
    if apply:
        closing.apply_rules(who.project_id, actor=who.actor)
    return Response(status_code=204)


@router.post("/dry-run")
def try_rules(who: Reads, body: DryRun | None = None) -> Response:
    """What would move in open months: calls and money by month, target, value before and after. Nothing is written."""
    asked = body or DryRun()
    with wiring.transaction() as connection:
        wanted = _wanted(asked, list(live_rules(connection, who.project_id)))
        usable(wanted)
        return json_response(closing.moved_json(dry_run(connection, who.project_id, wanted)))


@router.post("/apply")
def apply_all(who: Edits, how: Apply | None = None) -> Response:
    """Move the costs of open months to the owners that the rules in force name; twice moves nothing twice."""
    moved = closing.apply_rules(who.project_id, actor=who.actor, reason=(how or Apply()).reason)
    return json_response(closing.moved_json(moved))


def _wanted(asked: DryRun, live: list[TagRule]) -> list[TagRule]:
    known = {rule.rule_id for rule in live}
    unknown = [number for number in (*asked.replace, *asked.retire) if number not in known]
    if unknown:
        reason = f"there is no rule {unknown[0]} in force"
        raise BadInput(reason + ".", [{"field": "replace", "reason": reason}])
    if asked.rules is not None:
        return [body.rule(-number) for number, body in enumerate(asked.rules, start=1)]
    kept = [rule for rule in live if rule.rule_id not in asked.retire and rule.rule_id not in asked.replace]
    kept += [body.rule(number) for number, body in asked.replace.items()]
    # New rules come after those in force where positions are equal, as they would once they are saved.
    following = max(known, default=0) + 1
    return kept + [body.rule(number) for number, body in enumerate(asked.add, start=following)]


def _audit(connection: Any, who: Principal, action: str, rule_id: int, before: Any, after: Any) -> None:
    append_audit(
        connection,
        actor=who.actor,
        action=action,
        subject=f"tag_rule:{rule_id}",
        at=datetime.now(UTC),
        before=before,
        after=after,
        project_id=who.project_id,
    )
