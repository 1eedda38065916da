"""The page of a request as a person answers it, with and without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.asking import Asking
from tests.browsing import Desk, opened_tab


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_person_refuses_with_a_reason(browser: Browser, desk: Desk, script: bool) -> None:
    """No button has the focus, Enter in the reason sends nothing, and the error is above it."""
    ask = Asking(desk.world).with_messages(desk.api)
    with opened_tab(browser, desk, script=script) as tab:
        page = tab.open(f"/waiting/{ask}")
        expect(page.locator("button:focus")).to_have_count(0)
        page.get_by_label("Reason").press("Enter")
        refuse = page.get_by_role("button", name="Refuse")
        expect(refuse).to_be_visible()
        refuse.click()
        expect(page.get_by_role("alert")).to_contain_text("to refuse, say why.")
        expect(page.locator("button:focus")).to_have_count(0)
        tab.expect("422")
        if script:
            assert tab.check("ask-no-reason") == []
        page.get_by_label("Reason").fill("not without the receipt")
        refuse.click()
        expect(page.locator(".notice")).to_contain_text("ada@shop.example has refused it")
        expect(page.get_by_role("button")).to_have_count(0)
