"""The page of a run, as the server draws it: what failed, what was denied, and how to end it."""

from __future__ import annotations

import json
import re
from http import HTTPStatus

import pytest
from playwright.sync_api import Browser, Page, expect

from remit.collector import create_token
from tests import run_pages
from tests.browsing import SIZES, Desk, Tab, opened_tab
from tests.inside import httpx


@pytest.fixture(scope="module")
def desk(module_desk: Desk) -> Desk:
    """Return one collector for all tests of this module."""
    return module_desk


def _notice(page: Page) -> str:
    return page.locator(".notice").inner_text()


def _bars(page: Page) -> list[str]:
    return page.locator(".panel .bar").all_text_contents()


def test_a_failed_run_opens_at_the_step_that_failed_first(browser: Browser, desk: Desk) -> None:
    """Also without a script: message, place, effect, causes, frames and values are there."""
    earlier, run_id = (run_pages.failed(desk.api) for _ in range(2))
    assert earlier != run_id
    with opened_tab(browser, desk, script=False) as tab:
        page = tab.open(f"/runs/{run_id}")
        notice = _notice(page)
        assert "charge failed in shop/tools.py:41: the provider answered 502 three times" in notice
        assert "The record does not show whether money moved." in notice
        assert "Steps that may read data (1) started before the failure." in notice
        never = "update data, destroy data or move money"
        assert f"No step before the failure declares that it may {never}" in notice
        assert re.search(r"The same failure in \d+ runs since", notice)
        panel = page.locator("#panel")
        expect(panel.get_by_role("heading", level=2)).to_have_text("charge")
        assert panel.locator(".how").all_inner_texts() == [
            "directly caused by",
            "raised while handling",
        ]
        assert _bars(page) == ["redacted by type:SecretStr"] * 2
        expect(panel.locator(".frames .here")).to_contain_text("shop/tools.py")
        expect(panel.get_by_text("1 more in asyncio")).to_be_visible()
        expect(page.locator(".row[aria-selected=true]")).to_contain_text("charge")
        # A row is a link to its step.
        page.locator(".row", has_text="look_up").get_by_role("link").click()
        expect(panel.get_by_role("heading", level=2)).to_have_text("look_up")
        assert "?span=" in page.url


def test_a_denial_shows_both_declarations(tab: Tab, desk: Desk) -> None:
    """The violations come first."""
    page = tab.open(f"/runs/{run_pages.denied(desk.api)}")
    assert "1 step was denied and did not run: charge" in _notice(page)
    expect(page.locator(".reason")).to_have_text(
        "The agent forbids moving money and excludes financial information. "
        "The step declares that it involves both."
    )
    violations = page.locator(".sides .violation").all_inner_texts()
    assert [text.split("\n")[0].split("\t")[0] for text in violations] == [
        "financial transactions",
        "financial information",
    ]
    page.wait_for_function("() => performance.getEntriesByName('all-rows').length > 0")
    row = page.locator(".row[aria-selected=true]")
    expect(row).to_contain_text("did not run")
    expect(row.locator(".name use")).to_have_attribute("href", "#denied")
    expect(row).not_to_contain_text("handled")


def test_a_run_can_fail_without_an_error(tab: Tab, desk: Desk) -> None:
    """The notice then has no reason."""
    run_id, _ = run_pages.confidential(desk.api, {})
    page = tab.open(f"/runs/{run_id}")
    assert _notice(page).startswith("The run failed.")
    expect(page.locator("#panel").get_by_role("heading", level=2)).to_have_text("Run")


def test_a_run_is_terminated_with_a_reason(tab: Tab, desk: Desk) -> None:
    """The dialog asks for it; Enter does not send it."""
    run_id = run_pages.running(desk.api)
    page = tab.open(f"/runs/{run_id}")
    page.get_by_role("link", name="Terminate").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("it pays the wrong person")
    dialog.get_by_label("Reason").press("Enter")
    assert desk.api.shown(run_id)["status"] == "active"
    dialog.get_by_role("button", name="Terminate").click()
    expect(page.locator(".notice.warn")).to_contain_text("it pays the wrong person")
    expect(page.locator(".notice.warn")).to_contain_text("stops at its next step")
    expect(page.locator("#panel .facts")).to_have_text("never ended")
    shown = desk.api.shown(run_id)
    assert (shown["status"], shown["termination_reason"]) == (
        "terminated",
        "it pays the wrong person",
    )


def test_a_run_is_terminated_without_a_script(browser: Browser, desk: Desk) -> None:
    """The form is a page, too; one that has ended says so."""
    run_id = run_pages.running(desk.api)
    with opened_tab(browser, desk, script=False) as tab:
        page = tab.open(f"/runs/{run_id}")
        page.get_by_role("link", name="Terminate").click()
        page.get_by_label("Reason").fill("enough")
        page.get_by_role("button", name="Terminate").click()
        expect(page.locator(".notice.warn")).to_contain_text("enough")
        page = tab.open(f"/runs/{run_id}/terminate")
        expect(page.locator(".notice")).to_contain_text("The run has ended")


def test_a_token_that_reads_only_terminates_nothing(browser: Browser, desk: Desk) -> None:
    """It sees no button, and the API rejects the form."""
    run_id = run_pages.running(desk.api)
    token = create_token(desk.world.store, "account", may="read", clock=desk.world.clock)
    reader = Desk(desk.url, desk.world, desk.api, token.secret)
    with opened_tab(browser, reader) as tab:
        page = tab.open(f"/runs/{run_id}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.get_by_text("Terminate").count() == 0
        page = tab.open(f"/runs/{run_id}/terminate")
        page.get_by_label("Reason").fill("enough")
        page.get_by_role("button", name="Terminate").click()
        expect(page.get_by_role("alert")).to_contain_text("may only read")
        tab.expect("403")
    assert desk.api.shown(run_id)["status"] == "active"


def test_a_run_is_exported_copied_and_printed(tab: Tab, desk: Desk) -> None:
    """NDJSON has the run and each step; the text has the chain and keeps what is redacted."""
    run_id = run_pages.failed(desk.api)
    page = tab.open(f"/runs/{run_id}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer = page.request.get(f"{tab.url}/runs/{run_id}/export")
    lines = [json.loads(line) for line in answer.text().splitlines()]
    assert [line["type"] for line in lines] == ["agent_instance", *["agent_span"] * 4]
    page.get_by_role("link", name="Copy as text").click()
    expect(page.get_by_role("link", name="Copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    assert "PaymentError: the provider answered 502 three times" in text
    assert "directly caused by\nhttpx.HTTPStatusError: <redacted: type:SecretStr>" in text
    assert f"/runs/{run_id}?span=" in text
    page.get_by_role("link", name="Print").click()
    expect(page.locator(".tree .row:not(.axis)")).to_have_count(4)
    expect(page.locator(".panel")).to_contain_text("PaymentError")


def test_other_actions_are_behind_a_link_on_a_phone(browser: Browser, desk: Desk) -> None:
    """A run is compared with the one before it from there, too."""
    _, run_id = run_pages.failed(desk.api), run_pages.failed(desk.api)
    with opened_tab(browser, desk, size="narrow", script=False) as tab:
        page = tab.open(f"/runs/{run_id}")
        actions = page.locator("#acts > :visible")
        assert actions.all_text_contents() == ["Copy link", "More actions"]
        actions.last.click()
        assert "More actions" not in actions.all_text_contents()
        assert tab.needed_width() <= SIZES["narrow"][0]
        page.get_by_role("link", name="Compare").click()
        expect(page.locator("main")).to_contain_text("Both failed in the same way")


def test_no_page_of_a_run_is_open_to_strangers(desk: Desk) -> None:
    """Without a session every route leads to the sign-in."""
    run_id = run_pages.failed(desk.api)
    for tail in ("", "/print", "/export", "/terminate", "/spans/x", "/spans/x/values"):
        answer = httpx.get(f"{desk.url}/runs/{run_id}{tail}", follow_redirects=False, timeout=60)
        assert answer.status_code == HTTPStatus.SEE_OTHER
        assert answer.headers["location"].startswith("/sign-in?")


def test_a_page_whose_steps_are_not_there_is_accessible(browser: Browser, desk: Desk) -> None:
    """No control of the waterfall is seen before it has its words."""
    run_id = desk.api.instance("pending")["id"]
    with opened_tab(browser, desk) as tab:
        tab.page.route(f"**/{run_id}/outline*", lambda route: route.abort())
        page = tab.open(f"/runs/{run_id}")
        expect(page.get_by_label("Find")).to_be_visible()
        assert tab.axe() == []
        tab.expect("ERR_FAILED")
