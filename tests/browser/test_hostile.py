"""Texts of data that try to be more than text, in each place where a page shows data."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import run_pages
from tests.browsing import Desk, Tab, opened_tab
from tests.collecting import Api, details
from tests.hostile import HOSTILE, MARK

MADE_OF_DATA: Final = (
    f"{MARK}, img, iframe, object, embed, animate, b b, script:not([src^='/static/']), "
    "svg[onload], [onerror], [onmouseover], [onfocus], "
    "a[href^='javascript:' i], a[href^='data:' i], a[href*='evil.example']"
)
"""Elements that the page never has, but that a hostile text would make."""


@pytest.fixture(scope="module")
def desk(module_desk: Desk) -> Desk:
    """Return one collector for all tests of this module."""
    return module_desk


def hostile_run(desk: Desk, text: str) -> tuple[str, str]:
    """Return a run with a text in every place, and the step that failed with it."""
    agent = details(desk.api.post("/agent", {"details": {"name": text}}))["id"]
    api = Api(desk.api.http, agent)
    declared = [run_pages.declared("remit:run"), run_pages.declared(text)]
    run = details(
        api.post(
            "/agent_instance/register",
            api.registration(
                agent_version={"external_identifier": text, "name": text},
                agent_schema_version={"external_identifier": "1", "span_type_schemas": declared},
            ),
        )
    )["id"]
    details(api.post(f"/agent_instance/{run}/start", {}))
    root = api.span(run, schema_name="remit:run", payload={"subject": text})["id"]
    payload = {text: text, "list": [{text: [text]}], "token": {"$remit": "redacted", "rule": text}}
    step = api.span(run, schema_name=text, parent_span_id=root, payload=payload)["id"]
    failure = run_pages.error(text, text, causes=[{"type": text, "message": text}])
    body = {"status": "failed", "result_payload": failure}
    details(api.post(f"/agent_spans/{step}/finish", body))
    details(api.post(f"/agent_instance/{run}/terminate", {"reason": text}))
    return run, step


def assert_harmless(page: Page) -> None:
    """Check that no text became an element or ran."""
    assert page.evaluate("window.hit") is None
    made = page.locator(MADE_OF_DATA)
    assert made.count() == 0, made.evaluate_all("all => all.map(each => each.outerHTML)")


def test_texts_of_data_are_only_texts(browser: Browser, desk: Desk) -> None:
    """As values, keys, types, agents, reasons and messages; on lists, runs, steps and exports."""
    runs = [hostile_run(desk, text) for text in HOSTILE]
    with opened_tab(browser, desk) as tab:
        page = tab.open("/runs?more=1")
        expect(page.locator("tr[data-run]")).to_have_count(len(HOSTILE))
        assert_harmless(page)
        for (run, step), text in zip(runs, HOSTILE, strict=True):
            page = tab.open(f"/runs/{run}?span={step}")
            page.wait_for_function("() => performance.getEntriesByName('all-rows').length > 0")
            # The panel that a script asks for, and the one that came with the page.
            page.locator("#tree").press("Home")
            page.locator("#tree").press("End")
            expect(page.locator("#panel")).to_contain_text(text[:7] if text.isprintable() else "U+")
            assert_harmless(page)
        tab.open(f"/runs/compare?a={runs[0][0]}&b={runs[1][0]}")
        assert_harmless(page)


def test_without_a_script_they_are_texts_too(browser: Browser, desk: Desk) -> None:
    """The server has written them."""
    run, step = hostile_run(desk, HOSTILE[3])
    with opened_tab(browser, desk, script=False) as tab:
        for path in (f"/runs/{run}", f"/runs/{run}/spans/{step}", f"/runs/{run}/print"):
            page = tab.open(path)
            expect(page.locator("main")).to_contain_text(HOSTILE[3])
            assert page.locator(MADE_OF_DATA).count() == 0


def test_this_page_has_what_the_texts_would_make(tab: Tab) -> None:
    """The selector by which the tests look for it matches them all."""
    texts = HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[4], HOSTILE[8]
    tab.page.set_content("".join(texts))
    assert tab.page.locator(MADE_OF_DATA).count() >= len(texts)
    tab.complaints.clear()
