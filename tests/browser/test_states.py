"""States of the page that come about while it is open, and its doors: accessible, pictured."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import Browser, expect

from remit.collector import Store, open_store
from tests import run_pages
from tests.asking import ASKS, Asking
from tests.browsing import Desk, Tab, opened_tab, serving_page
from tests.inside_collector import StoreUnavailableError, Transaction

OTHER_HOST = "http://collector"
"""The name of this machine that the browser takes for that of another one."""


class LostStore:
    """A store whose database can be lost.

    Attributes:
        is_lost: Whether it is.
    """

    def __init__(self, store: Store) -> None:
        """Read from *store*."""
        self._store = store
        self.is_lost = False

    def __getattr__(self, name: str) -> Any:
        """Return a part of the store."""
        return getattr(self._store, name)

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """Return a block that reads."""
        if self.is_lost:
            raise StoreUnavailableError("gone")
        with self._store.reading() as tx:
            yield tx


def test_runs_arrive(desk: Desk, tab: Tab) -> None:
    """In a list that was empty, then in one that a reader looks at."""
    page = tab.page
    page.clock.install()
    tab.open("/runs")
    assert tab.check("runs-empty") == []
    desk.api.instance()
    page.clock.run_for(5_100)
    expect(page.locator("tr[data-run]")).to_have_count(1)
    for _ in range(12):
        desk.api.instance()
    page.clock.run_for(5_100)
    expect(page.get_by_role("link", name="12 new runs: show")).to_be_visible()
    assert tab.check("runs-new") == []


def test_nothing_waits(desk: Desk, tab: Tab) -> None:
    """The page says what was answered last, and what would wait here."""
    asking = Asking(desk.world)
    asking.answer(asking.ask())
    asking.answer(asking.ask(), "refused", "not without the receipt")
    asking.ask(time_limit_s=0.001)
    withdrawn = asking.ask()
    asking.program.post(f"{ASKS}/{withdrawn}/withdraw").raise_for_status()
    tab.open("/waiting")
    assert tab.check("waiting-none") == []


def test_a_run_is_about_to_be_terminated(desk: Desk, tab: Tab) -> None:
    """In the dialog above the run."""
    page = tab.open(f"/runs/{run_pages.running(desk.api)}")
    page.get_by_role("link", name="Terminate").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert tab.check("terminate-dialog") == []


def test_doors_stay_closed(browser: Browser, desk: Desk) -> None:
    """To a wrong token, and without TLS to a browser of another machine."""
    with opened_tab(browser, desk, signed_in=False) as tab:
        page = tab.open("/sign-in")
        page.get_by_label("Token or one-time code").fill("remit_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("Not valid.")
        assert tab.check("sign-in-wrong") == []
        tab.expect("401")
        page.goto(f"{OTHER_HOST}:{desk.url.rpartition(':')[2]}/sign-in")
        expect(page.locator(".lead")).to_contain_text("Not over plain HTTP.")
        assert tab.check("sign-in-http") == []
        tab.expect(f"request: {OTHER_HOST}", "Cross-Origin-Opener-Policy")


def test_a_database_does_not_answer(browser: Browser, tmp_path: Path) -> None:
    """The page says so, and that nothing is lost."""
    store = open_store(tmp_path / "remit.db")
    lost = LostStore(store)
    with serving_page(cast("Store", lost)) as desk, opened_tab(browser, desk) as tab:
        lost.is_lost = True
        page = tab.open("/runs")
        expect(page.get_by_role("heading", level=1)).to_have_text("The database does not respond")
        assert tab.check("503") == []
        tab.expect("503")
    store.close()
