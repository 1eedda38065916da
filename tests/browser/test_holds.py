"""The page of holds as a person uses it, with and without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browsing import Desk, Tab, opened_tab
from tests.declared_agents import filled
from tests.run_pages import Story


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_person_holds_and_lifts(browser: Browser, desk: Desk, script: bool) -> None:
    """All states are accessible; each step is a form or a link."""
    filled(desk.world.store, runs=1)
    run = denied_run(desk)
    with opened_tab(browser, desk, script=script) as tab:
        checked(tab, "hold", script=script)
        page = tab.open("/hold")
        page.get_by_label("external communication").check()
        page.get_by_label("Agent").fill("nobody at all")
        page.get_by_label("Reason").fill("Mails went out with the prices of 2025")
        page.get_by_role("button", name="Hold", exact=True).click()
        expect(page.locator("#wrong-agents")).to_be_visible()
        expect(page.get_by_label("Reason")).to_have_value("Mails went out with the prices of 2025")
        tab.expect("422")
        if script:
            assert tab.check("hold-wrong") == []
        page.get_by_label("Agent").fill("")
        page.get_by_role("button", name="Hold", exact=True).click()
        expect(page.locator(".notice b")).to_have_text("External communication is on hold")
        for name, address in (
            ("hold-in-force", "/hold"),
            ("hold-more", "/hold?new=1"),
            ("runs-hold", "/runs"),
            ("agents-hold", "/agents"),
            ("run-hold", f"/runs/{run}"),
            ("denied-hold", "/denied?from=all"),
        ):
            checked(tab, name, address, script=script)
        page = tab.open("/runs")
        page.get_by_role("complementary", name="Hold in force").get_by_role("link").click()
        page.get_by_role("button", name="Lift the hold on external communication").click()
        expect(page.locator(".notice b")).to_have_text("Nothing is on hold.")
        checked(tab, "hold-earlier", script=script)


def checked(tab: Tab, name: str, address: str = "/hold", *, script: bool) -> None:
    """Check a page at all sizes; axe needs scripts."""
    tab.open(address)
    if script:
        assert tab.check(name) == []


def denied_run(desk: Desk) -> str:
    """Return a run with a step that a hold denied."""
    action = "external_communication"
    violation = {
        "sentence": f"{action}: hold 01h denies shop.mail:send, which declares it (held by ada)",
        "part": "action_profile",
        "name": action,
        "word": "allowed",
        "limit": "held",
        "hold": "01h",
        "held_by": "ada",
        "reason": "Mails went out with the prices of 2025",
    }
    story = Story(desk.api)
    step = story.begin("shop.mail:send", story.root, ms=5)
    error = {"type": "DeniedError", "message": "denied", "violations": [violation]}
    story.end(step, "failed", {"error": error}, ms=6)
    story.end(story.root, ms=9)
    return story.finish("complete", ms=10)
