"""Time: UTC everywhere, half-open periods, nanoseconds on the wire."""

from datetime import UTC, date, datetime, timedelta

NS_PER_SECOND = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_of_ns(ns: int) -> datetime:
    """Nanoseconds since 1970 as an aware UTC time, cut to microseconds."""
    return EPOCH + timedelta(microseconds=ns // 1_000)


def ns_of_utc(moment: datetime) -> int:
    """An aware time as nanoseconds since 1970, exactly (no float in between)."""
    gap = moment - EPOCH
    return ((gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds) * 1_000


def rfc3339(moment: datetime) -> str:
    """A time as RFC 3339 in UTC, with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def rfc3339_of_ns(ns: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC."""
    return rfc3339(utc_of_ns(ns))


def month_bounds(period: str) -> tuple[datetime, datetime]:
    """Half-open UTC bounds of a month written `YYYY-MM`.

    Raises   ValueError when the text is no month.
    """
    first = date.fromisoformat(f"{period}-01")
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return (
        datetime(first.year, first.month, 1, tzinfo=UTC),
        datetime(following.year, following.month, 1, tzinfo=UTC),
    )
