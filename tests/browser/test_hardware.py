"""The hardware page, driven as people drive it, over hours worked out by hand."""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from dashboards.fleet import use_fleet
from models.core.fleet import DeploymentUse, HourUse, Replay
from models.core.queries import CostQuery
from models.costs.whatif_presets import Assumptions

from .conftest import AXE, PERIOD, Surf

FIRST = datetime(2026, 11, 3, 8, tzinfo=UTC)


def hour(number: int, calls: int = 10) -> HourUse:
    """Two chips for an hour at $2: a quarter prefill, a quarter decode, half idle where there are calls."""
    part = Decimal(1) if calls else Decimal(0)
    return HourUse(
        hour=FIRST + timedelta(hours=number),
        calls=calls,
        uncached_tokens=1_000_000 if calls else 0,
        cached_tokens=9_000_000 if calls else 0,
        generated_tokens=200_000 if calls else 0,
        chip_seconds=7200.0,
        prefill_chip_seconds=1800.0 if calls else 0.0,
        decode_chip_seconds=1800.0 if calls else 0.0,
        bill=Decimal(4),
        prefill_cost=part,
        decode_cost=part,
        idle_cost=4 - 2 * part,
        evidence="prior" if calls else None,
        problem=None,
    )


class HandMadeFleet:
    """Two deployments: one that works in three of four hours, one that is announced and idle."""

    def __init__(self) -> None:
        self.asked: list[tuple[CostQuery, Assumptions]] = []

    def deployments(self, project_id: int, start: datetime, end: datetime) -> Sequence[DeploymentUse]:
        """Both, with the hours in the period."""
        facts = {
            "architecture": "gpt-oss-120b", "engine": "vllm", "precision": "fp8", "chips": 2, "concurrency": 16,
            "retired": False, "usd_per_chip_hour": Decimal(2),
        }  # fmt: skip
        busy = [one for one in (hour(0), hour(1), hour(2), hour(3, calls=0)) if start <= one.hour < end]
        return [
            DeploymentUse(deployment_id=7, name="oss", accelerator="h100_sxm", announced=False, hours=busy, **facts),
            DeploymentUse(
                deployment_id=8, name="later", accelerator="vera_rubin_nvl72", announced=True, hours=[], **facts
            ),
        ]

    def replays(self, query: CostQuery, assumptions: Assumptions) -> Sequence[Replay]:
        """The present, one cheaper, one without a price."""
        self.asked.append((query, assumptions))
        return [
            Replay(key="same", name="As it is", scenario={}, actual=Decimal(6), cost=Decimal(6), low=Decimal(6),
                   high=Decimal(6), calls=30, assumptions=["nothing is different"], evidence="actual charges"),
            Replay(key="gpu", name="4 × b200_sxm", scenario={}, actual=Decimal(6), cost=Decimal(4), low=Decimal(3),
                   high=Decimal(5), calls=30, lines=[("prefill on b200_sxm", Decimal(1)),
                   ("decode on b200_sxm", Decimal(3))], assumptions=["60% of the paid time is occupied"],
                   evidence="prior"),
            Replay(key="lpu", name="8 × groq3_lpx", scenario={}, announced=True,
                   fault="no price is published: give one"),
        ]  # fmt: skip

    def models(self) -> Sequence[str]:
        """Two."""
        return ["gpt-oss-120b", "llama-3.1-70b"]


@pytest.fixture
def fleet(address: str) -> Iterator[HandMadeFleet]:
    made = HandMadeFleet()
    use_fleet(made)
    yield made
    use_fleet(None)


def test_bill_phases_and_idle_add_up_on_the_page(surf: Surf, fleet: HandMadeFleet) -> None:
    page = surf.open(f"/hardware?{PERIOD}")
    # Four hours at $4: three are half idle, one is idle as a whole.
    expect(page.locator(".answer")).to_contain_text("2 deployments cost $16.0, and 62 % of it is idle")
    phases = page.locator("table[aria-label='Cost by phase']")
    for name, tokens, price, cost in (
        ("Prefill", "3.00M", "$1.00", "$3.00"),
        ("Decode", "600k", "$5.00", "$3.00"),
        ("Used", "", "", "$6.00"),
        ("Idle, kept apart", "62.5", "", "$10.00"),
        ("Capacity bill", "", "", "$16.00"),
    ):
        row = phases.locator("tbody tr").filter(has_text=name)
        for text in (tokens, price, cost):
            expect(row).to_contain_text(text)
    expect(page.locator("table[aria-label='Deployments']")).to_contain_text("announced")


def test_scenarios_show_band_difference_evidence_and_what_lacks(surf: Surf, fleet: HandMadeFleet) -> None:
    page = surf.open(f"/hardware?{PERIOD}")
    table = page.locator("table[aria-label='Scenarios']")
    cheaper = table.locator("tr").filter(has_text="b200_sxm")
    for text in ("$4.0000", "$3.0000 – $5.0000", "−$2.0000", "prior"):
        expect(cheaper).to_contain_text(text)
    lacking = table.locator("tr").filter(has_text="groq3_lpx")
    expect(lacking).to_contain_text("announced")
    expect(lacking).to_contain_text("Not answered: no price is published: give one.")
    cheaper.locator("summary").click()
    expect(cheaper).to_contain_text("60% of the paid time is occupied")
    assert fleet.asked[-1][0].filters == (("deployment", "oss"),)


def test_assumptions_become_the_address_and_are_asked_with(surf: Surf, fleet: HandMadeFleet) -> None:
    page = surf.open(f"/hardware?{PERIOD}")
    page.fill("#hardware-concurrency", "64")
    page.fill("#hardware-lpu", "0.35")
    page.fill("#hardware-model", "llama-3.1-70b")
    page.click("text=Recalculate")
    page.wait_for_url("**concurrency=64**")
    expect(page.locator("#hardware-concurrency")).to_have_value("64")
    wanted = fleet.asked[-1][1]
    assert (wanted.concurrency, wanted.lpu_price, wanted.model) == (64, Decimal("0.35"), "llama-3.1-70b")
    surf.open_faulty(f"/hardware?{PERIOD}&utilisation=many")
    expect(page.locator(".message")).to_contain_text("utilisation=many: write a number from 1 to 100")


def test_the_csv_has_every_hour_with_exact_amounts(surf: Surf, fleet: HandMadeFleet) -> None:
    page = surf.open(f"/hardware?{PERIOD}")
    with page.expect_download() as got:
        page.click(".actions a:has-text('CSV')")
    rows = list(csv.DictReader(io.StringIO(got.value.path().read_text())))
    assert [row["deployment"] for row in rows] == ["oss"] * 4
    assert sum(Decimal(row["bill"]) for row in rows) == 16
    assert sum(Decimal(row["idle_cost"]) for row in rows) == 10


def test_without_deployments_the_page_teaches_how_to_declare_one(surf: Surf) -> None:
    page = surf.open(f"/hardware?{PERIOD}")
    expect(page.locator(".teach")).to_contain_text("/api/v1/deployments")
    expect(page.locator(".teach")).to_contain_text("match_model")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_is_accessible(surf: Surf, fleet: HandMadeFleet, theme: str, width: int) -> None:
    surf.page.set_viewport_size({"width": width, "height": 900})
    page = surf.open(f"/hardware?{PERIOD}&theme={theme}")
    page.wait_for_selector("#hardware-bars .main-svg")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa']})")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
