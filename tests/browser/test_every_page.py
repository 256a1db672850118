"""Every page over the whole sample: in both themes and at both widths it fits, is accessible, and is fresh."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from app.settings import Settings
from tests.conftest import Database

from .conftest import AXE, Surf, surfing
from .sample_instance import load_sample, serving

CUT = "period=2025-06&compare=2025-05"
PAGES = {
    "overview": "/?project=demo",
    "spend-curves": "/spend-curves?project=demo",
    "price-cut": f"/spend-curves?project=demo&{CUT}",
    "agents": "/agents?project=demo",
    "tasks": "/tasks?project=demo",
    "traces": "/trace?project=demo",
    "trace": "/trace?project=demo&period=2025-12&trace={trace}&span={span}",
    "calls": "/calls?project=demo",
    "cache": "/cache?project=demo",
    "hardware": "/hardware?project=demo",
    "budgets": "/budgets?project=demo",
    "incident": "/budgets?project=demo&incident=1",
    "chargeback": "/chargeback?project=demo&period=2025-12",
    "prices": "/prices?project=demo",
    "quality": "/quality?project=demo",
    "settings": "/settings?project=demo",
}
WITHOUT_CSV = ("settings",)


@pytest.fixture(scope="module")
def sample(migrated: Database) -> Database:
    """A database with the sample in it."""
    load_sample(migrated)
    return migrated


@pytest.fixture(scope="module")
def instance(sample: Database) -> Iterator[str]:
    """The pages, open to everybody on this machine."""
    with serving(Settings(auth="off"), sample) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, instance: str) -> Iterator[Surf]:
    with surfing(browser, instance) as driven:
        yield driven


@pytest.fixture(scope="module")
def costliest(instance: str) -> dict[str, str]:
    """The trace and span of a call of December."""
    period = {"start": "2025-12-01T00:00:00Z", "end": "2026-01-01T00:00:00Z", "filter": "project:demo", "limit": 1}
    call = httpx.get(f"{instance}/api/v1/calls", params=period, timeout=30).json()["calls"][0]
    return {"trace": call["trace_id"], "span": call["span_id"]}


def serious(page: Page) -> list[str]:
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:160]} ({len(one['nodes'])})"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_both_widths_and_axe_finds_nothing_serious(
    visit: Surf, costliest: dict[str, str], name: str, theme: str
) -> None:
    page = visit.open(f"{PAGES[name].format(**costliest)}&theme={theme}")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        visit.settled()
        # Charts are drawn anew for the width, a moment after the page is.
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
        expect(page.locator(".bar .freshness")).to_be_visible()
        if width == 1280:
            expect(page.locator(".bar .freshness")).to_contain_text("priced through")
            page.add_script_tag(path=str(AXE))
        assert serious(page) == []


@pytest.mark.parametrize("name", [name for name in PAGES if name not in WITHOUT_CSV])
def test_a_page_downloads_what_it_shows(visit: Surf, costliest: dict[str, str], name: str) -> None:
    page = visit.open(PAGES[name].format(**costliest))
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").first.click()
    head, *rows = csv.reader(io.StringIO(started.value.path().read_text()))
    assert rows
    assert {len(row) for row in rows} == {len(head)}


def test_a_first_visit_of_the_sample_is_shown_the_way_to_the_price_cut(visit: Surf) -> None:
    page = visit.open("/?project=demo")
    page.get_by_role("link", name="June against May").click()
    page.wait_for_url("**period=2025-06**")
    expect(page.locator(".answer")).to_contain_text("Prices fell 80.0\u00a0% and the bill fell 40.1\u00a0%")
    expect(page.locator(".hint")).to_have_count(0)
    expect(page.locator("h2", has_text="Price falls, volume rises")).to_be_visible()
    rows = page.locator("table[aria-label='Cells of unit price'] tr.total td")
    expect(rows.last).to_have_text("−$7.4073")
    expect(page.locator(".card", has_text="Rebound").first).to_contain_text("50\u00a0%")


def test_the_effects_of_the_price_cut_add_up_in_the_download(visit: Surf, instance: str) -> None:
    answer = httpx.get(f"{instance}/download/decomposition.csv?project=demo&{CUT}&cells=agent-model", timeout=30)
    (cell,) = csv.DictReader(io.StringIO(answer.text))
    effects = {name: Decimal(cell[name]) for name in list(cell)[-6:]}
    assert effects["unit_price"] < 0 < effects["activity"]
    assert effects["mix"] == effects["calls_per_task"] == 0
    assert sum(effects.values()) == Decimal("3.537532") - Decimal("5.90993")
    index = httpx.get(f"{instance}/download/index.csv?project=demo&{CUT}", timeout=30)
    points = list(csv.DictReader(io.StringIO(index.text)))
    assert [point["month"] for point in points] == ["2025-05", "2025-06"]
    assert Decimal(points[1]["price_index"]) == 20
    assert round(Decimal(points[1]["volume_index"])) == 299


def test_the_order_of_a_table_stands_in_the_link(visit: Surf) -> None:
    page = visit.open("/trace?project=demo")
    page.locator(".ag-header-cell[col-id=calls]").click()
    page.wait_for_url("**sort=calls.asc**")
    page.locator(".ag-header-cell[col-id=calls]").click()
    page.wait_for_url("**sort=calls.desc**")
    again = visit.open(page.url.removeprefix(visit.address))
    expect(again.locator(".ag-header-cell[col-id=calls]")).to_have_attribute("aria-sort", "descending")
    most = again.locator(".ag-row[row-index='0'] [col-id=calls]")
    expect(most).to_have_text("73")


def test_the_loop_is_the_waste_of_its_agent(visit: Surf) -> None:
    page = visit.open("/agents?project=demo")
    expect(page.locator(".answer")).to_contain_text("researcher wastes 59\u00a0%")
    row = page.locator(".ag-row[row-id='researcher'] [col-id=waste]")
    expect(row).to_have_text("59.0\u00a0%")
    expect(page.locator(".ag-row[row-id='coordinator/researcher'] [col-id=waste]")).to_have_text("0.0\u00a0%")


def test_a_trace_of_one_call_took_as_long_as_the_call(visit: Surf) -> None:
    page = visit.open("/trace?project=demo&period=2025-06")
    took = page.locator(".ag-row[row-index='0'] [col-id=took]")
    expect(took).to_have_text("1 min 20 s")
