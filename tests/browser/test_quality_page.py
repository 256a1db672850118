"""The page of data quality: what is told, what to change, and estimates that no total contains."""

import pytest
from playwright.sync_api import expect

from dashboards import format as fmt

from .conftest import AXE, PERIOD, Surf
from .hand_made import Made
from .test_pages import inside


def test_it_says_how_many_calls_tell_their_usage_and_what_to_change(surf: Surf, made: list[Made]) -> None:
    calls = inside(made)
    page = surf.open(f"/quality?{PERIOD}")
    expect(page.locator(".answer")).to_contain_text(fmt.plural(len(calls), "call"))
    expect(page.locator(".answer")).to_contain_text("in no total: 1 call.")
    row = page.locator("table[aria-label='Findings to act on'] tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Ask for usage in streams.")
    coverage = page.locator("table[aria-label='Coverage by instrumentation'] tbody tr")
    expect(coverage).to_contain_text(fmt.count(3 * len(calls)))


def test_an_estimate_stands_with_its_bounds_and_in_no_total(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/quality?{PERIOD}")
    row = page.locator("table[aria-label='Estimates of calls without usage'] tbody tr")
    expect(row).to_contain_text("~$0.0456")
    expect(row).to_contain_text("$0.00120 to $0.0910")
    expect(row).to_contain_text("12 calls of the same agent and model")


def test_an_example_opens_its_trace(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/quality?{PERIOD}")
    page.locator("table[aria-label='Findings to act on'] a").click()
    page.wait_for_url("**/trace?**")
    assert inside(made)[0].call["trace_id"] in page.url


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_and_axe_finds_nothing_serious(surf: Surf, width: int, theme: str) -> None:
    surf.page.set_viewport_size({"width": width, "height": 900})
    page = surf.open(f"/quality?{PERIOD}&theme={theme}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Data quality")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE.read_text())
    faults = page.evaluate("axe.run()")["violations"]
    assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == []
