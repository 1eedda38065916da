"""A run of 50,000 steps: what is first seen, a step from its address, and how it scrolls."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import pytest
from playwright.sync_api import Browser, expect

from remit.collector import open_store
from tests.browsing import Desk, Tab, opened_tab, serving_page
from tests.long_runs import STEPS, long_run
from tests.waterfalls import id_of

BROKEN: Final = "() => document.querySelector('.said')?.textContent.includes('load the page again')"
ENDED: Final = f"() => performance.getEntriesByName('all-rows').length > 0 || ({BROKEN})()"
TRIES: Final = 3
"""A machine that is busy with other tests can be too slow for the limit of one question."""
SCROLL: Final = """() => new Promise((done) => {
  const tree = document.getElementById("tree");
  tree.scrollTop = 0;
  let frames = 0;
  const step = () => {
    tree.scrollTop += 240;
    if (++frames < 60) requestAnimationFrame(step);
    else done(tree.scrollTop);
  };
  requestAnimationFrame(step);
})"""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Desk, str]]:
    """Serve a run of 50,000 steps."""
    path = tmp_path_factory.mktemp("big") / "remit.db"
    store = open_store(path)
    with serving_page(store) as served:
        yield served, long_run(served.api, path)
    store.close()


def has_rows(tab: Tab, path: str) -> bool:
    """Open a run; return whether all rows came."""
    page = tab.open(path)
    page.wait_for_function(ENDED)
    broken = bool(page.evaluate(BROKEN))
    if broken:
        tab.complaints.clear()
    return not broken


def test_a_step_of_a_very_long_run_opens_from_its_address(
    browser: Browser, big: tuple[Desk, str]
) -> None:
    """On a cold load: all rows, the step chosen and in view, few elements, and it scrolls."""
    desk, run = big
    number = STEPS - 700
    with opened_tab(browser, desk) as tab:
        path = f"/runs/{run}?span={id_of(run, number)}"
        assert any(has_rows(tab, path) for _ in range(TRIES))
        page = tab.page
        tree = page.locator("#tree")
        chosen = tree.locator("[aria-selected=true]")
        expect(chosen).to_be_in_viewport()
        expect(chosen.get_by_role("link")).to_have_attribute("href", path)
        expect(page.locator("#panel")).to_contain_text(f"number {number % 500 or 500}")
        expect(page.locator("main")).to_contain_text("50,001")
        assert page.locator("#tree *").count() < 1000
        assert page.evaluate(SCROLL) > 10_000
