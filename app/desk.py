"""Answers for the budgets and incident pages, out of the store and the cost functions."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app import wiring
from app.tasks.spend import HISTORY, state_of_budget
from ingest.steps import steps_of_trace
from models.core.controls import Budget, Channel, Incident
from models.core.desk import Burndown, Delivery, IncidentFile, Standing
from models.core.errors import BadInput, NotFound
from models.core.queries import CostQuery
from models.core.time import ns_of_utc
from models.costs import questions
from models.costs.budgets import BudgetPeriod, parse_filters
from models.costs.burndown import burn_down
from models.costs.evidence import burn_of, repeats_of
from models.costs.forecast import LEAST, forecast
from models.store import controls, deliveries, incidents
from models.store.telemetry import load_spans
from models.store.watching import watched_calls

DAY = timedelta(days=1)
SIMILAR = timedelta(days=30)


class ControlDesk:
    """Answers `dashboards.desk.Desk`."""

    def standings(self, project_id: int) -> Sequence[Standing]:
        """Every budget and how it stands now."""
        return [standing(budget, datetime.now(UTC)) for budget in _budgets(project_id)]

    def burndown(self, project_id: int, budget_id: int) -> Burndown:
        """One budget day by day, in UTC days.

        Raises   NotFound.
        """
        budget = next((one for one in _budgets(project_id) if one.id == budget_id), None)
        if budget is None:
            raise NotFound(f"there is no budget {budget_id}. `GET /api/v1/budgets` lists them.")
        at = datetime.now(UTC)
        return _burndown(budget, at)

    def incidents(self, project_id: int, limit: int = 200) -> Sequence[Incident]:
        """Incidents, the newest first."""
        with wiring.transaction() as connection:
            return incidents.list_incidents(connection, [project_id], limit=limit)

    def incident(self, project_id: int, incident_id: int) -> IncidentFile:
        """One incident with its evidence.

        Raises   NotFound.
        """
        with wiring.transaction() as connection:
            found = incidents.incident_by_id(connection, [project_id], incident_id)
            listed = incidents.list_incidents(connection, [project_id], limit=500, before_id=found.id)
            sent = [_delivery(row) for row in deliveries.list_deliveries(connection, [project_id], limit=1000)]
            channels = controls.list_channels(connection, [project_id])
            spans = load_spans(connection, project_id, [found.trace_id]) if found.trace_id else []
            known = watched_calls(connection, project_id, found.trace_id) if found.trace_id else None
        before = [
            one
            for one in listed
            if one.kind == found.kind and one.agent == found.agent and one.opened_at > found.opened_at - SIMILAR
        ]
        file = IncidentFile(
            incident=found,
            deliveries=[row for row in sent if row.incident_id == found.id],
            channels=channels,
            before=before,
        )
        if known is None:
            return file
        steps = steps_of_trace(spans, known.calls, known.costs)
        priced = [cost for cost in known.costs.values() if cost is not None]
        findings = found.evidence.get("findings") or []
        return IncidentFile(
            incident=found,
            deliveries=file.deliveries,
            channels=channels,
            before=before,
            repeats=repeats_of(
                steps,
                findings[0]["what"],
                findings[0]["agent"],
                ns_of_utc(datetime.fromisoformat(findings[0]["since"])),
                # Evidence is cut to microseconds; the last step ended within the one that is told.
                ns_of_utc(datetime.fromisoformat(findings[0]["last"])) + 999,
            )
            if findings
            else [],
            burn=burn_of(steps),
            trace_cost=sum(priced, Decimal(0)) if priced else None,
            task=next((call.task for call in known.calls if call.task), None),
        )

    def channels(self, project_id: int) -> Sequence[Channel]:
        """Channels in use."""
        with wiring.transaction() as connection:
            return controls.list_channels(connection, [project_id])

    def deliveries(self, project_id: int) -> Sequence[Delivery]:
        """The last deliveries, the newest first."""
        with wiring.transaction() as connection:
            return [_delivery(row) for row in deliveries.list_deliveries(connection, [project_id], limit=500)]


def standing(budget: Budget, at: datetime) -> Standing:
    """How a budget stands at a moment."""
    state, start, end = state_of_budget(budget, at)
    return Standing(
        budget=budget,
        start=start,
        end=end,
        spent=state.spent,
        percent=state.percent,
        crossed=state.crossed,
        forecast=state.forecast,
        will_exceed=state.will_exceed,
    )


def _budgets(project_id: int) -> Sequence[Budget]:
    with wiring.transaction() as connection:
        return controls.list_budgets(connection, [project_id])


def _burndown(budget: Budget, at: datetime) -> Burndown:
    _, start, end = state_of_budget(budget, at)
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    first, last = start.date(), (end - timedelta(microseconds=1)).date()
    query = CostQuery(
        projects=(budget.project_id,),
        start=min(start, today - HISTORY),
        end=today + DAY,
        filters=parse_filters(budget.filters),
    )
    begun, history = questions.daily_spend(wiring.current().reader.costs, query)
    by_day = {begun + number * DAY: cost for number, cost in enumerate(history)}
    length = (today.date() - first).days + 1
    spent = [by_day.get(first + number * DAY, Decimal(0)) for number in range(length)]
    whole = history[:-1]
    ahead = None
    days_left = (last - today.date()).days + 1
    if budget.period != BudgetPeriod.ROLLING and days_left > 0 and len(whole) >= LEAST and any(whole):
        # Days of which nothing can be told leave the burn-down without its way ahead.
        with suppress(BadInput):
            ahead = wiring.current().statistics(forecast, begun, [float(cost) for cost in whole], days_left)
    return burn_down(first, last, budget.amount, spent, length - 1, ahead)


def _delivery(row: deliveries.DeliveryStatus) -> Delivery:
    return Delivery(
        id=row.id,
        incident_id=row.incident_id,
        channel_id=row.channel_id,
        event=row.event,
        state=row.state,
        attempts=row.attempts,
        last_error=row.last_error,
        created_at=row.created_at,
        delivered_at=row.delivered_at,
    )
