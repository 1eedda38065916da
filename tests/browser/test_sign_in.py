"""Who gets in with a browser: a token, a link that works once, and what other sites can do."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, Route, expect

from tests import run_pages
from tests.browsing import Desk, Tab, opened_tab

ELSEWHERE = "http://other.example/"


def another_site(tab: Tab, content: str) -> Page:
    """Open a page of another site."""

    def answer(route: Route) -> None:
        body = f"<!doctype html><link rel=icon href=data:,>{content}"
        route.fulfill(body=body, content_type="text/html")

    tab.page.unroute(f"{ELSEWHERE}**")
    tab.page.route(f"{ELSEWHERE}**", answer)
    tab.page.goto(ELSEWHERE)
    tab.expect(f"request: {ELSEWHERE}")
    return tab.page


def test_a_token_signs_in_and_leads_back(browser: Browser, desk: Desk) -> None:
    """To the page that was wanted, in the reader's zone; no script can read the cookie."""
    with opened_tab(browser, desk, signed_in=False) as tab:
        page = tab.open("/runs?status=failed")
        page.get_by_label("Token or one-time code").fill("remit_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("Not valid.")
        tab.expect("401")
        page.get_by_label("Token or one-time code").fill(desk.token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/runs?status=failed")
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        tab.open("/runs")
        expect(page.locator("#zone")).to_have_text("Europe/Berlin")
        assert desk.token not in page.content()
        names = [each.partition("=")[0] for each in page.evaluate("document.cookie").split("; ")]
        assert names == ["remit_zone"]
        assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_a_link_signs_in_once(browser: Browser, desk: Desk) -> None:
    """The code stands behind `#`, which no server sees, and is gone from the address."""
    code = desk.code()
    with opened_tab(browser, desk, signed_in=False) as tab:
        page = tab.open(f"/sign-in#{code}")
        page.wait_for_url("**/runs")
        assert code not in page.url
    with opened_tab(browser, desk, signed_in=False) as tab:
        page = tab.open(f"/sign-in#{code}")
        expect(page.get_by_role("alert")).to_contain_text("already used")
        tab.expect("401")


def test_a_link_waits_for_the_reader_who_is_signed_in(desk: Desk, tab: Tab) -> None:
    """It only fills the field in: nothing happens before the button is pressed."""
    code = desk.code()
    page = tab.open(f"/sign-in#{code}")
    expect(page.get_by_label("Token or one-time code")).to_have_value(code)
    assert page.url.endswith("/sign-in")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/runs")


def test_another_site_can_link_but_not_post(desk: Desk, tab: Tab) -> None:
    """A link opens the page, signed in; a form changes nothing, and neither does a script."""
    run = run_pages.running(desk.api)
    address = f"{tab.url}/runs/{run}"
    page = another_site(tab, f'<a href="{address}">look</a>')
    page.get_by_role("link", name="look").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Desk")
    form = f'<form method=post action="{address}/terminate"><input name=reason value=x>'
    page = another_site(tab, f"{form}<button>stop</button></form>")
    page.get_by_role("button", name="stop").click()
    expect(page.locator("main")).to_contain_text("This request came from a page of another site")
    tab.expect("403")
    assert desk.api.shown(run)["status"] == "active"
