"""Periods and the address of a page."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.period import Period, month_so_far, parse_period, previous, year_before
from dashboards.view import View, view_of
from models.core.errors import BadInput, NotFound
from models.core.queries import Project

NOW = datetime(2026, 11, 20, 10, 42, tzinfo=UTC)
ATLAS = Project(
    id=1,
    name="atlas",
    is_demo=False,
    first_charge=datetime(2026, 9, 3, tzinfo=UTC),
    last_charge=datetime(2026, 11, 20, 10, 41, tzinfo=UTC),
)
DEMO = Project(
    id=2,
    name="demo",
    is_demo=True,
    first_charge=datetime(2025, 6, 2, 8, tzinfo=UTC),
    last_charge=datetime(2025, 6, 12, 9, tzinfo=UTC),
)


def view(search: str, path: str = "/") -> View:
    return view_of(path, search, [ATLAS, DEMO], NOW)


def days(text: str) -> Period:
    return parse_period(text)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        pytest.param("2026-11-01..2026-11-20", "2026-10-01..2026-10-20", id="the-same-days-of-the-month-before"),
        pytest.param("2026-10", "2026-09", id="a-month-against-the-month-before"),
        pytest.param("2026-03-01..2026-03-30", "2026-02", id="as-far-as-the-month-before-has-them"),
        pytest.param("2026-11-14..2026-11-20", "2026-11-07..2026-11-13", id="a-week-against-the-week-before"),
        pytest.param("2026-11-20", "2026-11-19", id="a-day-against-yesterday"),
        pytest.param("2026-11-01", "2026-10-01", id="the-first-against-the-first"),
    ],
)
def test_a_period_is_compared_with_the_one_before(text: str, before: str) -> None:
    assert previous(days(text)) == days(before)


def test_a_year_before_a_leap_day_is_the_28th() -> None:
    assert year_before(days("2028-02-29")) == days("2027-02-28")
    assert year_before(days("2028-02")) == days("2027-02")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("2026-11-01..2026-11-20", "1–20 Nov 2026"),
        ("2026-10", "Oct 2026"),
        ("2026-11-20", "20 Nov 2026"),
        ("2026-10-28..2026-11-03", "28 Oct – 3 Nov 2026"),
        ("2025-12-28..2026-01-03", "28 Dec 2025 – 3 Jan 2026"),
    ],
)
def test_a_period_is_named_as_people_say_it(text: str, label: str) -> None:
    assert days(text).label() == label


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(0, 800))
def test_a_period_written_and_read_is_the_same(first: date, more: int) -> None:
    period = Period(first, date.fromordinal(first.toordinal() + more))
    assert parse_period(period.text) == period


@pytest.mark.parametrize("text", ["2026-13", "yesterday", "2026-11-20..2026-11-01", "2026-02-30"])
def test_a_text_that_is_no_period_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(BadInput, match=text.split("..")[0]):
        parse_period(text)


def test_nothing_in_the_address_is_the_first_project_and_the_month_so_far() -> None:
    seen = view("")
    assert (seen.project.name, seen.period) == ("atlas", month_so_far(NOW.date()))
    assert seen.compare == days("2026-10-01..2026-10-20")


def test_the_sample_opens_on_its_own_days() -> None:
    assert view("?project=demo").period == days("2025-06-02..2025-06-12")


def test_an_unknown_project_is_named() -> None:
    with pytest.raises(NotFound, match="atlas, demo"):
        view("?project=nowhere")


def test_a_running_period_is_held_against_as_many_hours() -> None:
    seen = view("?period=2026-11-01..2026-11-20")
    assert seen.compare_until == datetime(2026, 10, 20, 11, tzinfo=UTC)
    assert view("?period=2026-10").compare_until == datetime(2026, 10, 1, tzinfo=UTC)


def test_an_empty_value_filters_what_has_none() -> None:
    seen = view("?filter=team:&filter=agent:a:b&filter=tag:stage:prod")
    assert seen.filters == (("team", None), ("agent", "a:b"), ("tag:stage", "prod"))


def test_an_unknown_dimension_is_refused() -> None:
    with pytest.raises(BadInput, match="colour is no dimension"):
        view("?filter=colour:red")


def test_a_link_keeps_what_stands_and_drops_what_belongs_to_the_page() -> None:
    seen = view("?project=demo&filter=agent:coder&by=team&theme=dark")
    assert seen.href(by="agent") == "/?project=demo&filter=agent:coder&by=agent&theme=dark"
    assert seen.href("/agents") == "/agents?project=demo&filter=agent:coder&theme=dark"
    assert seen.without_filter(("agent", "coder")) == "/?project=demo&by=team&theme=dark"


@given(st.text(min_size=1), st.sampled_from(["agent", "team", "model"]))
def test_any_value_survives_a_link(value: str, dimension: str) -> None:
    seen = view("")
    address = seen.with_filter((dimension, value), path="/calls")
    path, _, search = address.partition("?")
    assert view(f"?{search}", path).filters == ((dimension, value),)
