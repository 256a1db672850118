"""What a role may not use is not shown: pages of administrators, and buttons that change something."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from app.settings import Settings
from models.core.credentials import hash_password
from models.store.projects import add_user
from tests.conftest import Database

from .conftest import surfing
from .sample_instance import load_sample, serving

PASSWORD = "a long password"


@pytest.fixture(scope="module")
def instance(migrated: Database) -> Iterator[str]:
    """The pages over the sample, where people log in."""
    load_sample(migrated)
    with migrated.engine.begin() as connection:
        for name in ("viewer", "editor", "admin"):
            add_user(connection, name=name, password=hash_password(PASSWORD), role=name)
    with serving(Settings(auth="required", secret_key=SecretStr("for this test only")), migrated) as address:
        yield address


def log_in(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/login?next=/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector(".content h1")


@pytest.mark.parametrize(("role", "sees", "changes"), [
    pytest.param("viewer", False, False, id="a-viewer-looks"),
    pytest.param("editor", False, True, id="an-editor-changes"),
    pytest.param("admin", True, True, id="an-admin-sees-the-keys"),
])  # fmt: skip
def test_what_a_role_may_not_use_is_not_shown(
    browser: Browser, instance: str, role: str, sees: bool, changes: bool
) -> None:
    with surfing(browser, instance) as driven:
        log_in(driven.page, instance, role)
        page = driven.open("/prices?project=demo")
        expect(page.locator(".nav-link", has_text="Settings")).to_have_count(1 if sees else 0)
        expect(page.locator(".actions a", has_text="Set a rate")).to_have_count(1 if changes else 0)
        page.goto(f"{instance}/settings?project=demo")
        expect(page.locator(".content h1")).to_have_text("Settings" if sees else "Not for your role")
        expect(page.locator("h2", has_text="Keys")).to_have_count(1 if sees else 0)
        page = driven.open("/prices?project=demo&form=rate")
        expect(page.locator(".card h2", has_text="Set a rate")).to_have_count(1 if changes else 0)
        page = driven.open("/chargeback?project=demo&period=2025-12")
        expect(page.get_by_role("button", name="Close December")).to_be_enabled(enabled=changes)
        expect(page.get_by_role("button", name="Save and apply")).to_be_enabled(enabled=changes)
