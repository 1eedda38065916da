"""Every screen in both themes and at three widths: accessible, quiet, and not too wide."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browsing import SIZES, Desk, opened_tab
from tests.page_data import SCREENS

DRAWN = """() => !document.querySelector("script[src$='/run.js']")
  || performance.getEntriesByName("all-rows").length > 0"""


@pytest.mark.parametrize("size", SIZES)
def test_every_screen_is_accessible(
    browser: Browser, shown: Desk, places: dict[str, str], size: str
) -> None:
    """Nothing scrolls sideways; lines of the console and requests elsewhere fail the tab."""
    wrong: list[str] = []
    with opened_tab(browser, shown, size=size) as tab:
        for screen in SCREENS:
            tab.page.emulate_media(color_scheme="light")
            tab.open(screen.format_map(places))
            # What counts is the page that stays, when its scripts have drawn.
            tab.page.wait_for_function(DRAWN)
            problems = tab.axe("dark")
            wrong += [f"{screen}: {each}" for each in (*problems, *tab.complaints)]
            if tab.needed_width() > SIZES[size][0]:
                wrong.append(f"{screen}: needs {tab.needed_width()} px")
    assert wrong == []
