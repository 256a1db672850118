"""The shortest roads of finance and of an engineer through a running instance with the sample, in a real browser.

The road of whoever is on call needs a loop that runs now: tests/browser/test_control.py.
"""

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from dashboards import format as fmt
from tests.browser.conftest import Surf, surfing
from tests.e2e.conftest import Instance

MONTH = {"start": "2025-12-01T00:00:00Z", "end": "2026-01-01T00:00:00Z", "filter": "project:demo"}


@pytest.fixture
def surf(browser: Browser, instance: Instance) -> Iterator[Surf]:
    """A fresh page on the instance."""
    with surfing(browser, instance.url) as driven:
        yield driven


def spent(instance: Instance, **query: Any) -> Decimal:
    return Decimal(instance.get("/api/v1/costs", **MONTH | query)["totals"]["effective_cost"])


@pytest.mark.browser
def test_finance_goes_from_the_month_over_its_reason_to_the_statement_and_the_export(
    surf: Surf, instance: Instance
) -> None:
    total = spent(instance)
    page = surf.open("/?project=demo&period=2025-12")
    expect(page.locator(".tile-value").first).to_have_attribute("title", fmt.money_exact(total))
    page.locator(".nav-link", has_text="Spend curves").click()
    page.wait_for_url("**/spend-curves?**")
    # The first visit loads the statistics.
    expect(page.locator(".content h1")).to_have_text("Spend curves", timeout=60_000)
    assert parse_qs(urlsplit(page.url).query)["period"] == ["2025-12"]
    page.locator(".nav-link", has_text="Chargeback").click()
    expect(page.locator(".content h1")).to_have_text("Chargeback")
    expect(page.locator(".content")).to_contain_text(fmt.money(total))
    focus = page.request.get(f"{instance.url}/api/v1/exports/focus?period=2025-12&project=demo")
    assert focus.ok, focus.text()
    rows = list(csv.DictReader(io.StringIO(focus.text())))
    assert sum(Decimal(row["EffectiveCost"]) for row in rows) == total


@pytest.mark.browser
def test_an_engineer_goes_from_an_agent_to_a_trace_and_the_proof_of_a_price(surf: Surf, instance: Instance) -> None:
    page = surf.open("/agents?project=demo&period=2025-12&filter=agent:pi")
    row = page.locator(".ag-row[row-id='pi']")
    expect(row.locator("[col-id=inclusive]")).to_have_text(fmt.money(spent(instance)))
    row.locator("[col-id=inclusive]").click()
    page.wait_for_url("**/calls?**")
    page.locator(".ag-row[row-index='0'] [col-id=trace]").click()
    page.wait_for_url("**/trace?**")
    expect(page.locator("h2", has_text="This run, by agent")).to_be_visible()
    page.locator(".ag-row", has_text=re.compile("^chat")).first.click()
    proof = page.locator("table.proof")
    expect(proof).to_be_visible()
    page.wait_for_url("**span=**")
    shown = proof.locator("tbody tr:not(.total) td:last-child").all_inner_texts()
    asked = parse_qs(urlsplit(page.url).query)
    calls = instance.get("/api/v1/calls", trace_id=asked["trace"][0], limit=1000)["calls"]
    call = next(one for one in calls if one["span_id"] == asked["span"][0])
    assert len(shown) == len(call["charge"]["lines"])
    expect(proof.locator("tr.total")).to_contain_text(fmt.money(Decimal(call["charge"]["effective_cost"]), 6))


@pytest.mark.browser
@pytest.mark.parametrize("dimension", ["model", "agent"])
def test_a_download_equals_the_api_to_the_last_digit(surf: Surf, instance: Instance, dimension: str) -> None:
    page = surf.open(f"/?project=demo&period=2025-12&by={dimension}")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    answer = instance.get("/api/v1/costs", **MONTH, group_by=dimension, granularity="day")["rows"]
    told = {(row["time"], row[dimension] or None): row["effective_cost"] or None for row in rows}
    asked = {(row["time"].replace("+00:00", "Z"), row[dimension]): row["effective_cost"] for row in answer}
    assert {(at.replace("+00:00", "Z"), name): cost for (at, name), cost in told.items()} == asked


@pytest.mark.browser
def test_the_sample_opens_with_everything_that_is_in_it(surf: Surf, instance: Instance) -> None:
    page = surf.open("/?project=demo")
    whole = instance.get(
        "/api/v1/costs", start="2025-01-01T00:00:00Z", end="2030-01-01T00:00:00Z", filter="project:demo"
    )
    total = Decimal(whole["totals"]["effective_cost"])
    expect(page.locator(".tile-value").first).to_have_attribute("title", fmt.money_exact(total))
    expect(page.locator("h2", has_text="Spend by month")).to_be_visible()
