"""`/api/v1/budgets`, `/channels`, `/incidents` and `/deliveries`: guardrails as resources."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field, model_validator

from app import alerts, wiring
from app.auth import Principal, editor, viewer
from app.routes.asking import json_response
from app.tasks.spend import state_of_budget
from models.core.controls import Budget, ChannelKind
from models.core.errors import BadInput, NotFound
from models.core.money import plain, rounded
from models.core.time import rfc3339
from models.costs.budgets import BudgetMode, BudgetPeriod, parse_filters
from models.store import controls, deliveries, incidents
from models.store.audit import append_audit

router = APIRouter(prefix="/api/v1", tags=["guardrails"])

Viewer = Annotated[Principal, Depends(viewer)]
Editor = Annotated[Principal, Depends(editor)]


class NewChannel(BaseModel):
    """A webhook, Slack hook or mail address. Without a filter it takes every alert of its project."""

    kind: ChannelKind
    name: str = Field(min_length=1, max_length=200)
    url: str = Field(min_length=1, max_length=2000)
    secret: str | None = Field(default=None, min_length=1, max_length=500)
    filter: list[str] = []


class NewBudget(BaseModel):
    """An amount for a period over what a filter selects."""

    name: str = Field(min_length=1, max_length=200)
    filter: list[str] = []
    period: BudgetPeriod = BudgetPeriod.MONTH
    rolling_days: int | None = Field(default=None, ge=1, le=366)
    amount: Decimal = Field(gt=0, max_digits=30, decimal_places=15)
    thresholds: list[Annotated[int, Field(ge=1, le=1000)]] = [50, 80, 100]
    channels: list[str] = []
    mode: BudgetMode = BudgetMode.NOTIFY
    owner: str | None = Field(default=None, max_length=200)

    @model_validator(mode="after")
    def rolling_says_how_long(self) -> "NewBudget":
        """A rolling budget has days; the others have a calendar."""
        if (self.period is BudgetPeriod.ROLLING) != (self.rolling_days is not None):
            raise ValueError("`rolling_days` belongs to period `rolling`, and only there")
        return self


class Snooze(BaseModel):
    """How long to be quiet."""

    minutes: int = Field(default=60, ge=1, le=7 * 24 * 60)


def _created(body: dict[str, Any]) -> Response:
    answer = json_response(body)
    answer.status_code = 201
    return answer


def _id(text: str, what: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise BadInput(f"{text!r} is no id of a {what}.", [{"field": what, "reason": f"{text!r} is no id"}])
    return int(text)


@router.post("/channels", status_code=201)
def add_channel(who: Editor, new: NewChannel) -> Response:
    """Add a channel. Private addresses are refused unless JEVONS_ALLOW_PRIVATE_WEBHOOKS=1."""
    parse_filters(new.filter)
    alerts.check_url(new.kind, new.url, allow_private=wiring.current().settings.allow_private_webhooks)
    with wiring.transaction() as connection:
        channel = controls.add_channel(
            connection,
            who.project_id,
            kind=new.kind,
            name=new.name,
            url=new.url,
            secret=new.secret,
            filters=new.filter,
        )
        _audit(connection, who, "channel.add", f"channel:{channel.id}", {"kind": new.kind.value, "name": new.name})
    return _created(channel.as_json())


@router.get("/channels")
def list_channels(who: Viewer) -> Response:
    """Channels in use; secrets are never shown."""
    with wiring.transaction() as connection:
        rows = controls.list_channels(connection, who.project_ids)
    return json_response({"rows": [channel.as_json() for channel in rows], "next_cursor": None})


@router.post("/channels/{channel_id}/test", status_code=204)
def test_channel(who: Editor, channel_id: str) -> Response:
    """Send a message that says it is a test, at once. 502 with the channel's answer where it does not arrive."""
    number = _id(channel_id, "channel")
    with wiring.transaction() as connection:
        listed = controls.list_channels(connection, [who.project_id])
        channel = next((one for one in listed if one.id == number), None)
        if channel is None:
            raise NotFound(f"there is no channel {channel_id}. `GET /api/v1/channels` lists them.")
        _audit(connection, who, "channel.test", f"channel:{channel_id}", None)
    alerts.send(channel, alerts.test_message(channel, datetime.now(UTC)), "test", 0, wiring.current().settings)
    return Response(status_code=204)


@router.delete("/channels/{channel_id}", status_code=204)
def remove_channel(who: Editor, channel_id: str) -> Response:
    """Send nothing there any more."""
    with wiring.transaction() as connection:
        controls.remove_channel(connection, who.project_id, _id(channel_id, "channel"), datetime.now(UTC))
        _audit(connection, who, "channel.remove", f"channel:{channel_id}", None)
    return Response(status_code=204)


@router.post("/budgets", status_code=201)
def add_budget(who: Editor, new: NewBudget) -> Response:
    """Add a budget; it counts what its period has spent already."""
    parse_filters(new.filter)
    with wiring.transaction() as connection:
        budget = controls.add_budget(
            connection,
            who.project_id,
            name=new.name,
            filters=new.filter,
            period=new.period.value,
            rolling_days=new.rolling_days,
            amount=new.amount,
            thresholds=new.thresholds,
            channels=[_id(channel, "channel") for channel in new.channels],
            mode=new.mode.value,
            owner=new.owner,
        )
        _audit(connection, who, "budget.add", f"budget:{budget.id}", budget.as_json())
    return _created(_budget(budget))


@router.get("/budgets")
def list_budgets(who: Viewer) -> Response:
    """Budgets and how they stand now."""
    with wiring.transaction() as connection:
        rows = controls.list_budgets(connection, who.project_ids)
    return json_response({"rows": [_budget(budget) for budget in rows], "next_cursor": None})


@router.put("/budgets/{budget_id}")
def change_budget(who: Editor, budget_id: str, new: NewBudget) -> Response:
    """Put other terms in the place of a budget's; it counts what its period has spent already."""
    parse_filters(new.filter)
    with wiring.transaction() as connection:
        revisions = {one.id: one.revision for one in controls.list_budgets(connection, [who.project_id])}
        budget = controls.change_budget(
            connection,
            who.project_id,
            _id(budget_id, "budget"),
            name=new.name,
            filters=new.filter,
            period=new.period.value,
            rolling_days=new.rolling_days,
            amount=new.amount,
            thresholds=new.thresholds,
            channels=[_id(channel, "channel") for channel in new.channels],
            mode=new.mode.value,
            owner=new.owner,
        )
        if budget.revision != revisions.get(budget.id):
            incidents.resolve_budgets(connection, [budget.id], datetime.now(UTC), "a change of the budget")
        _audit(connection, who, "budget.change", f"budget:{budget.id}", budget.as_json())
    return json_response(_budget(budget))


@router.delete("/budgets/{budget_id}", status_code=204)
def remove_budget(who: Editor, budget_id: str) -> Response:
    """End a budget and its open incident; all stay on record."""
    at = datetime.now(UTC)
    with wiring.transaction() as connection:
        controls.remove_budget(connection, who.project_id, _id(budget_id, "budget"), at)
        incidents.resolve_budgets(connection, [_id(budget_id, "budget")], at, "removal of the budget")
        _audit(connection, who, "budget.remove", f"budget:{budget_id}", None)
    return Response(status_code=204)


def _budget(budget: Budget) -> dict[str, Any]:
    state, start, end = state_of_budget(budget, datetime.now(UTC))
    return {
        **budget.as_json(),
        "period_start": rfc3339(start),
        "period_end": rfc3339(end),
        "spent": plain(state.spent),
        "remaining": plain(state.remaining),
        "percent": plain(rounded(state.percent, 2)),
        "thresholds_crossed": list(state.crossed),
        "forecast": None if state.forecast is None else plain(rounded(state.forecast, 2)),
        "will_exceed": state.will_exceed,
    }


@router.get("/incidents")
def list_incidents(
    who: Viewer,
    state: Literal["open", "acknowledged", "snoozed", "resolved"] | None = None,
    trace_id: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    """Incidents, the newest first."""
    with wiring.transaction() as connection:
        found = incidents.list_incidents(
            connection,
            who.project_ids,
            state=state,
            trace_id=bytes.fromhex(trace_id) if trace_id else None,
            limit=limit + 1,
            before_id=None if cursor is None else _id(cursor, "incident"),
        )
    page = found[:limit]
    following = str(page[-1].id) if len(found) > limit else None
    return json_response({"rows": [incident.as_json() for incident in page], "next_cursor": following})


@router.get("/incidents/{incident_id}")
def one_incident(who: Viewer, incident_id: str) -> Response:
    """One incident with its evidence."""
    with wiring.transaction() as connection:
        found = incidents.incident_by_id(connection, who.project_ids, _id(incident_id, "incident"))
    return json_response(found.as_json())


@router.post("/incidents/{incident_id}/acknowledge")
def acknowledge(who: Editor, incident_id: str) -> Response:
    """Somebody has it: it stays quiet."""
    with wiring.transaction() as connection:
        number, at = _id(incident_id, "incident"), datetime.now(UTC)
        changed = incidents.acknowledge(connection, who.project_ids, number, who.actor, at)
        _audit(connection, who, "incident.acknowledge", f"incident:{incident_id}", None)
    return json_response(changed.as_json())


@router.post("/incidents/{incident_id}/snooze")
def snooze(who: Editor, incident_id: str, how: Snooze | None = None) -> Response:
    """Quiet for a while, an hour by default; if it still goes on then, it speaks again."""
    until = datetime.now(UTC) + timedelta(minutes=(how or Snooze()).minutes)
    with wiring.transaction() as connection:
        changed = incidents.snooze(connection, who.project_ids, _id(incident_id, "incident"), until)
        _audit(connection, who, "incident.snooze", f"incident:{incident_id}", {"until": rfc3339(until)})
    return json_response(changed.as_json())


@router.post("/incidents/{incident_id}/resolve")
def resolve(who: Editor, incident_id: str) -> Response:
    """It is over. If it goes on, it opens again by itself."""
    with wiring.transaction() as connection:
        number, at = _id(incident_id, "incident"), datetime.now(UTC)
        changed = incidents.resolve(connection, who.project_ids, number, who.actor, at)
        _audit(connection, who, "incident.resolve", f"incident:{incident_id}", None)
    wiring.current().hint("deliver")
    return json_response(changed.as_json())


@router.get("/deliveries")
def list_deliveries(
    who: Viewer,
    state: Literal["pending", "delivered", "dead"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """What went to which channel; `state=dead` lists what no channel took."""
    with wiring.transaction() as connection:
        rows = deliveries.list_deliveries(connection, who.project_ids, state=state, limit=limit)
    return json_response({"rows": [_delivery(row) for row in rows], "next_cursor": None})


@router.post("/deliveries/{delivery_id}/retry", status_code=204)
def send_again(who: Editor, delivery_id: str) -> Response:
    """Give a dead delivery a new start."""
    with wiring.transaction() as connection:
        deliveries.send_again(connection, who.project_ids, _id(delivery_id, "delivery"), datetime.now(UTC))
    wiring.current().hint("deliver")
    return Response(status_code=204)


def _delivery(row: deliveries.DeliveryStatus) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "incident_id": str(row.incident_id),
        "channel_id": str(row.channel_id),
        "event": row.event,
        "state": row.state,
        "attempts": row.attempts,
        "last_error": row.last_error,
        "created_at": row.created_at,
        "next_attempt_at": row.next_attempt_at,
        "delivered_at": row.delivered_at,
    }


def _audit(connection: Any, who: Principal, action: str, subject: str, after: dict[str, Any] | None) -> None:
    append_audit(
        connection,
        actor=who.actor,
        action=action,
        subject=subject,
        at=datetime.now(UTC),
        after=after,
        project_id=who.project_id,
    )
