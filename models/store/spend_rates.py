"""Spend by minute of sessions, agents and teams, and what their weekday hours cost before: for burn rates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

MINUTES = 360
WEEKS = 8
SCOPES = {"agent": "a.agent", "team": "a.team", "session": "w.session"}
ZERO = Decimal(0)


@dataclass(slots=True, kw_only=True)
class SpendRate:
    """Spend of one agent, team or session."""

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
    """Rates of everything that spent in the last hour. Charges count at the end of their call."""
    end = at.replace(second=0, microsecond=0)
    found: dict[tuple[int, str, str], SpendRate] = {}
    for scope, column in SCOPES.items():
        rows = connection.execute(
            text(
                f"SELECT h.project_id, {column} AS name, date_trunc('minute', h.end_at) AS minute,"
                " sum(h.effective_cost) AS cost FROM charges h"
                " LEFT JOIN attributions a USING (project_id, attribution_id)"
                " LEFT JOIN work_units w USING (project_id, unit_id)"
                " WHERE h.superseded_at IS NULL AND h.charge_class = 'usage' AND h.month >= :first_month"
                f" AND h.end_at >= :start AND h.end_at < :end AND {column} IS NOT NULL"
                " GROUP BY 1, 2, 3 HAVING sum(h.effective_cost) > 0"
            ),
            {
                "start": end - timedelta(minutes=MINUTES),
                "end": end,
                "first_month": (end - timedelta(minutes=MINUTES)).date().replace(day=1),
            },
        )
        for row in rows:
            rate = found.setdefault(
                (row.project_id, scope, row.name), SpendRate(project_id=row.project_id, scope=scope, name=row.name)
            )
            rate.minutes[MINUTES - 1 - (end - row.minute) // timedelta(minutes=1) + 1] = row.cost
    live = [rate for rate in found.values() if any(rate.minutes[-60:])]
    for scope in ("agent", "team"):
        _add_history(connection, [rate for rate in live if rate.scope == scope], scope, end)
    return live


def _add_history(connection: Connection, rates: Sequence[SpendRate], scope: str, end: datetime) -> None:
    """What rollups say of the weeks before: sessions have no history of their own."""
    if not rates:
        return
    hour = end.replace(minute=0)
    rows = connection.execute(
        text(
            f"SELECT r.project_id, {SCOPES[scope]} AS name, r.period_start, sum(r.effective_cost) AS cost"
            " FROM rollup_calls r JOIN attributions a USING (project_id, attribution_id)"
            f" WHERE r.grain = 'hour' AND r.period_start >= :start AND r.period_start < :end"
            f" AND {SCOPES[scope]} = ANY(:names) GROUP BY 1, 2, 3"
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
