"""Who gets in, and how: a token, a link that works once, and nothing else."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from playwright.sync_api import Browser, expect

from tests.browsing import Desk, Tab, opened_tab
from tests.inside import httpx


def test_a_token_signs_in_and_out(tab: Tab) -> None:
    """The session is over afterwards."""
    page = tab.page
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    (cookie,) = (
        each for each in page.context.cookies() if each.get("name", "").startswith("__Host-")
    )
    kept = cookie.get("httpOnly"), cookie.get("secure"), cookie.get("sameSite")
    assert kept == (True, True, "Lax")


def test_a_link_signs_in_once(browser: Browser, desk: Desk) -> None:
    """The code stands behind `#`, which no server sees, and is gone from the address."""
    code = desk.code()
    with opened_tab(browser, desk, signed_in=False) as tab:
        page = tab.open(f"/sign-in#{code}")
        page.wait_for_url("**/runs")
    with opened_tab(browser, desk, signed_in=False) as tab:
        page = tab.open(f"/sign-in#{code}")
        expect(page.get_by_role("alert")).to_contain_text("used before")
        tab.expect("401")


def test_a_page_leads_to_the_sign_in_and_back(browser: Browser, desk: Desk) -> None:
    """With its filters."""
    with opened_tab(browser, desk, signed_in=False) as tab:
        page = tab.open("/runs?status=failed")
        page.get_by_label("Token or one-time code").fill(desk.token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/runs?status=failed")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {},
    ],
)
def test_a_change_that_another_site_asks_for_is_refused(
    desk: Desk, headers: dict[str, str]
) -> None:
    """Also one that does not name its origin."""
    answer = httpx.post(f"{desk.url}/sign-in", data={"secret": desk.token}, headers=headers)
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "set-cookie" not in answer.headers


def test_the_api_never_looks_at_the_session(tab: Tab) -> None:
    """Or a page of another site could use it."""
    answer = tab.page.request.get(f"{tab.url}/api/v1/agent")
    assert answer.status == HTTPStatus.UNAUTHORIZED


def test_a_foreign_name_is_refused(desk: Desk) -> None:
    """As a site has that points its name to this machine."""
    answer = httpx.get(f"{desk.url}/sign-in", headers={"host": "evil.example"})
    assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST
    assert "--page-host evil.example" in answer.text
