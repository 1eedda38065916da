"""A page in a real browser: a collector that serves it, a tab, and what a tab must not meet."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from remit.collector import Store, create_token
from tests.asking import ADA
from tests.collecting import Api, World, on_a_port
from tests.inside import httpx
from tests.inside_collector import AccessLog, create_app, create_code
from tests.signing_in import SAME_SITE, cookie_of

AXE: Final = Path(__file__).parent / "data" / "axe" / "axe.min.js"
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS: Final = ("color-contrast", "link-in-text-block")
"""The rules of axe that depend on the theme."""
COLOUR_RULES: Final = {"type": "rule", "values": COLOURS}
LAYOUT_RULES: Final = {
    "type": "rule",
    "values": (*COLOURS, "target-size", "scrollable-region-focusable", "heading-order"),
}
"""The rules that depend on the layout: they suffice between the widest and the narrowest page."""
ZONE: Final = "Europe/Berlin"
SIZES: Final = {"wide": (1440, 900), "phone": (390, 844), "narrow": (320, 640)}
TIMEOUT_MS: Final = 60_000
PICTURES: Final = Path(__file__).parent / "browser" / "pictures"
PICTURED: Final = ("wide", "narrow")
"""The sizes of which pictures are kept."""
MOST_PX: Final = 3000
"""Height of a picture."""
DRAWN: Final = """() => document.fonts.status === "loaded" && (
  !document.querySelector("#tree[data-run] .row:not(.axis)") ||
  performance.getEntriesByName("all-rows").length > 0)"""
"""Whether the fonts of a page, and the steps of a run, are there."""


class Cookie(NamedTuple):
    """The cookie of a session."""

    name: str
    value: str


@dataclass
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
    _cookie: Cookie | None = None

    def cookie(self) -> Cookie:
        """Return the cookie of a session, which begins when it is first needed."""
        if self._cookie is None:
            form = {"secret": self.token}
            answer = httpx.post(f"{self.url}/sign-in", data=form, headers=SAME_SITE, timeout=60)
            name, _, value = cookie_of(answer)
            assert name, answer.text
            self._cookie = Cookie(name, value)
        return self._cookie

    def http(self) -> httpx.Client:
        """Return a client with that session, without a browser."""
        name, value = self.cookie()
        return httpx.Client(base_url=self.url, headers={"Cookie": f"{name}={value}"}, timeout=60)

    def code(self) -> str:
        """Return a code that signs in once."""
        return create_code(self.world.store)


@contextmanager
def serving_page(store: Store, access_log: AccessLog | None = None) -> Generator[Desk]:
    """Serve a collector over *store* with its page, on a free port."""
    world = World(store)
    world.app = create_app(store, clock=world.clock, access_log=access_log, page_hosts=())
    may = "approve,write"
    token = create_token(store, "account", may=may, name=ADA, clock=world.clock).secret
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
        """Note whatever the page complains of, and any page that it opens."""
        context = self.page.context
        context.on("console", self._console)
        context.on("weberror", lambda fault: self.complaints.append(f"error: {fault.error}"))
        context.on("request", self._request)

    def expect(self, *texts: str) -> None:
        """Take back complaints that a test expects, each by a text that it has."""
        for text in texts:
            assert any(text in each for each in self.complaints), (text, self.complaints)
            self.complaints[:] = [each for each in self.complaints if text not in each]

    def axe(self, *themes: str) -> list[str]:
        """Return what axe finds wrong with the page that is open.

        Args:
            *themes: Themes in which the colours are checked, too.
        """
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        wrong = self._axe({"type": "tag", "values": TAGS})
        for theme in themes:
            self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            wrong += self._axe(COLOUR_RULES)
        return wrong

    def _axe(self, rules: Mapping[str, object]) -> list[str]:
        options = {"resultTypes": ["violations"], "preload": False, "runOnly": rules}
        answer = self.page.evaluate("options => axe.run(document, options)", options)
        found = cast("dict[str, list[dict[str, Any]]]", answer)["violations"]
        return [
            f"{each['id']}: {node['html'][:160]} {node['failureSummary']}"
            for each in found
            for node in each["nodes"]
        ]

    def check(self, name: str) -> list[str]:
        """Write pictures of the page that is open; return what is wrong with it at any size.

        Args:
            name: Name of the screen.
        """
        self.page.wait_for_function(DRAWN)
        wrong: list[str] = []
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            if size in PICTURED:
                self.page.emulate_media(color_scheme="light")
                wrong += [f"{size}: {problem}" for problem in self.axe()]
                self._picture(name, size, "light")
            self.page.emulate_media(color_scheme="dark")
            rules = COLOUR_RULES if size in PICTURED else LAYOUT_RULES
            wrong += [f"{size}, dark: {problem}" for problem in self._axe(rules)]
            if size in PICTURED:
                self._picture(name, size, "dark")
            if self.needed_width() > width:
                wrong.append(f"{size}: needs {self.needed_width()} px")
        return wrong

    def _picture(self, name: str, size: str, theme: str) -> None:
        width = SIZES[size][0]
        height = int(self.page.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, MOST_PX), "scale": 1}
        protocol = self.page.context.new_cdp_session(self.page)
        # Compressing well takes longer than drawing.
        taken = protocol.send(
            "Page.captureScreenshot",
            {"optimizeForSpeed": True, "captureBeyondViewport": True, "clip": clip},
        )
        protocol.detach()
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / f"{name}-{theme}-{width}.png").write_bytes(b64decode(taken["data"]))

    def needed_width(self) -> int:
        """Return the width in pixels that the page needs."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))

    def _console(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):
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
    context.set_default_timeout(TIMEOUT_MS)
    tab = Tab(context.new_page(), desk.url)
    tab.watch()
    if signed_in:
        sign_in(context, desk, zone=ZONE if script else None)
    try:
        yield tab
    finally:
        context.close()
    assert tab.complaints == [], tab.complaints


def has_rows(page: Page) -> None:
    """Wait until the page of a run has all its rows."""
    page.wait_for_function("() => performance.getEntriesByName('all-rows').length > 0")


def sign_in(context: BrowserContext, desk: Desk, *, zone: str | None) -> None:
    """Give a context the session of *desk*, and the zone that a first page would note."""
    name, value = desk.cookie()
    context.add_cookies(
        [
            {
                "name": name,
                "value": value,
                "url": desk.url,
                "httpOnly": True,
                "sameSite": "Lax",
            }
        ]
    )
    if zone is not None:
        context.add_cookies([{"name": "remit_zone", "value": zone, "url": desk.url}])
