"""The `spend` task: every minute, budgets and burn rates are held against what was spent."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app import wiring
from app.worker import celery
from models.core.controls import Budget, Report
from models.core.errors import BadInput
from models.core.money import plain, rounded
from models.core.queries import CostQuery
from models.core.running import NotCalculated
from models.core.time import rfc3339
from models.costs import questions
from models.costs.budgets import (
    FORECAST,
    HUNDRED,
    BudgetPeriod,
    BudgetState,
    budget_state,
    parse_filters,
    period_bounds,
    run_rate,
)
from models.costs.burn import Burn, burn_rate
from models.costs.forecast import LEAST, forecast
from models.store.controls import list_budgets
from models.store.incidents import CALM, report, resolve_budgets, resolve_ended_budgets
from models.store.spend_rates import SpendRate, merge_minutes, spend_rates

log = logging.getLogger(__name__)

FORECAST_SECONDS = 3600.0
HISTORY = timedelta(days=120)
_forecasts: dict[int, tuple[float, tuple[int, datetime], Decimal | None]] = {}
"""Budget id → when, for which revision and start, and what was forecast for the whole period, in this process."""


@celery.task(name="spend", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def spend() -> int:
    """Hold budgets and burn rates against what was spent; returns how many incidents were opened or updated.

    Twice equals once: `uq_incidents_dedup_key` per budget and period, `uq_deliveries_event` per threshold.
    """
    at = datetime.now(UTC)
    with wiring.current().transaction() as connection:
        budgets = list_budgets(connection)
    reports = [(budget, budget_report(budget, at)) for budget in budgets]
    with wiring.current().transaction() as connection:
        merge_minutes(connection, at)
    with wiring.current().transaction() as connection:
        # A budget that was changed or removed while it was looked at has nothing to say.
        in_force = {(budget.id, budget.revision) for budget in list_budgets(connection)}
        reports = [(budget, one) for budget, one in reports if (budget.id, budget.revision) in in_force]
        found = [(budget.project_id, one) for budget, one in reports if one is not None]
        calm = [budget.id for budget, one in reports if one is None and budget.period == BudgetPeriod.ROLLING]
        found += burn_reports(connection, at)
        for project_id, one in found:
            report(connection, project_id, one, at)
        resolve_ended_budgets(connection, at)
        resolve_budgets(connection, calm, at, CALM)
    if found:
        wiring.current().hint("deliver")
    return len(found)


def state_of_budget(budget: Budget, at: datetime) -> tuple[BudgetState, datetime, datetime]:
    """How a budget stands, and the bounds of its period. What is unpriced is not in it."""
    zone = ZoneInfo(wiring.current().settings.timezone)
    period = BudgetPeriod(budget.period)
    start, end = period_bounds(period, at, zone, budget.rolling_days)
    totals = wiring.current().reader.costs(_query(budget, start, min(end, at), limit=1)).totals
    # Nothing priced is nothing known to be spent: the budget stands at 0, and unpriced calls are shown elsewhere.
    spent = totals.effective_cost if totals.effective_cost is not None else Decimal(0)
    ahead = None if period is BudgetPeriod.ROLLING else _forecast(budget, spent, start, end, at)
    return budget_state(budget.amount, budget.thresholds, spent, ahead), start, end


def budget_report(budget: Budget, at: datetime) -> Report | None:
    """What a budget has to say: the highest threshold reached, and that the forecast is over it; None if neither.

    A rolling period never ends: its incident is that of the calendar month, so that each threshold is told again then.
    """
    state, start, end = state_of_budget(budget, at)
    if not state.reached:
        return None
    named, over = rfc3339(start), end
    if budget.period == BudgetPeriod.ROLLING:
        zone = ZoneInfo(wiring.current().settings.timezone)
        month, over = period_bounds(BudgetPeriod.MONTH, at, zone)
        named = month.astimezone(zone).strftime("%Y-%m")
    # Other terms are another incident: what was told of the old ones must not silence the new.
    revised = f":{budget.revision}" if budget.revision > 1 else ""
    per = f"in {budget.rolling_days} days" if budget.rolling_days else f"a {budget.period}"
    terms = f"${plain(rounded(budget.amount, 2))} {per}"
    is_ahead = FORECAST in state.reached
    reached = state.crossed[-1] if state.crossed else int(state.percent)
    passed = f"{reached} % of {terms}" if state.crossed or state.percent >= HUNDRED else f"a forecast over {terms}"
    also = "; the forecast is over it" if state.crossed and is_ahead else ""
    told = [*state.crossed[-1:], *([FORECAST] if is_ahead else [])]
    return Report(
        dedup_key=f"budget:{budget.project_id}:{budget.id}:{named}{revised}",
        kind="budget",
        title=f"budget {budget.name}: {passed}{also}",
        severity="critical" if state.percent >= HUNDRED else "warning",
        repeats=None,
        cost_so_far=state.spent,
        cost_per_minute=None,
        budget_id=budget.id,
        dimensions=dict(parse_filters(budget.filters)),
        evidence={
            **_evidence(state),
            "period_start": rfc3339(start),
            "period_end": rfc3339(end),
            "over_at": rfc3339(over),
        },
        events=[f"threshold:{one}" for one in told],
        channels=budget.channels,
    )


def _evidence(state: BudgetState) -> Mapping[str, Any]:
    return {
        "amount": plain(state.amount),
        "spent": plain(state.spent),
        "percent": plain(rounded(state.percent, 2)),
        "thresholds_crossed": list(state.crossed),
        "forecast": None if state.forecast is None else plain(rounded(state.forecast, 2)),
        "will_exceed": state.will_exceed,
    }


def _query(budget: Budget, start: datetime, end: datetime, limit: int = questions.PAGE) -> CostQuery:
    return CostQuery(
        projects=(budget.project_id,),
        start=start,
        # An empty period is refused; the first instant of a period has not spent anything yet.
        end=max(end, start + timedelta(microseconds=1)),
        filters=parse_filters(budget.filters),
        limit=limit,
    )


def _forecast(budget: Budget, spent: Decimal, start: datetime, end: datetime, at: datetime) -> Decimal | None:
    """Spend of the whole period: smoothing over whole UTC days where there is a history, else the rate so far."""
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    days = (end - today).days
    if budget.period == BudgetPeriod.DAY or days < 1:
        return run_rate(spent, start, end, at)
    known, about = _forecasts.get(budget.id), (budget.revision, start)
    if known is None or known[1] != about or time.monotonic() - known[0] > FORECAST_SECONDS:
        first, history = questions.daily_spend(wiring.current().reader.costs, _query(budget, today - HISTORY, today))
        enough = len(history) >= LEAST and any(history)
        try:
            ahead = _ahead(first, history, days) if enough else None
        except (BadInput, NotCalculated) as failed:
            # Thresholds must be told of all the same; the next look tries again.
            log.warning("budget %s is forecast by its rate so far: %s", budget.id, failed)
            return run_rate(spent, start, end, at)
        before = sum(history[max((start.date() - first).days, 0) :], Decimal(0))
        known = (time.monotonic(), about, None if ahead is None else before + Decimal(f"{ahead:.2f}"))
        _forecasts[budget.id] = known
    whole = known[2]
    return run_rate(spent, start, end, at) if whole is None else max(whole, spent)


def _ahead(first: date, history: Sequence[Decimal], days: int) -> float:
    found = wiring.current().statistics(forecast, first, [float(cost) for cost in history], days)
    return found.total.middle


def burn_reports(connection: Connection, at: datetime) -> list[tuple[int, Report]]:
    """Agents and teams that spend too fast. One incident per agent or team and UTC day."""
    found = list[tuple[int, Report]]()
    for rate in spend_rates(connection, at):
        burning = burn_rate(rate.minutes, rate.normal_per_minute, rate.same_hours)
        if burning is not None:
            found.append((rate.project_id, _burn_report(rate, burning, at)))
    return found


def _burn_report(rate: SpendRate, burning: Burn, at: datetime) -> Report:
    return Report(
        dedup_key=f"burn:{rate.project_id}:{rate.scope}:{rate.name}:{at:%Y-%m-%d}",
        kind="burn_rate",
        title=f"{rate.scope} {rate.name} spends ${rounded(burning.per_minute, 2)} a minute ({burning.rule})",
        severity="critical" if burning.per_minute >= 1 else "warning",
        repeats=None,
        cost_so_far=burning.spent_in_window,
        cost_per_minute=burning.per_minute,
        agent=rate.name if rate.scope == "agent" else None,
        team=rate.name if rate.scope == "team" else None,
        evidence={
            "rule": burning.rule,
            "per_minute": plain(burning.per_minute),
            "normal_per_minute": plain(burning.normal_per_minute),
            "window_minutes": burning.window_minutes,
        },
    )
