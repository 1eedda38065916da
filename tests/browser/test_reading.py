"""Model calls as text, two runs compared, and help."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browsing import SIZES, Desk, Tab, opened_tab
from tests.collecting import NOBODY
from tests.conversing import Program, complete_and_failed, conversation, model_call, says
from tests.inside import httpx

HOSTILE = "<img src=x onerror=alert(1)>\u202e**bold** javascript:alert(1)"


@pytest.fixture(scope="module")
def desk(module_desk: Desk) -> Desk:
    """Return one collector for all tests of this module."""
    return module_desk


def test_a_conversation_is_joined_from_its_calls(desk: Desk, tab: Tab) -> None:
    """With what was redacted, the steps that it called, and a line where this call begins."""
    run, calls = conversation(desk.api)
    page = tab.open(f"/runs/{run}/spans/{calls[-1]}/read")

    expect(page.locator(".talk > li[id]")).to_have_count(8)
    expect(page.locator(".usage")).to_contain_text("18,204")
    expect(page.locator("#m1 summary")).to_have_text(re.compile(r"the rest: 1,\d+ characters"))
    expect(page.locator("#m3")).to_contain_text("find_order")
    assert page.locator("#m3 .margin a").get_attribute("href")
    expect(page.locator(".gap + #m6")).to_be_visible()
    expect(page.locator("#m7 .bar.all")).to_have_text("redacted by classification:restricted")
    page.get_by_label("Show").select_option("redacted")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".talk > li")).to_have_count(2)
    page.locator("#m7 .bar.all").click()
    expect(page.locator("#rule-classification")).to_be_in_viewport()
    text = page.request.get(f"{tab.url}/runs/{run}/spans/{calls[-1]}/read?as=text")
    assert "8 assistant\nI am paying back 63.90 euros now.\nrefund order 1021" in text.text()


def test_messages_are_text(desk: Desk, tab: Tab) -> None:
    """Neither HTML nor markdown nor a link, and what would reorder them is shown."""
    program = Program(desk.api)
    span = model_call(
        program, program.root, [says("user", HOSTILE)], says(HOSTILE, {HOSTILE: HOSTILE})
    )
    program.finish()
    page = tab.open(f"/runs/{program.run}/spans/{span}/read")

    expect(page.locator("#m1 .said")).to_have_text(HOSTILE.replace("\u202e", "[U+202E]"))
    assert page.locator(".talk :is(img, strong, .said a)").count() == 0


def test_a_long_conversation_has_pages(desk: Desk, tab: Tab) -> None:
    """Of 200 messages."""
    program = Program(desk.api)
    messages = [says("user", f"message {number}") for number in range(250)]
    span = program.step("desk:chat", program.root, 5, {"messages": messages}, {"result": "Yes."})
    program.finish()
    page = tab.open(f"/runs/{program.run}/spans/{span}/read")

    expect(page.locator(".talk > li")).to_have_count(200)
    page.get_by_role("link", name="200 later").click()
    expect(page.locator("#m251")).to_contain_text("Yes.")


def test_two_runs_are_compared(desk: Desk, tab: Tab) -> None:
    """The older one is left; what is different comes first, in the order of cause."""
    older, newer = complete_and_failed(desk.api)
    page = tab.open(f"/runs/compare?b={newer}")

    assert page.url.endswith(f"?a={older}&b={newer}")
    expect(page.locator(".notice")).to_contain_text(
        "charge failed after 6.36 s; in the older run it took 410 ms. "
        "Before the failure, both ran the same 8 steps, except for chat, which 1.5.0 added."
    )
    expect(page.locator(".notice")).to_contain_text(
        "Shop.close_order and write were never reached."
    )
    names = page.locator(".diff tbody:first-of-type th[scope=row] b").all_text_contents()
    assert names == [
        *("charge", "pay_back", "refund", "support"),
        *("chat", "plan", "Shop.close_order", "write"),
    ]
    expect(page.locator(".seq tr.first")).to_contain_text("charge")
    expect(page.locator(".seq tbody tr")).to_have_count(12)
    table = page.request.get(f"{tab.url}/runs/compare?a={newer}&b={older}&as=csv").text()
    assert "desk:charge,failed first; 16 times as long,1,1,410000,6360000,0,1" in table


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_a_long_version_covers_no_link(browser: Browser, desk: Desk, size: str) -> None:
    """It is cut where its line ends."""
    version = {"name": "One", "external_identifier": "schema-" + "53265-" * 40}
    older, newer = (desk.api.instance("complete", agent_version=version)["id"] for _ in range(2))
    with opened_tab(browser, desk, size=size) as tab:
        page = tab.open(f"/runs/compare?a={older}&b={newer}")
        is_cut = "e => e.scrollWidth <= e.clientWidth || getComputedStyle(e).overflow == 'hidden'"
        assert page.get_by_text("version schema-").first.evaluate(is_cut)
        assert tab.needed_width() <= SIZES[size][0]


@pytest.mark.parametrize(("first", "second"), [("x", "y"), (NOBODY, ""), ("", "")])
def test_the_form_stays(desk: Desk, tab: Tab, first: str, second: str) -> None:
    """With what is wrong beside it."""
    page = tab.open(f"/runs/compare?a={first}&b={second}")

    expect(page.get_by_label("One run")).to_have_value(first)
    expect(page.get_by_role("alert")).to_have_count(1 if first else 0)
    if first:
        tab.expect("404")
    run, _ = complete_and_failed(desk.api)
    page.get_by_label("One run").fill(run)
    page.get_by_label("Another run").fill(run)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("alert")).to_contain_text("must differ from the first run")
    tab.expect("422")


def test_help_has_a_key(tab: Tab) -> None:
    """Which does nothing while somebody writes."""
    page = tab.open("/runs/compare")
    page.get_by_label("One run").press("?")
    expect(page.get_by_label("One run")).to_have_value("?")
    page.get_by_role("heading", name="Compare two runs").click()
    page.keyboard.press("?")
    page.wait_for_url("**/help")


def test_keys_can_be_turned_off(tab: Tab) -> None:
    """In this browser, on the page of help."""
    page = tab.open("/help")
    switch = page.get_by_label("Keyboard shortcuts are on")
    switch.uncheck()
    page.reload()
    expect(switch).not_to_be_checked()
    page.keyboard.press("g")
    page.keyboard.press("r")
    switch.check()
    expect(page).to_have_url(re.compile("/help$"))
    page.get_by_role("heading", name="Help").click()
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/runs")


def test_a_run_of_another_account_does_not_exist(desk: Desk, tab: Tab) -> None:
    """Nor do its messages."""
    own, (first, *_) = conversation(desk.api)
    spans = desk.api.spans(own)
    root = next(span["id"] for span in spans if span["schema_name"] == "remit:run")
    tab.open(f"/runs/{own}/spans/{root}/read")
    tab.expect("404")
    expect(tab.page.locator(".lead")).to_have_text("This step has no messages: it called no model")
    run, calls = conversation(desk.world.foreign())
    tab.open(f"/runs/{run}/spans/{first}/read")
    tab.expect("404")
    tab.open(f"/runs/{run}")
    tab.expect("404")
    expect(tab.page.locator("main")).to_contain_text(
        "This account does not have a run with this id"
    )
    for path in (
        f"/runs/{run}/spans/{calls[0]}/read",
        f"/runs/compare?a={run}&b={own}",
        f"/runs/compare?a={own}&b={run}",
    ):
        tab.open(path)
        tab.expect("404")
        assert tab.axe("dark") == []
    assert httpx.get(f"{desk.url}/help", timeout=60).status_code == 303
