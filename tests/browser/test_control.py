"""The on-call road on a real database: alert, evidence, acknowledge; budgets, channels, curves and cache beside it."""

import csv
import io
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, expect

from app import demo, wiring
from app.api import create_app
from app.collector import Collector
from app.file_loading import load_files
from app.settings import Settings
from app.tasks.derive import derive
from app.tasks.rate import rate
from app.tasks.rollup import rollup
from app.tasks.watch import watch
from app.wiring import Wiring
from dashboards import identity, kept
from models.prices.genai import shipped_rates
from models.store import incidents
from models.store.prices import SHIPPED, record_book
from models.store.projects import ensure_project
from tests.conftest import Database

from .conftest import AXE, PATIENCE_MS, Surf

LOOP = Path(demo.__file__).parent / "sample" / "captures" / "openinference-langchain__openai__runaway-loop-30"
CACHED = Path(demo.__file__).parent / "sample" / "captures" / "openllmetry-anthropic__anthropic__cache-read-write"
BOTH = "period=2026-11"
"""The month of the captures, whatever day the test runs on."""


class Hook(BaseHTTPRequestHandler):
    """A receiver that keeps the bodies it gets."""

    received: list[bytes] = []  # noqa: RUF012

    def do_POST(self) -> None:
        type(self).received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def hook_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def instance(migrated: Database) -> Iterator[str]:
    """API and pages over the captured 30-call loop, on a free port."""
    parts = Wiring(Settings(auth="off", allow_private_webhooks=True), migrated.url)
    wiring.use(parts)
    identity.forget()
    kept._kept.clear()
    with parts.transaction() as connection:
        record_book(connection, None, SHIPPED, shipped_rates(), "genai-prices")
        project = ensure_project(connection, "oncall", is_demo=False)
    collector = Collector(parts.engine, max_age=demo.OLDEST)
    load_files(collector, project.id, [LOOP, CACHED], show_progress=False)
    for task in (derive, rate, rollup, watch):
        task()
    server = create_app(parts)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(server, host="127.0.0.1", port=port, log_level=logging.WARNING))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running.started, "the server did not start within 30 seconds"
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(10)
    wiring.use(None)


@pytest.fixture
def duty(browser: Browser, instance: str) -> Iterator[Surf]:
    """A fresh page on the instance; nothing may have gone wrong when the test ends."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    driven = Surf(context.new_page(), instance)
    yield driven
    context.close()
    assert driven.faults == []


def open_again() -> None:
    """Put the incident back to where it was found."""
    from sqlalchemy import text

    with wiring.transaction() as connection:
        connection.execute(
            text(
                "UPDATE incidents SET state = 'open', acknowledged_at = NULL, acknowledged_by = NULL,"
                " snoozed_until = NULL, resolved_at = NULL, resolved_by = NULL"
            )
        )


def state() -> str:
    with wiring.transaction() as connection:
        found = incidents.list_incidents(connection, [2])
    return found[0].state.value


def test_the_captured_loop_goes_from_alert_over_evidence_to_acknowledged(duty: Surf) -> None:
    open_again()
    page = duty.open("/budgets?project=oncall")
    expect(page.locator(".answer")).to_contain_text("One alert is")
    page.locator("table[aria-label='Alerts'] a", has_text="Loop: researcher").click()
    page.wait_for_url("**incident=**")
    expect(page.locator(".answer")).to_contain_text("the same step get_weather, 30 times")
    expect(page.locator(".tile-value").first).to_have_text("$0.4746")
    steps = page.locator("table[aria-label='Steps of the loop'] tbody tr")
    expect(steps).to_have_count(8)
    expect(steps.nth(5)).to_contain_text("23 more")
    expect(page.locator(".facts").nth(1)).to_contain_text("repeat 5")
    # The tool's name and the keyed hash are shown, the arguments are not stored at all.
    expect(page.locator(".step").first).to_have_text("get_weather")
    assert re.fullmatch(r"[0-9a-f]{8}", page.locator(".step").nth(1).inner_text())
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(page.locator(".badges")).to_contain_text("acknowledged")
    expect(page.locator(".timeline")).to_contain_text("acknowledged by local")
    assert state() == "acknowledged"


def test_one_thumb_acknowledges_and_resolves_on_a_phone(duty: Surf) -> None:
    open_again()
    duty.page.set_viewport_size({"width": 390, "height": 800})
    page = duty.open("/budgets?project=oncall")
    page.locator(".lines a", has_text="Loop: researcher").click()
    page.wait_for_url("**incident=**")
    bar = page.locator(".thumb")
    button = bar.get_by_role("button", name="Acknowledge")
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["y"] + box["height"] <= 800
    button.click()
    expect(page.locator(".badges")).to_contain_text("acknowledged")
    bar.get_by_role("button", name="Resolve").click()
    expect(page.locator(".badges")).to_contain_text("resolved")
    assert state() == "resolved"


def test_a_snoozed_alert_is_muted_and_its_row_says_until_when(duty: Surf) -> None:
    open_again()
    page = duty.open("/budgets?project=oncall")
    page.get_by_role("button", name="Snooze").first.click()
    expect(page.locator(".segments", has_text="Open")).to_contain_text("Muted 1")
    page.locator(".segments a", has_text="Muted").click()
    expect(page.locator("table[aria-label='Alerts']")).to_contain_text("snoozed to")
    assert state() == "snoozed"


def test_a_budget_is_made_changed_and_ended_on_the_page(duty: Surf) -> None:
    page = duty.open("/budgets?project=oncall&form=budget")
    page.get_by_label("Name").fill("research")
    page.get_by_label("Amount, USD").fill("1,000.50")
    page.get_by_role("button", name="Add budget").click()
    row = page.locator("table[aria-label='Budgets'] tbody tr", has_text="research")
    expect(row).to_contain_text("$1,000")
    with wiring.transaction() as connection:
        from models.store.controls import list_budgets

        assert [one.amount for one in list_budgets(connection, [2])] == [Decimal("1000.50")]
    row.get_by_role("link", name="Edit").click()
    page.get_by_label("Amount, USD").fill("0.25")
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("$0.25")
    row.get_by_role("link", name="Edit").click()
    page.get_by_role("link", name="End budget").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("link", name="Add the first budget")).to_be_visible()


def test_a_channel_is_added_tried_and_removed(duty: Surf, hook_url: str) -> None:
    page = duty.open("/budgets?project=oncall&form=channel")
    page.get_by_role("textbox", name="Name").fill("night shift")
    page.get_by_role("textbox", name="Address").fill(hook_url)
    page.get_by_role("button", name="Add channel").click()
    row = page.locator("table[aria-label='Channels'] tr", has_text="night shift")
    before = len(Hook.received)
    row.get_by_role("button", name="Test").click()
    expect(page.locator(".said")).to_have_text("night shift took the test.")
    assert len(Hook.received) == before + 1
    assert b'"event":"test"' in Hook.received[-1]
    row.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("table[aria-label='Channels']")).to_have_count(0)


def test_the_bars_of_the_waterfall_are_the_change_to_the_cent(duty: Surf) -> None:
    page = duty.open(f"/spend-curves?project=oncall&{BOTH}&compare=2026-10")
    words = page.locator(".waterfall-words").inner_text()
    amounts = [
        Decimal(text.replace("\u2212", "-").replace("$", "").replace(",", "").replace("+", ""))
        for text in re.findall(r"[+\u2212]?\$[\d.,]*\d", words)
    ]
    assert sum(amounts[:-1], Decimal(0)) == amounts[-1] != 0
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").first.click()
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    names = ("activity", "mix", "calls_per_task", "context_size", "bucket_mix", "unit_price")
    assert rows
    for row in rows:
        assert sum(Decimal(row[name]) for name in names) == Decimal(row["current"]) - Decimal(row["base"])


def test_not_reported_is_said_where_no_provider_reports_cache_reads(duty: Surf) -> None:
    page = duty.open(f"/cache?project=oncall&{BOTH}")
    table = page.locator("table[aria-label='Cache by agent and model']")
    expect(table.locator("tr.total")).to_contain_text("%")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").first.click()
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    assert rows
    assert {row["read_of_input"] == "" for row in rows if row["reporting_calls"] == "0"} <= {True}
    assert all(Decimal(row["without_cache"]) - Decimal(row["cost"]) == Decimal(row["savings"]) for row in rows)


def test_the_overview_shows_the_open_alert_and_leads_to_it(duty: Surf) -> None:
    open_again()
    page = duty.open("/?project=oncall")
    page.locator(".open-alerts a", has_text="Loop: researcher").click()
    page.wait_for_url("**/budgets**incident=**")
    expect(page.locator(".content h1")).to_contain_text("Loop: researcher")


@pytest.mark.parametrize("path", ["/budgets", "/budgets?incident=1", "/budgets?form=budget", "/spend-curves", "/cache"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_control_pages_fit_and_axe_finds_nothing_serious(duty: Surf, path: str, theme: str, width: int) -> None:
    duty.page.set_viewport_size({"width": width, "height": 900})
    page = duty.open(f"{path}{'&' if '?' in path else '?'}project=oncall&{BOTH}&theme={theme}")
    duty.settled()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
    serious = [
        f"{one['id']}: {one['nodes'][0]['html'][:160]} ({len(one['nodes'])})"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_month_of_the_captures_is_the_one_the_tests_ask_for(instance: str) -> None:
    with wiring.transaction() as connection:
        found = incidents.list_incidents(connection, [2])
    first = datetime.fromisoformat(found[0].evidence["findings"][0]["since"]).astimezone(UTC)
    assert f"period={first:%Y-%m}" == BOTH
