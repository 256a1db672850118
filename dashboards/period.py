"""Periods of whole UTC days: how they are written in a link, named on the page and compared."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from models.core.errors import BadInput

DAY = timedelta(days=1)
_MONTH = re.compile(r"\d{4}-\d{2}")


@dataclass(slots=True, frozen=True)
class Period:
    """Whole UTC days, both ends included, as people say them; `start` and `end` are the half-open moments."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        """The first moment inside."""
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first moment after."""
        return datetime(self.last.year, self.last.month, self.last.day, tzinfo=UTC) + DAY

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def dates(self) -> list[date]:
        """Its days in order."""
        return [self.first + timedelta(days=at) for at in range(self.days)]

    @property
    def months(self) -> list[date]:
        """The firsts of the months it touches, in order."""
        count = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
        numbers = range(self.first.month - 1, self.first.month - 1 + count)
        return [date(self.first.year + at // 12, at % 12 + 1, 1) for at in numbers]

    @property
    def is_month(self) -> bool:
        """Whether it is exactly one calendar month."""
        return self.first.day == 1 and self.last == month_of(self.first).last

    @property
    def text(self) -> str:
        """As written in a link: `2026-10` or `2026-11-01..2026-11-20`."""
        return f"{self.first:%Y-%m}" if self.is_month else f"{self.first.isoformat()}..{self.last.isoformat()}"

    @property
    def spans_years(self) -> bool:
        """Whether a day in it needs its year to be told."""
        return self.first.year != self.last.year

    def label(self, with_year: bool = True) -> str:
        """As named on the page: `1–20 Nov 2026`, `Oct 2026`, `28 Oct – 3 Nov 2026`."""
        year = f" {self.last.year}" if with_year or self.first.year != self.last.year else ""
        if self.is_month:
            return f"{self.last:%b}{year}"
        if self.first == self.last:
            return f"{self.last.day} {self.last:%b}{year}"
        if (self.first.year, self.first.month) == (self.last.year, self.last.month):
            return f"{self.first.day}–{self.last.day} {self.last:%b}{year}"
        first_year = f" {self.first.year}" if self.first.year != self.last.year else ""
        return f"{self.first.day} {self.first:%b}{first_year} – {self.last.day} {self.last:%b}{year}"


def month_of(day: date) -> Period:
    """The calendar month a day lies in."""
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return Period(day.replace(day=1), following - DAY)


def parse_period(text: str) -> Period:
    """A period from a link.

    Raises   BadInput naming the text and the two ways to write a period.
    """
    try:
        if _MONTH.fullmatch(text):
            return month_of(date.fromisoformat(f"{text}-01"))
        first, _, last = text.partition("..")
        period = Period(date.fromisoformat(first), date.fromisoformat(last or first))
    except ValueError:
        raise BadInput(
            f"period={text} is no period. Write a month as 2026-10, or days as 2026-11-01..2026-11-20."
        ) from None
    if period.last < period.first:
        raise BadInput(f"period={text} ends before it starts. Write the earlier day first.")
    return period


def month_so_far(today: date) -> Period:
    """From the first of the month to today."""
    return Period(today.replace(day=1), today)


def previous(period: Period) -> Period:
    """What a period is compared with by default.

    A whole month: the month before. The first days of a month: the same days of the month before, as far as
    it has them. Anything else: as many days, just before.
    """
    if period.first.day == 1:
        before = month_of(period.first - DAY)
        if period.is_month:
            return before
        if month_of(period.first).last > period.last:
            return Period(before.first, min(before.last, before.first + timedelta(days=period.days - 1)))
    return Period(period.first - timedelta(days=period.days), period.first - DAY)


def year_before(period: Period) -> Period:
    """The same days a year earlier; 29 February becomes the 28th."""
    if period.is_month:
        return month_of(period.first.replace(year=period.first.year - 1))

    def back(day: date) -> date:
        leap = (day.month, day.day) == (2, 29)
        return day.replace(year=day.year - 1, day=28) if leap else day.replace(year=day.year - 1)

    return Period(back(period.first), back(period.last))


def presets(today: date) -> list[tuple[str, Period]]:
    """Name and days of the periods people ask for most. A link holds the days, so it stays what it was."""
    return [
        ("Month so far", month_so_far(today)),
        ("Last month", month_of(today.replace(day=1) - DAY)),
        ("Today", Period(today, today)),
        ("Yesterday", Period(today - DAY, today - DAY)),
        ("Last 7 days", Period(today - timedelta(days=6), today)),
        ("Last 30 days", Period(today - timedelta(days=29), today)),
        ("Last 90 days", Period(today - timedelta(days=89), today)),
    ]
