"""The pages, driven as people drive them."""

import csv
import io
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from dashboards import format as fmt
from dashboards.period import parse_period
from models.core.vocabulary import INPUT_BUCKETS

from .conftest import AXE, PERIOD, Surf
from .hand_made import Made, summed

PATHS = ("/", "/agents", "/trace", "/calls")


def inside(made: list[Made], period: str = "2026-11-01..2026-11-20") -> list[Made]:
    asked = parse_period(period)
    return [call for call in made if asked.start <= call.end < asked.end]


def cost_of(calls: list[Made]) -> Decimal:
    cost = summed(calls).effective_cost
    assert cost is not None
    return cost


def trace_of(made: list[Made], team: str = "payments") -> str:
    return next(call.call["trace_id"] for call in inside(made) if call.keys["team"] == team)


def test_the_overview_shows_the_sum_of_the_calls(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/?{PERIOD}")
    total = cost_of(inside(made))
    expect(page.locator(".tile-value").first).to_have_text(fmt.money_short(total))
    expect(page.locator(".tile-value").first).to_have_attribute("title", fmt.money_exact(total))
    expect(page.locator("table[aria-label='Spend by model'] tr.total")).to_contain_text(fmt.money(total))
    before = cost_of(inside(made, "2026-10-01..2026-10-20"))
    expect(page.locator(".answer")).to_contain_text(fmt.percent(total / before - 1).removeprefix("+"))


def test_every_split_of_the_overview_has_the_same_total(surf: Surf, made: list[Made]) -> None:
    total = fmt.money(cost_of(inside(made)))
    for dimension in ("model", "agent", "team"):
        page = surf.open(f"/?{PERIOD}&by={dimension}")
        expect(page.locator(f"table[aria-label='Spend by {dimension}'] tr.total")).to_contain_text(total)


def test_what_has_no_price_is_said_and_not_counted(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/?{PERIOD}")
    unpriced = [call for call in inside(made) if call.cost is None]
    expect(page.locator(".quality")).to_contain_text(f"{len(unpriced)} calls")
    expect(page.locator(".card-foot").first).to_contain_text("qwen3-coder-next")


def test_a_group_leads_to_its_calls(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/?{PERIOD}")
    page.locator("table[aria-label='Spend by model'] a", has_text="gpt-5").first.click()
    page.wait_for_url("**/calls?**")
    calls = [call for call in inside(made) if call.keys["model"] == "gpt-5"]
    expect(page.locator(".answer")).to_contain_text(f"{len(calls)} calls")
    expect(page.locator(".chip", has_text="model: gpt-5")).to_be_visible()


def test_a_filter_is_added_shown_and_removed(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/?{PERIOD}")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_role("textbox", name="Only where").click()
    page.get_by_role("option", name="team", exact=True).click()
    page.get_by_role("textbox", name="is", exact=True).click()
    page.get_by_role("option", name="support", exact=True).click()
    page.wait_for_url("**filter=team:support**")
    support = cost_of([call for call in inside(made) if call.keys["team"] == "support"])
    expect(page.locator(".tile-value").first).to_have_text(fmt.money_short(support))
    page.locator(".chip", has_text="team: support").click()
    expect(page.locator(".tile-value").first).to_have_text(fmt.money_short(cost_of(inside(made))))


def test_back_and_forward_show_what_was_seen(surf: Surf) -> None:
    page = surf.open(f"/?{PERIOD}")
    page.locator(".segments a", has_text="Team").click()
    expect(page.locator("table[aria-label='Spend by team']")).to_be_visible()
    page.locator(".nav-link", has_text="Agents").click()
    expect(page.locator(".content h1")).to_have_text("Agents")
    page.go_back()
    expect(page.locator("table[aria-label='Spend by team']")).to_be_visible()
    page.go_back()
    expect(page.locator("table[aria-label='Spend by model']")).to_be_visible()
    page.go_forward()
    expect(page.locator("table[aria-label='Spend by team']")).to_be_visible()


def test_a_copied_link_opens_the_same_view(surf: Surf) -> None:
    page = surf.open(f"/?{PERIOD}&filter=team:payments&by=agent&compare=year&theme=dark")
    link = page.url
    surf.settled()
    shown = page.locator(".content").inner_text()
    page.get_by_role("button", name="Copy link").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert parse_qs(urlsplit(copied).query) == parse_qs(urlsplit(link).query)
    again = surf.open(copied.removeprefix(surf.address))
    surf.settled()
    assert again.locator(".content").inner_text() == shown


def test_a_preset_puts_days_into_the_link(surf: Surf) -> None:
    page = surf.open(f"/?{PERIOD}")
    page.get_by_role("button", name="1–20 Nov 2026").click()
    page.get_by_role("link", name="Yesterday").click()
    page.wait_for_function("!location.search.includes('2026-11-01..')")
    first, _, last = parse_qs(urlsplit(page.url).query)["period"][0].partition("..")
    assert first == last


def test_the_theme_turns_and_stands_in_the_link(surf: Surf) -> None:
    page = surf.open(f"/?{PERIOD}")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    page.locator(".theme").click()
    page.wait_for_url("**theme=dark**")
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 27)"


@pytest.mark.parametrize("dimension", ["model", "team"])
def test_the_csv_of_the_overview_sums_to_the_total_exactly(surf: Surf, made: list[Made], dimension: str) -> None:
    page = surf.open(f"/?{PERIOD}&by={dimension}")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    assert set(rows[0]) >= {"time", dimension, "effective_cost", "unpriced_calls"}
    assert sum(Decimal(row["effective_cost"]) for row in rows if row["effective_cost"]) == cost_of(inside(made))
    assert sum(int(row["calls"]) for row in rows) == len(inside(made))


def test_the_csv_of_calls_has_every_call_of_every_page(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/calls?{PERIOD}")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    assert len(rows) == len(inside(made))
    assert sum(Decimal(row["effective_cost"]) for row in rows if row["effective_cost"]) == cost_of(inside(made))


def test_the_tree_of_agents_adds_up_on_screen(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/agents?{PERIOD}")
    family = [call for call in inside(made) if (call.keys["agent_path"] or "").startswith("dev-coordinator")]
    row = page.locator(".ag-row[row-id='dev-coordinator']")
    expect(row.locator("[col-id=inclusive]")).to_have_text(fmt.money(cost_of(family)))
    own = [call for call in family if call.keys["agent_path"] == "dev-coordinator"]
    expect(row.locator("[col-id=own]")).to_have_text(fmt.money(cost_of(own)))
    total = page.locator(".ag-floating-bottom .ag-row [col-id=own]")
    expect(total).to_have_text(fmt.money(cost_of(inside(made))))
    expect(page.locator(".ag-row", has_text="no agent attribute")).to_be_visible()


def test_an_agent_closes_and_the_link_remembers(surf: Surf) -> None:
    page = surf.open(f"/agents?{PERIOD}")
    page.locator(".ag-row[row-id='dev-coordinator'] [col-id=agent]").click()
    page.wait_for_url("**closed=dev-coordinator**")
    expect(page.locator(".ag-row[row-id='dev-coordinator/coder']")).to_have_count(0)
    page.reload()
    expect(page.locator(".ag-row[row-id='dev-coordinator']")).to_be_visible()
    expect(page.locator(".ag-row[row-id='dev-coordinator/coder']")).to_have_count(0)


def test_an_inclusive_cost_leads_to_the_calls_of_the_whole_family(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/agents?{PERIOD}")
    page.locator(".ag-row[row-id='support-desk'] [col-id=inclusive]").click()
    page.wait_for_url("**/calls?**")
    family = [call for call in inside(made) if (call.keys["agent_path"] or "").startswith("support-desk")]
    expect(page.locator(".answer")).to_contain_text(f"{len(family)} calls")


def test_a_trace_is_picked_and_a_call_proves_its_price(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/trace?{PERIOD}")
    page.locator(".ag-row[row-index='0'] [col-id=name]").click()
    page.wait_for_url("**trace=**")
    expect(page.locator("h2", has_text="This run, by agent")).to_be_visible()
    page.locator(".ag-row", has_text="chat").first.click()
    page.wait_for_url("**span=**")
    proof = page.locator("table.proof")
    expect(proof).to_be_visible()
    span = parse_qs(urlsplit(page.url).query)["span"][0]
    call = next(one for one in made if one.call["span_id"] == span)
    expect(proof.locator("tr.total")).to_contain_text(fmt.money(call.cost, 6))
    shown = proof.locator("tbody tr:not(.total) td:last-child").all_inner_texts()
    assert sum(Decimal(text.replace("$", "").replace(",", "")) for text in shown) == call.cost


def test_a_trace_shows_its_input_by_prompt_section_and_its_drafts(surf: Surf, made: list[Made]) -> None:
    page = surf.open(f"/trace?{PERIOD}&trace={trace_of(made)}")
    calls = [one.call for one in made if one.call["trace_id"] == trace_of(made)]
    table = page.locator("table[aria-label='Input by prompt section']")
    expect(table.locator("th")).to_have_text(["Agent", "System prompt", "Tool definitions", "Unknown", "Input"])
    cells = [cell.get_attribute("title") for cell in table.locator("tbody td:not(:first-child)").all()]
    counts = [int((text or "").replace(",", "")) for text in cells]
    system = sum(call["details"]["prompt_system"] for call in calls)
    assert sum(counts[0::4]) == system > 0
    entered = sum(call["tokens"].get(bucket.value) or 0 for call in calls for bucket in INPUT_BUCKETS)
    assert sum(counts[3::4]) == sum(counts) - sum(counts[3::4]) == entered
    drafted = fmt.tokens(100 * len(calls))
    expect(page.locator("dl.facts").last).to_contain_text(f"60.0\u00a0% of {drafted} tokens")


def test_an_address_that_says_nothing_is_explained(surf: Surf) -> None:
    page = surf.open_faulty("/?period=yesterday")
    expect(page.locator(".message")).to_contain_text("period=yesterday is no period")


def test_an_empty_project_teaches_and_offers_the_sample(surf: Surf) -> None:
    page = surf.open("/?project=fresh")
    expect(page.locator(".teach")).to_contain_text("OTEL_EXPORTER_OTLP_ENDPOINT")
    page.get_by_role("link", name="Open the sample").click()
    page.wait_for_url("**project=demo**")
    expect(page.locator(".bar")).to_contain_text("1–10 Oct")
    expect(page.locator(".badge", has_text="sample")).to_be_visible()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_scrolls_sideways_and_axe_finds_nothing_serious(
    surf: Surf, made: list[Made], path: str, theme: str, width: int
) -> None:
    surf.page.set_viewport_size({"width": width, "height": 900})
    more = f"&trace={trace_of(made)}" if path == "/trace" else ""
    page = surf.open(f"{path}?{PERIOD}&theme={theme}{more}")
    surf.settled()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
    serious = [
        f"{one['id']}: {one['nodes'][0]['html'][:160]} ({len(one['nodes'])})"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_first_visitor_may_come_by_a_deep_link(first_visit: Surf) -> None:
    page = first_visit.open(f"/agents?{PERIOD}")
    expect(page).to_have_title("Agents · Jevons")


def test_a_phone_opens_the_menu(surf: Surf) -> None:
    surf.page.set_viewport_size({"width": 390, "height": 800})
    page = surf.open(f"/?{PERIOD}")
    page.get_by_role("button", name="Menu", exact=True).click()
    page.locator(".nav-link", has_text="Agents").click()
    expect(page.locator(".content h1")).to_have_text("Agents")
    expect(page.locator(".nav-link", has_text="Agents")).not_to_be_in_viewport()
