"""A browser, and a collector whose page it opens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from remit.collector import open_store
from tests.browsing import TIMEOUT_MS, Desk, Tab, opened_tab, serving_page

CHROMIUM = ("chromium-headless-shell", "chromium")


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    """Start the browser that `REMIT_CHROMIUM` names, else Debian's."""
    names = [os.environ.get("REMIT_CHROMIUM", ""), *CHROMIUM]
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: install {CHROMIUM[0]}")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        # The sandbox refuses root, as whom CI runs.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        arguments.append("--host-resolver-rules=MAP collector 127.0.0.1")
        started = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield started
        finally:
            started.close()


@pytest.fixture
def desk(tmp_path: Path) -> Generator[Desk]:
    """Serve an empty collector with its page."""
    store = open_store(tmp_path / "remit.db")
    with serving_page(store) as served:
        yield served
    store.close()


@pytest.fixture(scope="module")
def module_desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    """Serve a collector for a module whose tests do not disturb each other."""
    store = open_store(tmp_path_factory.mktemp("desk") / "remit.db")
    with serving_page(store) as served:
        yield served
    store.close()


@pytest.fixture
def tab(browser: Browser, desk: Desk) -> Generator[Tab]:
    """Open a tab of a person in Berlin, signed in; a complaint of a page fails the test."""
    with opened_tab(browser, desk) as opened:
        yield opened
