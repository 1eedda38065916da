"""The keys of the page: each one that the help names does what the help says."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browsing import Desk, Tab, has_rows
from tests.run_history import VIOLATION, error
from tests.waterfalls import Step, begun, ended, record

STEPS: Final = [
    Step("remit:run", took_ms=100),
    Step("night_review", 0, 1, 98),
    Step("search_help", 1, 2, 5, payload={"query": "pears"}),
    Step("refund", 1, 10, 40),
    Step("charge", 3, 12, 20, "failed", VIOLATION, error("PaymentError", "answered 503")),
    Step("look_up", 1, 55, 5, payload={"query": "pears"}),
    Step("write", 1, 62, 5, "failed", result=error("OSError", "disk full")),
    Step("notify", 1, 70, 5, payload=VIOLATION),
]
"""Two steps failed, two are marked, two have a text."""
PAGES: Final = {"a": "/agents", "d": "/map", "f": "/denied", "w": "/register", "r": "/runs"}
"""The pages that a key after `g` opens."""


@pytest.fixture
def run(desk: Desk) -> str:
    """Record three runs, and return the id of the one between."""
    runs = [begun(desk.api) for _ in range(3)]
    record(desk.api, runs[1], STEPS)
    ended(desk.api, runs[1], 100)
    return runs[1]


@pytest.fixture
def tree(tab: Tab, run: str) -> Locator:
    """Open the run at a hit of a search, with the focus in the tree."""
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = tab.open(f"/runs/{run}?q=pears")
    has_rows(page)
    tree = page.locator("#tree")
    expect(chosen(tree)).to_contain_text("look_up")
    tree.focus()
    return tree


def chosen(tree: Locator) -> Locator:
    """Return the row of the step that is chosen."""
    return tree.locator(".row[aria-selected=true] .name a")


def press(tree: Locator, keys: str) -> None:
    """Press keys, and check after each one which step is chosen: `j notify`."""
    for line in keys.splitlines():
        key, _, step = line.strip().partition(" ")
        tree.page.keyboard.press(key)
        expect(chosen(tree), line).to_contain_text(step)


def test_keys_go_from_step_to_step(tree: Locator) -> None:
    """Through all rows, through those that failed, have a mark or a hit, and to the parent."""
    keys = """Home Run
        End notify
        ArrowUp write
        ArrowDown notify
        k write
        j notify
        PageUp Run
        PageDown notify
        e charge
        e write
        E charge
        m notify
        M charge
        n look_up
        n search_help
        N look_up
        p night_review"""
    press(tree, keys)


def test_keys_open_and_close(tree: Locator) -> None:
    """One step, and a level of all."""
    row = tree.locator(".row", has_text="refund")
    expect(tree).to_have_attribute("aria-rowcount", "9")
    press(tree, "E charge\np refund\nArrowLeft refund")
    expect(row).to_have_attribute("aria-expanded", "false")
    press(tree, "ArrowRight refund\nArrowRight charge\nArrowLeft refund")
    for opened in ("false", "true"):
        press(tree, "Space refund")
        expect(row).to_have_attribute("aria-expanded", opened)
    press(tree, "Shift+ArrowLeft refund")
    expect(tree).to_have_attribute("aria-rowcount", "8")
    press(tree, "Shift+ArrowRight refund")
    expect(tree).to_have_attribute("aria-rowcount", "9")


def test_keys_change_the_axis(tree: Locator) -> None:
    """Its place in the run, and how much of it is shown."""
    last = tree.locator(".ticks span").last
    expect(last).to_have_text("75 ms")
    press(tree, "Home Run\n+ Run\n+ Run")
    expect(last).to_have_text("18.8 ms")
    press(tree, "- Run")
    expect(last).to_have_text("37.5 ms")
    press(tree, "- Run\nz Run")
    expect(tree.page.get_by_label("Axis")).to_have_value("rows")


def test_keys_leave_the_tree(tab: Tab, tree: Locator, run: str) -> None:
    """To the panel, to the search, to the runs beside this one; and the link of a step."""
    page = tree.page
    press(tree, "E charge\nEnter charge")
    expect(page.locator("#panel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(tree).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Find")).to_be_focused()
    page.keyboard.press("Escape")
    expect(tree).to_be_focused()
    page.keyboard.press("c")
    expect(page.locator(".said")).to_have_text("link copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    for key, back, beside in (("]", "[", "older"), ("[", "]", "newer")):
        address = page.locator(f"#{beside}").get_attribute("href")
        page.keyboard.press(key)
        page.wait_for_url(f"{tab.url}{address}")
        page.keyboard.press(back)
        page.wait_for_url(f"**/runs/{run}")


def test_keys_of_every_page(tab: Tab, desk: Desk) -> None:
    """Pages, theme, zone and filter; not while somebody writes, and not when they are off."""
    begun(desk.api)
    page = tab.open("/runs?from=all")
    page.keyboard.press("/")
    expect(page.get_by_label("Agent")).to_be_focused()
    page.keyboard.press("t")
    expect(page.get_by_label("Agent")).to_have_value("t")
    page.evaluate("document.activeElement.blur()")
    for theme in ("dark", "light"):
        page.keyboard.press("t")
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
    for zone in ("UTC", "Europe/Berlin"):
        press_u(page, zone)
    for key, path in PAGES.items():
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"{tab.url}{path}")
    page.keyboard.press("?")
    page.wait_for_url("**/help")
    page.get_by_label("Keyboard shortcuts are on in this browser").uncheck()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def press_u(page: Page, zone: str) -> None:
    """Change the zone, which loads the page again."""
    page.keyboard.press("u")
    expect(page.locator("#zone")).to_have_text(zone)
