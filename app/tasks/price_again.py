"""What pricing a period again would change: what one price decides together is rated once, nothing is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import polars as pl
from sqlalchemy import Connection

from app.tasks.pricing import charges_of, rates_of
from app.tasks.rate import BATCH_CALLS
from models.costs.alike import Lines, RatedAlike, multiplied_out, stand_ins
from models.costs.rating import rate_calls
from models.prices.skus import with_price_keys
from models.store.calls import Key, load_calls
from models.store.closed_months import live_charges
from models.store.own_capacity import placements
from models.store.repriced import Charged, calls_alike, calls_apart, hash_of_lines, slices


@dataclass(slots=True)
class Repriced:
    """What pricing a period again did, or would do."""

    calls: int = 0
    changed: int = 0
    change: Decimal = Decimal(0)
    """Effective cost after less before, over what is priced."""


def can_be_rated_alone(connection: Connection, project_id: int) -> bool:
    """Whether prices alone decide what calls cost: hours of own hardware are shared among its calls."""
    return not placements(connection, project_id)


def would_change(connection: Connection, project_id: int, start: datetime, end: datetime) -> Repriced:
    """What pricing the calls of open months that end in [start, end) again would change.

    A call is changed where its charge would say anything else: a cost, a line of it, the reason for having none. The
    database adds calls up by what decides their price, and each such group is rated once; calls that this cannot
    decide are rated one by one as pricing does it. Memory is that of a slice, however long the period.
    """
    done = Repriced()
    rates = rates_of(connection, project_id).rates
    bands = sorted({band for band in rates["context_from"].unique() if band > 0})
    hashes: dict[Lines, int] = {}
    for first, last in slices(connection, project_id, start, end):
        found = calls_alike(connection, project_id, first, last, price_moments(rates, first, last), bands)
        groups = [group for group, _ in found]
        rated = multiplied_out(groups, rate_calls(with_price_keys(stand_ins(groups)), rates))
        for each in rated:
            if each.lines not in hashes:
                hashes[each.lines] = hash_of_lines(connection, each.lines)
        differ = [
            _differ(charged, now, hashes[now.lines], group.calls)
            for (group, charged), now in zip(found, rated, strict=True)
        ]
        apart = {group.kind for group, each in zip(groups, differ, strict=True) if each is None}
        for (group, charged), now, each in zip(found, rated, differ, strict=True):
            if group.kind in apart:
                continue
            done.calls += group.calls
            if each:
                done.changed += group.calls
                done.change += (now.effective_cost or 0) - (charged.effective_cost or 0)
        _add_one_by_one(connection, project_id, calls_apart(connection, project_id, first, last, apart), done)
    return done


def price_moments(rates: pl.DataFrame, start: datetime, end: datetime) -> list[datetime]:
    """`start` and every moment before `end` at which a rate, its time of day or a UTC day begins or ends."""
    bounds = {bound for name in ("valid_from", "valid_to") for bound in rates[name].unique() if bound is not None}
    hours = {hour for name in ("daily_start", "daily_end") for hour in rates[name].unique() if hour is not None}
    for day in _days(start, end):
        bounds |= {day, *(datetime.combine(day, hour, tzinfo=UTC) for hour in hours)}
    return [start, *sorted(bound for bound in bounds if start < bound < end)]


def _days(start: datetime, end: datetime) -> Iterator[datetime]:
    day = datetime.combine(start.astimezone(UTC), time(), tzinfo=UTC)
    while day < end:
        yield day
        day += timedelta(days=1)


def _differ(before: Charged, now: RatedAlike, lines: int, calls: int) -> bool | None:
    """Whether the charges of all of these calls would be others; None: only a look at each of them can tell."""
    if not before.is_usual:
        return None
    if (
        not before.is_same_call
        or before.lines != lines
        or (before.price_status, before.unpriced_reason) != (now.price_status, now.unpriced_reason)
    ):
        return True
    same_sums = (before.unpriced_tokens, before.effective_cost, before.uncached_cost, before.uncached_calls) == (
        now.unpriced_tokens,
        now.effective_cost,
        now.uncached_cost,
        0 if now.uncached_cost is None else calls,
    )
    # The lines have the same prices, and yet the sums differ: the price without a cache, which no line tells.
    return False if same_sums else None


def _add_one_by_one(connection: Connection, project_id: int, keys: Sequence[Key], done: Repriced) -> None:
    """Price calls as it is done in earnest and compare the charges with those that are live."""
    for at in range(0, len(keys), BATCH_CALLS):
        rows = load_calls(connection, project_id, keys[at : at + BATCH_CALLS])
        charges = charges_of(connection, project_id, rows)
        live = live_charges(connection, project_id, charges["origin_id"].unique().to_list())
        done.calls += charges.height
        facts = charges.select("origin_id", "span_id", "digest", "attribution_id", "effective_cost")
        for origin, span, digest, belongs, cost in facts.iter_rows():
            before = [row for row in live.get((origin, span), ()) if row.charge_class == "usage"]
            if any(bytes(row.digest) == digest and row.attribution_id == belongs for row in before):
                continue
            done.changed += 1
            done.change += (cost or 0) - sum(row.effective_cost or 0 for row in before)
