"""Which sums cover a period: added and taken off, every moment of it counts once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core.vocabulary import Granularity
from models.store.cover import WIDTHS, Part, cover, floor, within_hours

moments = st.timedeltas(timedelta(0), timedelta(days=90)).map(lambda since: datetime(2026, 1, 1, tzinfo=UTC) + since)
some_widths = st.sampled_from([(), ("hour",), *WIDTHS.values()])


def parts_of(parts: list[Part], moment: datetime) -> int:
    return sum(part.sign for part in parts if part.start <= moment < part.end)


@given(moments, moments, some_widths, moments, st.lists(moments))
def test_every_moment_of_a_period_counts_once_and_others_not(
    start: datetime, end: datetime, widths: tuple[str, ...], now: datetime, others: list[datetime]
) -> None:
    parts = cover(start, end, widths, now)
    tick = timedelta(microseconds=1)
    near = [moment + step for moment in (start, end) for step in (-tick, timedelta(0), tick)]
    for moment in [*near, *others, *(part.start for part in parts), *(part.end for part in parts)]:
        assert parts_of(parts, moment) == (start <= moment < end)
        assert parts_of(within_hours(start, end), moment) == (start <= moment < end)


@given(moments, moments, some_widths)
def test_sums_are_read_whole_and_charges_for_half_an_hour_at_most(
    start: datetime, end: datetime, widths: tuple[str, ...]
) -> None:
    for part in cover(start, end, widths):
        if part.width is not None:
            assert (part.start, part.end) == (floor(part.start, part.width), floor(part.end, part.width))
        elif widths and floor(start, "hour") != floor(end, "hour"):
            assert part.end - part.start <= timedelta(minutes=30)


@pytest.mark.parametrize("granularity", list(Granularity))
def test_until_a_late_moment_takes_off_what_comes_after(granularity: Granularity) -> None:
    start, end = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 30, 23, 41, 12, tzinfo=UTC)
    taken = [(part.width, part.start) for part in cover(start, end, WIDTHS[granularity]) if part.sign < 0]
    assert (None, end) in taken
    assert (("day", datetime(2026, 10, 31, tzinfo=UTC)) in taken) == (
        granularity in (Granularity.NONE, Granularity.MONTH)
    )


@given(moments, st.sampled_from(list(Granularity)), st.timedeltas(timedelta(0), timedelta(seconds=30)))
def test_until_now_no_charge_that_came_before_is_read(now: datetime, granularity: Granularity, ago: timedelta) -> None:
    start, end = floor(now, "month") - timedelta(days=31), now - ago
    read = [part for part in cover(floor(start, "month"), end, WIDTHS[granularity], now) if part.width is None]
    assert sum((min(part.end, now) - part.start for part in read), timedelta(0)) <= ago
