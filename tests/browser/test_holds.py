"""The page of holds as a person uses it, with and without scripts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, expect

from remit.errors import Violation
from remit.testing import FakeClock
from tests.browsing import Desk, Tab, opened_tab
from tests.collecting import World
from tests.declared_agents import filled
from tests.run_pages import Story
from tests.violating import denial


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_a_person_holds_and_lifts(browser: Browser, desk: Desk, script: bool) -> None:
    """All states are accessible; each step is a form or a link."""
    filled(desk.world.store, runs=1)
    long_ago = World(desk.world.store, clock=FakeClock(datetime.now(UTC) - timedelta(minutes=9)))
    heard(long_ago, "Invoice clerk", "mail-2")
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
        for host in ("shop-1", "shop-2", "depot-3"):
            heard(desk.world, "Support desk", host, number=1)
        (hold,) = desk.api.http.get("/api/remit/v1/holds").json()["holds"]
        run = denied_run(desk, hold["id"])
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


def heard(world: World, agent: str, host: str, number: int = 0) -> None:
    """Report that a program knows the holds."""
    known = {"process": host, "host": host, "agents": [agent], "number": number}
    answer = world.account().http.post("/api/remit/v1/holds/known", json=known)
    assert answer.is_success, answer.text


def denied_run(desk: Desk, hold_id: str) -> str:
    """Return a run with a step that a hold denied."""
    action, reason = "external_communication", "Mails went out with the prices of 2025"
    violation = Violation(
        f"{action}: hold {hold_id} denies shop.mail:send, which declares it (held by ada)",
        part="action_profile",
        name=action,
        word="allowed",
        limit="held",
        hold=hold_id,
        held_by="ada",
        reason=reason,
    )
    story = Story(desk.api)
    step = story.begin("shop.mail:send", story.root, {"invoice": "2026-1190"}, ms=5)
    story.end(step, "failed", denial("shop.mail:send", violation), ms=6)
    story.end(story.root, ms=9)
    return story.finish("complete", ms=10)
