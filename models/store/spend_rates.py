"""Spend by minute of agents and teams, and what their weekday hours cost before: for burn rates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

from models.store.sums import merge_parts, signed

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


def add_minutes(connection: Connection, staged: str, sign: str) -> None:
    """Add the effective cost of usage that comes (sign 1) or goes (-1) to its minutes, as far as they are looked at."""
    cost = f"sum({signed(sign, 'c.effective_cost')})"
    connection.execute(
        text(
            "INSERT INTO spend_minutes (project_id, attribution_id, minute, cost) "
            f"SELECT project_id, attribution_id, date_trunc('minute', end_at, 'UTC'), {cost} FROM {staged} c "
            f"WHERE charge_class = 'usage' AND end_at >= now() - interval '{MINUTES + 1} minutes' "
            f"GROUP BY 1, 2, 3 HAVING {cost} <> 0"
        )
    )


def merge_minutes(connection: Connection, at: datetime) -> None:
    """Put the parts of each minute together and drop those that nobody looks at any more."""
    connection.execute(
        text("DELETE FROM spend_minutes WHERE minute < :start"),
        {"start": at.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES + 5)},
    )
    cell = ("project_id", "attribution_id", "minute")
    connection.execute(text(merge_parts("spend_minutes", cell, ("cost",), "true", "cost = 0")))


def spend_rates(connection: Connection, at: datetime) -> list[SpendRate]:
    """Rates of every agent and team that spent in the last hour. Charges count at the end of their call.

    Read from sums by minute: the charges of six hours may be millions.
    """
    end = at.replace(second=0, microsecond=0)
    start = end - timedelta(minutes=MINUTES)
    rows = connection.execute(
        text(
            "SELECT s.project_id, s.minute, s.cost, a.agent, a.team FROM ("
            "SELECT project_id, attribution_id, minute, sum(cost) AS cost FROM spend_minutes"
            " WHERE project_id IN (SELECT id FROM projects) AND minute >= :start AND minute < :end"
            " GROUP BY 1, 2, 3 HAVING sum(cost) > 0) s JOIN attributions a USING (project_id, attribution_id)"
        ),
        {"start": start, "end": end},
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
