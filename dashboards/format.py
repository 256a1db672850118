"""Numbers and times as people read them: formatted on the server, from exact decimals."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

UNKNOWN = "—"
"""Unpriced or not applicable. Zero is written 0."""
MINUS = "\u2212"
NBSP = "\u00a0"
_SUFFIXES = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))


def significant(number: Decimal, digits: int = 3) -> str:
    """A non-negative number with so many significant figures and a thousands suffix: `45.6k`, `2.52`, `0.0348`."""
    if number == 0:
        return "0"
    # Round first: 999,960 is 1.00M, not 1000k.
    rounded = number.quantize(Decimal(1).scaleb(number.adjusted() - digits + 1), rounding=ROUND_HALF_EVEN)
    size, suffix = next(((size, suffix) for size, suffix in _SUFFIXES if rounded >= size), (Decimal(1), ""))
    scaled = rounded / size
    places = max(digits - 1 - scaled.adjusted(), 0)
    return f"{scaled:.{places}f}{suffix}"


def money_short(cost: Decimal | None) -> str:
    """A cost for tiles, axes and sentences: three significant figures."""
    if cost is None:
        return UNKNOWN
    sign = MINUS if cost < 0 else ""
    return f"{sign}${significant(abs(cost))}"


def digits_for(total: Decimal | None) -> int:
    """Digits after the point of a table of money: cents, unless the whole table is worth less than ten dollars.

    Cents of a small table would all read the same; the digits are one choice per table, so columns stay aligned.
    """
    if total is None or abs(total) >= 10:
        return 2
    return 4 if abs(total) >= Decimal("0.1") else 6


def money(cost: Decimal | None, digits: int = 2) -> str:
    """A cost in a table: `$17,607.03`; `—` when unknown, `0` when it is nothing, `<$0.01` when it rounds to nothing."""
    if cost is None:
        return UNKNOWN
    if cost == 0:
        return "0"
    sign = MINUS if cost < 0 else ""
    smallest = Decimal(1).scaleb(-digits)
    if abs(cost) < smallest / 2:
        return f"{sign}<${smallest}"
    return f"{sign}${abs(cost):,.{digits}f}"


def money_exact(cost: Decimal | None) -> str:
    """Every digit of a cost, for hovers: `$0.101242`."""
    if cost is None:
        return UNKNOWN
    text = f"{abs(cost):,f}"
    if "." in text:
        whole, _, fraction = text.partition(".")
        text = f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
    return f"{MINUS if cost < 0 else ''}${text}"


def money_change(now: Decimal | None, before: Decimal | None, digits: int = 2) -> str:
    """The change of a cost with its sign: `+$3,206.00`, `−$1,045.00`, `0`."""
    if now is None or before is None:
        return UNKNOWN
    change = now - before
    text = money(change, digits)
    return f"+{text}" if change > 0 and text != "0" else text


def rate(price_per_m: Decimal | None) -> str:
    """A price per million; the unit stands in the column head. At least cents, at most what the price has."""
    if price_per_m is None:
        return UNKNOWN
    text = f"{price_per_m:f}"
    whole, _, fraction = text.partition(".")
    return f"${int(whole):,}.{fraction.rstrip('0').ljust(2, '0')}"


def percent(share: Decimal | None, digits: int = 1) -> str:
    """A share (0.117) as `11.7 %`."""
    if share is None:
        return UNKNOWN
    hundredths = (share * 100).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    return f"{MINUS if hundredths < 0 else ''}{abs(hundredths):,.{digits}f}{NBSP}%"


def share(part: Decimal | None) -> str:
    """A share of a whole in a table: `57 %`, `<1 %` for what rounds to nothing and is not."""
    text = percent(part, 0)
    return f"<1{NBSP}%" if part and text == f"0{NBSP}%" else text


def percent_change(now: Decimal | None, before: Decimal | None, digits: int = 1) -> str:
    """The change in per cent with its sign; unknown where there was nothing before."""
    if now is None or not before:
        return UNKNOWN
    text = percent(now / before - 1, digits)
    return f"+{text}" if any(digit in text for digit in "123456789") and not text.startswith(MINUS) else text


def share_of(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Part over whole, or None where either is unknown or the whole is zero."""
    if part is None or not whole:
        return None
    return part / whole


def count(number: int | None) -> str:
    """A count in full: `6,214`."""
    return UNKNOWN if number is None else f"{number:,}"


def tokens(number: int | None) -> str:
    """A token count, short: `18.4B`, `36.9k`, `214`."""
    if number is None:
        return UNKNOWN
    return str(number) if number < 1000 else significant(Decimal(number))


def clock(moment: datetime) -> str:
    """`10:42:07 UTC`."""
    return f"{moment.astimezone(UTC):%H:%M:%S} UTC"


def day_and_time(moment: datetime, with_year: bool = False) -> str:
    """`20 Nov 02:13`, `20 Nov 2025 02:13`; the zone stands in the head of the table."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y %H:%M}" if with_year else f"{utc.day} {utc:%b %H:%M}"


def span_of_time(gap: timedelta) -> str:
    """A duration: `0.24 s`, `24.0 s`, `5 min 30 s`, `3 h 12 min`, `11 d`."""
    seconds = gap.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 call`, `2 calls`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
