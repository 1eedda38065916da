"""Every screen in both themes and at three widths: accessible, quiet, not too wide; pictured."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from playwright.sync_api import Browser

from tests.browsing import Desk, Tab, opened_tab
from tests.page_data import REJECTED, SCREENS, Screen, places_of


@pytest.fixture(scope="module")
def places(module_desk: Desk) -> dict[str, str]:
    """Fill a collector; return the ids of what it has."""
    return places_of(module_desk.world, module_desk.api)


@pytest.fixture(scope="module")
def look(browser: Browser, module_desk: Desk) -> Generator[Tab]:
    """Open one tab for all screens."""
    with opened_tab(browser, module_desk) as opened:
        yield opened


@pytest.mark.parametrize("screen", [*SCREENS, *REJECTED], ids=lambda screen: screen.name)
def test_every_screen_is_accessible(look: Tab, places: dict[str, str], screen: Screen) -> None:
    """Nothing scrolls sideways, and nothing is written to the console."""
    answer = look.page.goto(look.url + screen.address.format_map(places))
    assert answer is not None
    assert answer.status == screen.status
    if screen.status != 200:
        look.expect(str(screen.status))
    assert look.check(screen.name) == []
    assert look.complaints == []
