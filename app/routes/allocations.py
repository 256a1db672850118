"""`/api/v1/allocations`: rules by which one billed request is shared among its agents, and the shares."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app import wiring
from app.allocating import share_calls
from app.auth import Principal, editor, viewer
from app.routes.asking import json_response, period
from app.routes.periods import Named
from app.routes.tag_rules import ConditionBody
from models.core.time import rfc3339
from models.costs.attribution_rules import Condition
from models.costs.sharing import SharingRule
from models.store.allocation_rules import (
    AllocationRule,
    add_allocation_rule,
    list_allocation_rules,
    retire_allocation_rule,
)
from models.store.allocations import list_shares, share_json
from models.store.audit import append_audit

router = APIRouter(prefix="/api/v1/allocations", tags=["ownership"])

Reads = Annotated[Principal, Depends(viewer)]
Edits = Annotated[Principal, Depends(editor)]
MOST_SHARES = 10_000


class AllocationBody(BaseModel):
    """Shares calls where all conditions hold: `equal`, `by_output` (tokens) or `first_payer`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    method: SharingRule
    conditions: list[ConditionBody] = Field(min_length=1, max_length=20)
    agents: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(default=None, max_length=64)
    """Left out: the agents that each call names in `jevons.agents`."""

    def rule(self) -> AllocationRule:
        """The rule it describes."""
        return AllocationRule(
            rule_id=0,
            name=self.name,
            method=self.method,
            conditions=tuple(
                Condition(dimension=each.dimension, match=each.match, pattern=each.pattern) for each in self.conditions
            ),
            agents=None if self.agents is None else tuple(self.agents),
        )


@router.get("")
def rules(who: Reads) -> Response:
    """The rules in force, in the order in which they are asked: the oldest that matches wins."""
    with wiring.transaction() as connection:
        rows = [rule.as_json() for rule in list_allocation_rules(connection, who.project_id)]
    return json_response({"rows": rows, "next_cursor": None})


@router.post("", status_code=201)
def add(body: AllocationBody, who: Edits) -> Response:
    """Add a rule. It holds for new calls at once; `apply` shares those of open months."""
    with wiring.transaction() as connection:
        kept = add_allocation_rule(connection, who.project_id, body.rule(), who.actor)
        _audit(connection, who, "allocation.add", kept.rule_id, None, kept.as_json())
    answer = json_response(kept.as_json())
    answer.status_code = 201
    return answer


@router.delete("/{rule_id}", status_code=204)
def retire(rule_id: int, who: Edits) -> Response:
    """Take a rule out of force; `apply` gives shared calls of open months back to their own agents."""
    with wiring.transaction() as connection:
        kept = retire_allocation_rule(connection, who.project_id, rule_id)
        _audit(connection, who, "allocation.retire", rule_id, kept.as_json(), None)
    return Response(status_code=204)


@router.post("/apply")
def apply(
    who: Edits, dry_run: Annotated[bool, Query(description="Say what would be shared; write nothing.")] = False
) -> Response:
    """Share the calls of open months by the rules in force. Twice shares nothing twice."""
    return json_response(share_calls(who.project_id, actor=who.actor, dry_run=dry_run).as_json())


@router.get("/shares")
def shares(
    who: Reads,
    named: Named,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_SHARES)] = 1_000,
) -> Response:
    """Every agent's share of every shared call of a period, each with the name of its rule; the newest first."""
    since, until = period(start, end)
    with wiring.transaction() as connection:
        found = list_shares(connection, who.readable(named), since, until, limit)
    rows = [
        {
            "project": row.project,
            "trace_id": row.origin_id.hex(),
            "span_id": row.span_id.hex(),
            "end": rfc3339(row.end_at),
            **share_json(row),
        }
        for row in found
    ]
    return json_response({"rows": rows, "next_cursor": None})


def _audit(connection: Any, who: Principal, action: str, rule_id: int, before: Any, after: Any) -> None:
    append_audit(
        connection,
        actor=who.actor,
        action=action,
        subject=f"allocation_rule:{rule_id}",
        at=datetime.now(UTC),
        before=before,
        after=after,
        project_id=who.project_id,
    )
