"""Every screen in both themes and at three widths: accessible, quiet, and not too wide."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browsing import SCREENS, SIZES, THEMES, Desk, opened_tab


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_every_screen_is_accessible(
    browser: Browser, shown: Desk, places: dict[str, str], size: str, theme: str
) -> None:
    """Nothing scrolls sideways; lines of the console and requests elsewhere fail the tab."""
    wrong: list[str] = []
    with opened_tab(browser, shown, size=size, theme=theme) as tab:
        for screen in SCREENS:
            tab.open(screen.format_map(places))
            wrong += [f"{screen}: {each}" for each in (*tab.axe(), *tab.complaints)]
            if tab.needed_width() > SIZES[size][0]:
                wrong.append(f"{screen}: needs {tab.needed_width()} px")
    assert wrong == []
