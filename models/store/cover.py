"""Which sums make up a period: months, days and hours, and charges at the edges, added or taken off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from models.core.queries import CostQuery
from models.core.vocabulary import Granularity

WIDTHS: Mapping[Granularity, tuple[str, ...]] = {
    Granularity.NONE: ("month", "day", "hour"),
    Granularity.MONTH: ("month", "day", "hour"),
    Granularity.DAY: ("day", "hour"),
    Granularity.HOUR: ("hour",),
}
"""Grains whose cells lie within one cell of the answer, the widest first."""


@dataclass(slots=True, frozen=True)
class Part:
    """A stretch of time that is read from sums of one grain, or (None) from charges."""

    width: str | None
    start: datetime
    end: datetime
    sign: int = 1
    """1: it is added, -1: it is taken off what was added too much."""

    def within(self, column: str, parameters: dict[str, Any]) -> str:
        """The condition that a moment lies in it."""
        number = len(parameters)
        parameters[f"from_{number}"], parameters[f"to_{number}"] = self.start, self.end
        return f"{column} >= :from_{number} AND {column} < :to_{number}"


def cover(start: datetime, end: datetime, widths: Sequence[str], now: datetime | None = None) -> list[Part]:
    """Parts whose sums, added and taken off, are those of the period: every moment in it counts once, others not.

    A month, day or hour that lies in the period for the most part is taken whole, less what lies outside: that is
    less to read than what lies inside. What comes after `now` (the clock's unless given) is hardly there yet.
    """
    if start >= end:
        return []
    if not widths:
        return [Part(None, start, end)]
    now = now or datetime.now(UTC)
    width, finer = widths[0], widths[1:]
    since, until = rounded(start, end, width, now)
    if since >= until:
        return cover(start, end, finer, now)
    added = [*cover(start, since, finer, now), *cover(until, end, finer, now)]
    taken = [*cover(since, start, finer, now), *cover(end, until, finer, now)]
    return [Part(width, since, until), *added, *(replace(part, sign=-part.sign) for part in taken)]


def rounded(start: datetime, end: datetime, width: str, now: datetime) -> tuple[datetime, datetime]:
    """The period from and to a whole month, day or hour: of one that is cut, what lies outside is taken in where that
    is less than what lies inside, as far as there is anything before `now`."""
    first, last = ceiling(start, width), floor(end, width)
    begun, ended = floor(start, width), ceiling(end, width)

    def until_now(since: datetime, until: datetime) -> timedelta:
        return max(min(until, now) - since, timedelta(0))

    since = begun if until_now(begun, start) < until_now(start, min(first, end)) else first
    until = ended if until_now(end, ended) < until_now(max(last, start), end) else last
    return since, until


def within_hours(start: datetime, end: datetime) -> list[Part]:
    """The whole hours of a period, and the minutes beside them: nothing that lies outside."""
    first, last = ceiling(start, "hour"), floor(end, "hour")
    if first >= last:
        return [Part(None, start, end)] if start < end else []
    edges = [Part(None, *edge) for edge in ((start, first), (last, end)) if edge[0] < edge[1]]
    return [Part("hour", first, last), *edges]


def floor(moment: datetime, width: str) -> datetime:
    """The first moment of the UTC hour, day or month it lies in."""
    whole = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return whole if width == "hour" else whole.replace(hour=0) if width == "day" else whole.replace(hour=0, day=1)


def ceiling(moment: datetime, width: str) -> datetime:
    """The moment itself where an hour, day or month begins with it, else the beginning of the next."""
    begun = floor(moment, width)
    if begun == moment:
        return begun
    step = {"hour": timedelta(hours=1), "day": timedelta(days=1), "month": timedelta(days=32)}[width]
    return floor(begun + step, width)


def widened(connection: Connection, query: CostQuery) -> CostQuery:
    """The same question over a period that begins and ends with a month, day or hour where no charge lies between.

    "This month until now" holds all there is of the month: the sums of the month answer it.
    """
    start, end = query.start, query.end
    if ceiling(start, "month") == start and ceiling(end, "month") == end:
        return query
    earliest, latest = floor(start, "month"), ceiling(end, "month")
    charges = "charges c WHERE c.project_id = each.id AND c.month"
    found = connection.execute(
        text(
            f"SELECT max(before) AS before, min(after) AS after FROM unnest(CAST(:projects AS bigint[])) each (id), "
            f"LATERAL (SELECT (SELECT max(c.end_at) FROM {charges} = :month AND c.end_at >= :earliest "
            f"AND c.end_at < :start) AS before, (SELECT min(c.end_at) FROM {charges} = :last_month "
            "AND c.end_at >= :end AND c.end_at < :latest) AS after) edges"
        ),
        {
            "projects": list(query.projects),
            "month": earliest.date(),
            "last_month": floor(end, "month").date(),
            "earliest": earliest,
            "start": start,
            "end": end,
            "latest": latest,
        },
    ).one()
    for width in ("hour", "day", "month"):
        if found.before is None or found.before < floor(query.start, width):
            start = floor(query.start, width)
        if found.after is None or found.after >= ceiling(query.end, width):
            end = ceiling(query.end, width)
    return replace(query, start=start, end=end)
