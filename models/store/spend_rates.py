"""Spend by minute of agents and teams, and what their weekday hours cost before: for burn rates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

MINUTES = 360
WEEKS = 8
SCOPES = ("agent", "team")
"""What has a history of its own to be held against; a session has none."""
ZERO = Decimal(0)


@dataclass(slots=True, kw_only=True)
class SpendRate:
    """Spend of one agent or team."""

    project_id: int
    scope: str
    name: str
    minutes: list[Decimal] = field(default_factory=lambda: [ZERO] * MINUTES)
    """Effective cost by minute, the minute before `at` last."""
    same_hours: Sequence[Decimal] = ()
    """Effective cost of this weekday hour in earlier weeks; weeks without spend are 0 from the first with spend on."""
    normal_per_minute: Decimal | None = None
    """Average over the two weeks before the six hours; None where there is no such history."""


def spend_rates(connection: Connection, at: datetime) -> list[SpendRate]:
    """Rates of every agent and team that spent in the last hour. Charges count at the end of their call."""
    end = at.replace(second=0, microsecond=0)
    start = end - timedelta(minutes=MINUTES)
    # Charges are many and their attributions few: they are added up before anybody looks up a name.
    rows = connection.execute(
        text(
            "SELECT s.project_id, s.minute, s.cost, a.agent, a.team FROM ("
            "SELECT project_id, attribution_id, date_trunc('minute', end_at) AS minute, sum(effective_cost) AS cost"
            " FROM charges WHERE project_id IN (SELECT id FROM projects) AND superseded_at IS NULL"
            " AND charge_class = 'usage' AND month >= :first_month AND end_at >= :start AND end_at < :end"
            " GROUP BY 1, 2, 3 HAVING sum(effective_cost) > 0) s JOIN attributions a USING (project_id, attribution_id)"
        ),
        {"start": start, "end": end, "first_month": start.date().replace(day=1)},
    )
    found: dict[tuple[int, str, str], SpendRate] = {}
    for row in rows:
        for scope, name in (("agent", row.agent), ("team", row.team)):
            if name is not None:
                key = (row.project_id, scope, name)
                rate = found.get(key)
                if rate is None:
                    rate = found[key] = SpendRate(project_id=row.project_id, scope=scope, name=name)
                rate.minutes[(row.minute - start) // timedelta(minutes=1)] += row.cost
    live = [rate for rate in found.values() if any(rate.minutes[-60:])]
    for scope in SCOPES:
        _add_history(connection, [rate for rate in live if rate.scope == scope], scope, end)
    return live


def _add_history(connection: Connection, rates: Sequence[SpendRate], scope: str, end: datetime) -> None:
    """What rollups say of the weeks before."""
    if not rates:
        return
    hour = end.replace(minute=0)
    rows = connection.execute(
        text(
            f"SELECT r.project_id, a.{scope} AS name, r.period_start, sum(r.effective_cost) AS cost"
            " FROM rollup_calls r JOIN attributions a USING (project_id, attribution_id)"
            f" WHERE r.grain = 'hour' AND r.period_start >= :start AND r.period_start < :end"
            f" AND a.{scope} = ANY(:names) GROUP BY 1, 2, 3"
        ),
        {
            "start": hour - timedelta(weeks=WEEKS),
            "end": hour - timedelta(minutes=MINUTES),
            "names": [rate.name for rate in rates],
        },
    ).all()
    for rate in rates:
        spent = {
            row.period_start: row.cost for row in rows if (row.project_id, row.name) == (rate.project_id, rate.name)
        }
        if not spent:
            continue
        first = min(spent)
        weeks = [hour - timedelta(weeks=number) for number in range(1, WEEKS + 1)]
        rate.same_hours = [spent.get(week, ZERO) for week in weeks if week >= first]
        known_since = max(first, hour - timedelta(days=14))
        minutes = (hour - timedelta(minutes=MINUTES) - known_since) // timedelta(minutes=1)
        if minutes >= 24 * 60:
            total = sum((cost for moment, cost in spent.items() if moment >= known_since), ZERO)
            rate.normal_per_minute = total / minutes
