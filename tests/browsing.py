"""A page in a real browser: a collector that serves it, a tab, and what a tab must not meet."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from remit.collector import Store, create_token
from tests.collecting import Api, World, on_a_port
from tests.inside_collector import PageOptions, create_app, create_code

AXE: Final = Path(__file__).parent / "data" / "axe" / "axe.min.js"
ZONE: Final = "Europe/Berlin"
SIZES: Final = {"wide": (1440, 900), "phone": (390, 844), "narrow": (320, 640)}
THEMES: Final = ("light", "dark")


@dataclass(frozen=True)
class Desk:
    """A collector that serves its page.

    Attributes:
        url: Where.
        world: The collector.
        api: Its account, with an agent.
        token: A token of the account.
    """

    url: str
    world: World
    api: Api
    token: str

    def code(self) -> str:
        """Return a code that signs in once."""
        return create_code(self.world.store)


@contextmanager
def serving_page(store: Store) -> Generator[Desk]:
    """Serve a collector over *store* with its page, on a free port."""
    world = World(store)
    world.app = create_app(store, clock=world.clock, page=PageOptions())
    token = create_token(store, "account", clock=world.clock).secret
    with on_a_port(world.app) as url:
        yield Desk(url, world, world.account(), token)


@dataclass
class Tab:
    """A tab of a browser, and what it complained of.

    Attributes:
        page: Playwright's page.
        url: Where the collector is.
        complaints: Lines of the console, errors, and requests to other hosts.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list[str])

    def open(self, path: str) -> Page:
        """Open a page of the collector."""
        self.page.goto(self.url + path)
        return self.page

    def watch(self) -> None:
        """Note whatever the page complains of."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._request)

    def expect(self, *texts: str) -> None:
        """Take back complaints that a test expects, each by a text that it has."""
        for text in texts:
            assert any(text in each for each in self.complaints), (text, self.complaints)
            self.complaints[:] = [each for each in self.complaints if text not in each]

    def axe(self) -> list[str]:
        """Return what axe finds wrong with the page that is open."""
        self.page.evaluate(AXE.read_text())
        options = {
            "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        }
        answer = self.page.evaluate("options => axe.run(document, options)", options)
        found = cast("dict[str, list[dict[str, Any]]]", answer)["violations"]
        return [
            f"{each['id']}: {node['html'][:160]} {node['failureSummary']}"
            for each in found
            for node in each["nodes"]
        ]

    def needed_width(self) -> int:
        """Return the width in pixels that the page needs."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))

    def _console(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.complaints.append(f"request: {request.url}")


def context_of(
    browser: Browser, *, size: str = "wide", theme: str = "light", script: bool = True
) -> BrowserContext:
    """Return a context of a person in Berlin."""
    width, height = SIZES[size]
    return browser.new_context(
        locale="en-GB",
        timezone_id=ZONE,
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
    )


@contextmanager
def opened_tab(
    browser: Browser,
    desk: Desk,
    *,
    size: str = "wide",
    theme: str = "light",
    script: bool = True,
    signed_in: bool = True,
) -> Generator[Tab]:
    """Open a tab; at the end it must not have complained of anything."""
    context = context_of(browser, size=size, theme=theme, script=script)
    tab = Tab(context.new_page(), desk.url)
    tab.watch()
    if signed_in:
        sign_in(tab.page, desk)
    try:
        yield tab
    finally:
        context.close()
    assert tab.complaints == []


def sign_in(page: Page, desk: Desk) -> None:
    """Sign in with a token."""
    page.goto(f"{desk.url}/sign-in")
    page.get_by_label("Token or one-time code").fill(desk.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/runs")
