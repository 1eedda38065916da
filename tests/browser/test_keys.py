"""The keys of the tree of a run, and those of every page."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests import run_pages
from tests.browsing import Desk, Tab
from tests.run_history import BEYOND
from tests.waterfalls import Step, begun, ended, id_of, record

PAIRS: Final = 30
FAILED: Final = (7, 27)
MARKED: Final = (11, 41)
HITS: Final = (16, 36)
LAST: Final = 1 + 2 * PAIRS


@pytest.fixture(scope="module")
def desk(module_desk: Desk) -> Desk:
    """Return one collector for all tests of this module."""
    return module_desk


@pytest.fixture(scope="module")
def run(desk: Desk) -> str:
    """Record 30 pairs of steps: two steps failed, two go beyond the remit, two have a text."""
    steps = [Step("remit:run", took_ms=9_000), Step("night_review", 0, 1, 8_900)]
    for pair in range(PAIRS):
        top, at = len(steps), 10.0 + 200 * pair
        hit = {"item": "kettle"} if top in HITS else {}
        steps.append(Step(("refund", "pay_back")[pair % 2], 1, at, 100, payload=hit))
        below = len(steps)
        status = "failed" if below in FAILED else "complete"
        beyond = BEYOND if below in MARKED else {}
        steps.append(Step("look_up", top, at + 5, 50, status, beyond))
    made = begun(desk.api)
    record(desk.api, made, steps)
    ended(desk.api, made, 9_000)
    return made


def opened(tab: Tab, run: str) -> Page:
    """Open a run with the focus in its tree, at the first row."""
    page = tab.open(f"/runs/{run}")
    page.wait_for_function("() => performance.getEntriesByName('all-rows').length > 0")
    page.locator("#tree").focus()
    page.keyboard.press("Home")
    return page


def assert_chosen(page: Page, run: str, number: int) -> None:
    """Check which step is chosen: in the tree, for a screen reader, and in the address."""
    tree = page.locator("#tree")
    link = tree.locator("[aria-selected=true]").get_by_role("link")
    expect(link).to_have_attribute("href", f"/runs/{run}?span={id_of(run, number)}")
    row = tree.get_attribute("aria-activedescendant")
    expect(tree.locator(f"#{row}")).to_have_attribute("aria-selected", "true")
    assert page.url.endswith(f"?span={id_of(run, number)}")


def test_keys_go_from_step_to_step(tab: Tab, run: str) -> None:
    """By row, by page, to the ends, to the parent, to what failed or has a mark, and round."""
    page = opened(tab, run)
    for key, number in (
        ("ArrowDown", 1),
        ("j", 2),
        ("j", 3),
        ("p", 2),
        ("k", 1),
        ("ArrowUp", 0),
        ("ArrowUp", 0),
        ("End", LAST),
        ("ArrowDown", LAST),
        ("Home", 0),
        ("e", FAILED[0]),
        ("e", FAILED[1]),
        ("E", FAILED[0]),
        ("E", FAILED[1]),
        ("m", MARKED[1]),
        ("m", MARKED[0]),
        ("M", MARKED[1]),
        ("M", MARKED[0]),
    ):
        page.keyboard.press(key)
        assert_chosen(page, run, number)
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    rows = page.locator("#tree [aria-selected=true]")
    assert 10 < int(rows.get_attribute("aria-rowindex") or 0) < LAST
    page.keyboard.press("PageUp")
    assert_chosen(page, run, 0)


def test_keys_open_and_close(tab: Tab, run: str) -> None:
    """A step, then its parent; a level of all steps."""
    page = opened(tab, run)
    tree = page.locator("#tree")
    everything = str(1 + LAST + 1)
    expect(tree).to_have_attribute("aria-rowcount", everything)
    page.keyboard.press("j")
    page.keyboard.press("j")
    chosen = tree.locator("[aria-selected=true]")
    for key, number, rows, opened_ in (
        ("ArrowLeft", 2, LAST + 1, "false"),
        ("ArrowLeft", 1, LAST + 1, "true"),
        ("j", 2, LAST + 1, "false"),
        ("ArrowRight", 2, LAST + 2, "true"),
        ("ArrowRight", 3, LAST + 2, None),
        ("p", 2, LAST + 2, "true"),
        (" ", 2, LAST + 1, "false"),
        (" ", 2, LAST + 2, "true"),
        ("Shift+ArrowLeft", 2, PAIRS + 3, "false"),
        ("Shift+ArrowRight", 2, LAST + 2, "true"),
    ):
        page.keyboard.press(key)
        assert_chosen(page, run, number)
        expect(tree).to_have_attribute("aria-rowcount", str(rows))
        assert chosen.get_attribute("aria-expanded") == opened_, key


def test_keys_find_zoom_and_copy(tab: Tab, run: str) -> None:
    """And lead to the panel, to the search, and back to the tree."""
    page = opened(tab, run)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tree, find = page.locator("#tree"), page.get_by_label("Find")
    page.keyboard.press("/")
    expect(find).to_be_focused()
    page.keyboard.type("kettle")
    page.keyboard.press("Enter")
    said = page.locator(".step", has_text="hit ")
    expect(said).to_contain_text("hit 1 of 2")
    page.keyboard.press("Escape")
    expect(tree).to_be_focused()
    for key, place in (("n", 2), ("n", 1), ("N", 2)):
        page.keyboard.press(key)
        expect(said).to_contain_text(f"hit {place} of 2")
    link = tree.locator("[aria-selected=true]").get_by_role("link")
    assert f"span={id_of(run, HITS[1])}" in (link.get_attribute("href") or "")

    page.keyboard.press("c")
    expect(page.locator(".said")).to_have_text("link copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(tree).to_be_focused()

    ticks = page.locator("#tree .ticks")
    whole = ticks.inner_text()
    page.keyboard.press("+")
    expect(ticks).not_to_have_text(whole, use_inner_text=True)
    page.keyboard.press("-")
    expect(ticks).to_have_text(whole, use_inner_text=True)
    for name in ("rows", "run"):
        page.keyboard.press("z")
        assert f"axis={name}" in page.url
    assert f"span={id_of(run, HITS[1])}" in page.url


def test_keys_lead_to_the_pages(tab: Tab, desk: Desk) -> None:
    """To the lists, to help, to the run before and after; the zone is switched."""
    page = tab.open("/help")
    for key, path in (
        ("a", "/agents"),
        ("d", "/map"),
        ("f", "/refused"),
        ("w", "/register"),
        ("r", "/runs"),
    ):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"**{path}")
    page.keyboard.press("?")
    page.wait_for_url("**/help")
    older, newer = (run_pages.failed(desk.api) for _ in range(2))
    tab.open(f"/runs/{newer}")
    page.keyboard.press("]")
    page.wait_for_url(f"**/runs/{older}")
    page.keyboard.press("[")
    page.wait_for_url(f"**/runs/{newer}")
    zone = page.locator("#zone")
    for shown in ("UTC", "Europe/Berlin"):
        page.keyboard.press("u")
        expect(zone).to_have_text(shown)
