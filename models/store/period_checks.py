"""What stands between a month and its close: each check with its number and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from models.core.money import plain, rounded
from models.store.backlog import freshness
from models.store.periods import CLOSED, next_month, snapshot_of

OK, WARN, FAIL = "ok", "warn", "fail"
MOST_UNALLOCATED = Decimal("0.02")
"""Share of cost without an owner above which a month should not be closed: habit of the trade, not a standard."""


@dataclass(slots=True, frozen=True)
class Check:
    """One line of the checklist."""

    name: str
    state: str
    """`ok`, `warn` (look at it) or `fail` (closing is refused unless it is forced, with a reason)."""
    value: str | None
    what: str
    todo: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The check as shown outside."""
        return {"name": self.name, "state": self.state, "value": self.value, "what": self.what, "todo": self.todo}


def month_bounds(month: date) -> tuple[datetime, datetime]:
    """First moment of a month and of the next one, UTC."""
    after = next_month(month)
    return datetime(month.year, month.month, 1, tzinfo=UTC), datetime(after.year, after.month, 1, tzinfo=UTC)


def ledger_total(
    connection: Connection, projects: Sequence[int], month: date, charges: int, most_charges: int | None
) -> Decimal | None:
    """Σ of the live charges of a month, which are so many; None where they are more than `most_charges`."""
    if most_charges is not None and charges > most_charges:
        return None
    return connection.execute(
        text(
            "SELECT coalesce(sum(effective_cost), 0) FROM charges "
            "WHERE project_id = ANY(:projects) AND month = :month AND superseded_at IS NULL"
        ),
        {"projects": list(projects), "month": month},
    ).scalar_one()


def checks_of(
    connection: Connection, project_id: int, month: date, at: datetime, *, most_charges: int | None = None
) -> list[Check]:
    """The checklist of a month, in a fixed order. The month itself is one; so are its queues, prices and owners.

    The charges are added up and held against their sums, unless they are more than `most_charges`.
    """
    start, end = month_bounds(month)
    scope = {"project_id": project_id, "month": month, "start": start, "end": end}
    waiting = freshness(connection, [project_id])
    pending = waiting.spans_pending + waiting.calls_pending
    hours = connection.execute(
        text(
            "SELECT count(DISTINCT hour) FROM dirty_capacity_hours "
            "WHERE project_id = :project_id AND hour >= :start AND hour < :end"
        ),
        scope,
    ).scalar_one()
    sums = connection.execute(
        text(
            "SELECT coalesce(sum(effective_cost), 0) AS cost, coalesce(sum(effective_cost) "
            "FILTER (WHERE a.team IS NULL AND a.cost_center IS NULL), 0) AS unallocated, "
            "coalesce(sum(charges), 0)::bigint AS charges "
            "FROM rollup_calls r JOIN attributions a USING (project_id, attribution_id) "
            "WHERE r.project_id = :project_id AND r.grain = 'day' AND period_start >= :start AND period_start < :end"
        ),
        scope,
    ).one()
    live = "FROM charges WHERE project_id = :project_id AND month = :month AND superseded_at IS NULL"
    bare = connection.execute(
        text(
            "SELECT count(*) FILTER (WHERE unpriced_tokens > 0) AS unpriced, "
            "count(*) FILTER (WHERE unpriced_tokens = 0) AS unused, coalesce(sum(unpriced_tokens), 0) AS tokens "
            f"{live} AND price_status = 'unpriced'"
        ),
        scope,
    ).one()
    # Said twice, so that the index of what is no usage serves it.
    late = connection.execute(
        text(
            "SELECT count(*) AS corrections, coalesce(sum(effective_cost), 0) AS cost "
            f"{live} AND charge_class <> 'usage' AND charge_class = 'correction'"
        ),
        scope,
    ).one()
    charged = ledger_total(connection, [project_id], month, sums.charges, most_charges)
    checks = [_over(end, at), _pending(pending), _capacity(hours)]
    checks += [_unpriced(bare.unpriced, int(bare.tokens)), _usage(bare.unused)]
    checks += [_unallocated(sums.unallocated, sums.cost), _late(late.corrections, late.cost)]
    checks.append(_ties(None if charged is None else charged - sums.cost, sums.charges, month))
    return checks + _snapshot(connection, project_id, month)


def _over(end: datetime, at: datetime) -> Check:
    if at >= end:
        return Check("month_over", OK, f"{end:%Y-%m-%d}", f"the month ended on {end:%Y-%m-%d} 00:00 UTC")
    what = f"the month runs until {end:%Y-%m-%d} 00:00 UTC"
    return Check("month_over", FAIL, f"{end:%Y-%m-%d}", what, "Wait until it is over, or force the close.")


def _pending(count: int) -> Check:
    if not count:
        return Check("spans_pending", OK, "0", "everything acknowledged is derived and priced")
    what = f"{count} spans or calls are not in the figures yet"
    return Check("spans_pending", FAIL, str(count), what, "Wait for the workers; `jevons status` shows the backlog.")


def _capacity(hours: int) -> Check:
    if not hours:
        return Check("capacity_pending", OK, "0", "every hour of own capacity is shared")
    what = f"{hours} hours of own capacity wait to be shared"
    return Check("capacity_pending", FAIL, str(hours), what, "Wait for the workers.")


def _unpriced(calls: int, tokens: int) -> Check:
    if not calls:
        return Check("unpriced", OK, "0", "every call has a price")
    what = f"{calls} calls ({tokens} tokens) have no price; their cost is unknown, not zero"
    todo = "Set the missing prices (`jevons prices set`), then `jevons reprice` the month."
    return Check("unpriced", FAIL, str(calls), what, todo)


def _usage(calls: int) -> Check:
    if not calls:
        return Check("usage_absent", OK, "0", "every call reports its usage")
    what = f"{calls} calls report no usage at all, such as requests that the provider refused; their cost is unknown"
    return Check("usage_absent", WARN, str(calls), what, "`jevons lint` says what an instrumentation lacks.")


def _unallocated(cost: Decimal, whole: Decimal) -> Check:
    if not whole:
        return Check("unallocated", OK, None, "there is no cost to allocate")
    share = cost / whole
    value = f"{rounded(share * 100, 2)} %"
    what = f"{value} of the cost, {plain(rounded(cost, 2))} USD, has neither team nor cost centre"
    if share <= MOST_UNALLOCATED / 2:
        return Check("unallocated", OK, value, what)
    todo = f"Add ownership rules (`jevons tags`); at most {MOST_UNALLOCATED * 100} % is usual at a close."
    return Check("unallocated", WARN, value, what, todo)


def _late(count: int, cost: Decimal) -> Check:
    if not count:
        return Check("corrections", OK, "0", "no corrections of closed months are booked in this month")
    what = f"{count} corrections of closed months, {plain(cost)} USD in all, are booked in this month"
    return Check("corrections", WARN, str(count), what, "Review them in the statement before closing.")


def _ties(difference: Decimal | None, charges: int, month: date) -> Check:
    if difference is None:
        what = f"{charges:,} charges are more than a page adds up"
        return Check("ledger_ties", WARN, None, what, f"`jevons checks {month:%Y-%m}` adds them up; so does the close.")
    if not difference:
        return Check("ledger_ties", OK, "0", "the sums of the pages equal the sum of the charges, to the last digit")
    what = f"charges and their sums differ by {plain(difference)} USD"
    return Check("ledger_ties", FAIL, plain(difference), what, "Run `jevons rebuild` from the first of the month.")


def _snapshot(connection: Connection, project_id: int, month: date) -> list[Check]:
    """For a closed month: whether its charges still are what was hashed."""
    row = connection.execute(
        text(
            "SELECT s.number, s.sha256 FROM periods p JOIN period_snapshots s USING (project_id, month) "
            "WHERE p.project_id = :project_id AND p.month = :month AND p.state = :closed "
            "ORDER BY s.number DESC LIMIT 1"
        ),
        {"project_id": project_id, "month": month, "closed": CLOSED},
    ).one_or_none()
    if row is None:
        return []
    digest, _ = snapshot_of(connection, project_id, month)
    kept = bytes(row.sha256)
    if digest == kept:
        return [Check("snapshot", OK, kept.hex(), f"the charges still have the hash of snapshot {row.number}")]
    what = f"the charges hash to {digest.hex()}, snapshot {row.number} says {kept.hex()}"
    return [Check("snapshot", FAIL, digest.hex(), what, "Somebody changed a closed month past the database's guard.")]
