"""The page of a run, as the server draws it: what failed, what was refused, and how to end it."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest
from playwright.sync_api import Browser, Page, expect

from remit.collector import create_token
from tests import run_pages
from tests.browsing import SIZES, THEMES, Desk, Tab, opened_tab
from tests.collecting import NOBODY
from tests.hostile import HOSTILE
from tests.inside import httpx


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
        assert "Whether money moved is not recorded." in notice
        assert "steps that may read data (1)" in notice
        assert "None that may update data, destroy data or move money" in notice
        assert "The same failure in 2 runs since" in notice
        panel = page.locator("#panel")
        expect(panel.get_by_role("heading", level=2)).to_have_text("charge")
        assert panel.locator(".how").all_inner_texts() == [
            "directly caused by",
            "which came up while this was handled",
        ]
        assert _bars(page) == ["withheld by type:SecretStr"] * 2
        expect(panel.locator(".frames .here")).to_contain_text("shop/tools.py")
        expect(panel.get_by_text("1 more in asyncio")).to_be_visible()
        expect(page.locator(".row[aria-selected=true]")).to_contain_text("charge")
        # A row is a link to its step.
        page.locator(".row", has_text="look_up").get_by_role("link").click()
        expect(panel.get_by_role("heading", level=2)).to_have_text("look_up")
        assert "?span=" in page.url


def test_a_group_opens_at_its_first_member(tab: Tab, desk: Desk) -> None:
    """And names the others, also the step that the group cancelled."""
    page = tab.open(f"/runs/{run_pages.grouped(desk.api)}")
    assert "look_up failed in shop/store.py:88: locked" in _notice(page)
    assert "1 more parallel step failed after it. secret was cancelled" in _notice(page)
    rows = page.locator(".members tbody tr").all_inner_texts()
    assert "this step" in rows[0]
    assert "charge" in rows[1]


def test_a_refusal_shows_both_declarations(tab: Tab, desk: Desk) -> None:
    """The contradictions come first."""
    page = tab.open(f"/runs/{run_pages.refused(desk.api)}")
    assert "1 step was refused and did not run: charge" in _notice(page)
    expect(page.locator(".verdict")).to_have_text(
        "The agent rules out moving money and financial information. "
        "The step says that it does both."
    )
    clashes = page.locator(".sides .clash").all_inner_texts()
    assert [text.split("\n")[0].split("\t")[0] for text in clashes] == [
        "financial transactions",
        "financial information",
    ]
    expect(page.locator(".row[aria-selected=true]")).to_contain_text("did not run")


def test_handled_failures_are_told_on_a_complete_run(tab: Tab, desk: Desk) -> None:
    """With the effect that they may have had, and with the four facts."""
    page = tab.open(f"/runs/{run_pages.handled(desk.api)}")
    assert "2 of its 4 steps failed and were handled: charge twice" in _notice(page)
    assert "Whether money moved by those 2 is not recorded." in _notice(page)
    expect(page.locator(".ledger")).to_contain_text("financial transactions 2")


def test_a_process_that_ended_is_told(tab: Tab, desk: Desk) -> None:
    """Nothing is known after its last sign."""
    page = tab.open(f"/runs/{run_pages.ended_process(desk.api)}")
    assert "Its process ended without a word while charge was open" in _notice(page)
    expect(page.locator(".row.first")).to_contain_text("not known")
    assert page.locator(".row .b.hat").count() == 2


def test_a_cancelled_run_is_told_in_ink(tab: Tab, desk: Desk) -> None:
    """Nothing of it is red."""
    page = tab.open(f"/runs/{run_pages.cancelled(desk.api)}")
    assert "Cancelled by its caller while look_up was open. Nothing failed." in _notice(page)
    assert page.locator(".bad").count() == 0


def test_confidential_values_are_closed_until_asked_for(tab: Tab, desk: Desk) -> None:
    """To ask is a request of its own route, which the access log keeps."""
    run_id, step = run_pages.confidential(desk.api, {"note": "a private note"})
    page = tab.open(f"/runs/{run_id}?span={step}")
    for path in (f"/runs/{run_id}?span={step}", f"/runs/{run_id}/spans/{step}/part"):
        tab.open(path)
        assert "private" not in page.content()
    text = page.request.get(f"{tab.url}/runs/{run_id}/spans/{step}/text").text()
    assert "shop.tools.PaymentError: the message is closed" in text
    assert "private" not in text
    page = tab.open(f"/runs/{run_id}?span={step}")
    page.get_by_role("link", name="Show values").click()
    page.wait_for_url(f"**/runs/{run_id}/spans/{step}/values")
    expect(page.locator("#panel")).to_contain_text("a private note")
    expect(page.locator("#panel")).to_contain_text("a private word")


def test_an_erased_run_keeps_its_shape(tab: Tab, desk: Desk) -> None:
    """The notice says why and by whom."""
    run_id = run_pages.failed(desk.api)
    body = {"run_id": run_id, "reason": "article 17"}
    token = create_token(desk.world.store, "account", may="erase", clock=desk.world.clock)
    with desk.world.http(token.secret) as http:
        answer = http.post("/api/remit/v1/erasures", json=body)
    assert answer.status_code == HTTPStatus.OK, answer.text
    page = tab.open(f"/runs/{run_id}")
    assert "The values of this run were erased" in _notice(page)
    assert "article 17" in _notice(page)
    assert page.locator(".tree .row:not(.axis)").count() == 4
    assert "502" not in page.content()
    assert page.locator("#panel .bar.gone").count() == 2


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
    expect(page.locator(".notice.warn")).to_contain_text("told at its next step")
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
        expect(page.locator(".notice")).to_contain_text("It has ended")


def test_a_token_that_reads_only_terminates_nothing(browser: Browser, desk: Desk) -> None:
    """It sees no button, and the API refuses the form."""
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
        expect(page.get_by_role("alert")).to_contain_text("may read only")
        tab.expect("403")
    assert desk.api.shown(run_id)["status"] == "active"


def test_a_run_of_another_account_does_not_exist(tab: Tab, desk: Desk) -> None:
    """Nor one that nobody has; the page says the same of both."""
    foreign = run_pages.failed(desk.world.foreign())
    for run_id in (foreign, NOBODY):
        page = tab.open(f"/runs/{run_id}")
        expect(page.locator("main")).to_contain_text("No run of this account has this id")
        tab.expect("404")
    answer = page.request.get(f"{tab.url}/runs/{foreign}/export")
    assert answer.status == HTTPStatus.NOT_FOUND


def test_a_run_is_exported_copied_and_printed(tab: Tab, desk: Desk) -> None:
    """NDJSON has the run and each step; the text has the chain and keeps what is withheld."""
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
    assert "directly caused by\nhttpx.HTTPStatusError: <withheld: type:SecretStr>" in text
    assert f"/runs/{run_id}?span=" in text
    page.get_by_role("link", name="Print").click()
    expect(page.locator(".tree .row:not(.axis)")).to_have_count(4)
    expect(page.locator(".panel")).to_contain_text("PaymentError")


def test_a_long_run_is_shown_in_pages(browser: Browser, desk: Desk) -> None:
    """Beyond 2,000 steps, without a script."""
    story = run_pages.Story(desk.api)
    for start in range(0, 2001, 100):
        desk.api.bulk(
            *(
                {
                    "_type": "agent_spans/create",
                    **desk.api.span_body(
                        story.run_id, parent_span_id=story.root, schema_name=f"shop.tools:n{number}"
                    ),
                }
                for number in range(start, start + 100)
            )
        )
    with opened_tab(browser, desk, script=False) as tab:
        page = tab.open(f"/runs/{story.run_id}")
        expect(page.locator(".foot")).to_contain_text("500 steps of 2,101")
        expect(page.locator(".tree .row:not(.axis)")).to_have_count(500)
        first = page.locator(".tree .row").last.inner_text()
        page.get_by_role("link", name="The next steps").click()
        expect(page.locator(".tree .row:not(.axis)")).to_have_count(500)
        assert page.locator(".tree .row").last.inner_text() != first


@pytest.mark.parametrize("theme", THEMES)
def test_axe_has_nothing_to_say(browser: Browser, desk: Desk, theme: str) -> None:
    """At every width; and nothing is wider than the window."""
    tellers = (run_pages.failed, run_pages.grouped, run_pages.refused, run_pages.running)
    paths = [f"/runs/{tell(desk.api)}" for tell in tellers]
    paths.append(f"{paths[-1]}/terminate")
    for size, (width, _) in SIZES.items():
        with opened_tab(browser, desk, size=size, theme=theme) as tab:
            for path in paths if size == "wide" else paths[2:3]:
                tab.open(path)
                assert tab.axe() == [], (path, size)
                assert tab.needed_width() <= width, (path, size)


def test_hostile_texts_are_only_texts(tab: Tab, desk: Desk) -> None:
    """In values, messages, names of members and of rules."""
    for text in HOSTILE:
        story = run_pages.Story(desk.api)
        payload = {text: text, "token": {"$remit": "withheld", "rule": text}}
        step = story.begin("shop.tools:charge", story.root, payload)
        story.end(step, "failed", run_pages.error(text))
        story.end(story.root, "failed", {"status": "failed"})
        page = tab.open(f"/runs/{story.finish('failed')}")
        expect(page.locator("#panel h2")).to_have_text("charge")
        assert page.evaluate("window.hit") is None


def test_no_page_of_a_run_is_open_to_strangers(desk: Desk) -> None:
    """Without a session every route leads to the sign-in."""
    run_id = run_pages.failed(desk.api)
    for tail in ("", "/print", "/export", "/terminate", "/spans/x", "/spans/x/values"):
        answer = httpx.get(f"{desk.url}/runs/{run_id}{tail}", follow_redirects=False)
        assert answer.status_code == HTTPStatus.SEE_OTHER
        assert answer.headers["location"].startswith("/sign-in?")
