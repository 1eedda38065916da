"""Draw the pictures of the page in `docs/pictures`: `python -m tools.pictures`, in the root.

A database is filled with runs of several agents, served, and opened in Debian's
`chromium-headless-shell`, or in the Chromium that `REMIT_CHROMIUM` names.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, NamedTuple

from playwright.sync_api import Browser, sync_playwright

from remit.collector import open_store
from tests import run_pages, waterfalls
from tests.browsing import ZONE, Desk, serving_page, sign_in
from tests.busy_day import busy_day
from tests.conversing import complete_and_failed, conversation
from tests.declared_agents import filled

FOLDER: Final = Path(__file__).parent.parent / "docs" / "pictures"
SIZE: Final = (1280, 640)
SCALE: Final = 0.75
"""Pixels of a picture to those of the page."""
MOST_BYTES: Final = 80_000
_THEMES: Final[tuple[Literal["light"], Literal["dark"]]] = ("light", "dark")
_CHROMIUM: Final = ("chromium-headless-shell", "chromium")


class Screen(NamedTuple):
    """A screen of the page.

    Attributes:
        name: Name of the picture.
        address: Where the screen is.
        waits_for: A mark of the browser's clock that the screen sets when it is complete.
    """

    name: str
    address: str
    waits_for: str = ""


def seeded_day(desk: Desk) -> list[Screen]:
    """Fill a collector with a day of several agents; return its screens."""
    busy_day(desk.world.store)
    return [Screen("runs", "/runs")]


def seeded_declarations(desk: Desk) -> list[Screen]:
    """Fill a collector with agents that declared something; return their screens."""
    made = filled(desk.world.store)
    careful = made.agents["Careful desk"]
    return [Screen("agent", f"/agents/{careful}"), Screen("map", "/map?show=leaves")]


def seeded_runs(desk: Desk) -> list[Screen]:
    """Fill a collector with a few runs that show something; return their screens."""
    api = desk.api
    failed, denied = run_pages.failed(api), run_pages.denied(api)
    long = waterfalls.begun(api)
    steps = waterfalls.night()
    waterfalls.record(api, long, steps)
    waterfalls.ended(api, long, steps[0].took_ms or 0)
    talk, calls = conversation(api)
    well, worse = complete_and_failed(api)
    return [
        Screen("failed", f"/runs/{failed}"),
        Screen("waterfall", f"/runs/{long}", waits_for="all-rows"),
        Screen("reading", f"/runs/{talk}/spans/{calls[-1]}/read#m2"),
        Screen("compare", f"/runs/compare?a={well}&b={worse}"),
        Screen("denied", f"/runs/{denied}"),
    ]


def pictures_of(
    browser: Browser, desk: Desk, folder: Path, screens: Iterable[Screen]
) -> list[Screen]:
    """Write pictures of each screen, `NAME.png` and `NAME-dark.png`; return the missing screens.

    Args:
        browser: The browser.
        desk: The collector.
        folder: Where to.
        screens: The screens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing: list[Screen] = []
    for theme in _THEMES:
        context = browser.new_context(
            locale="en-GB",
            timezone_id=ZONE,
            viewport={"width": SIZE[0], "height": SIZE[1]},
            device_scale_factor=SCALE,
            color_scheme=theme,
            reduced_motion="reduce",
        )
        page = context.new_page()
        sign_in(context, desk, zone=ZONE)
        for screen in screens:
            answer = page.goto(desk.url + screen.address)
            if answer is None or not answer.ok:
                missing.append(screen)
                continue
            if screen.waits_for:
                page.wait_for_function(
                    "mark => performance.getEntriesByName(mark).length > 0", arg=screen.waits_for
                )
            page.evaluate("document.fonts.ready")
            name = screen.name if theme == "light" else f"{screen.name}-dark"
            page.screenshot(path=folder / f"{name}.png", animations="disabled")
        context.close()
    return missing


def main() -> int:
    """Draw all pictures; return how many screens there are not, or are too large."""
    names = [os.environ.get("REMIT_CHROMIUM", ""), *_CHROMIUM]
    path = next((program for name in names if name and (program := shutil.which(name))), None)
    if path is None:
        sys.exit(f"no browser: install {_CHROMIUM[0]}, or name one in REMIT_CHROMIUM")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        missing: list[Screen] = []
        for number, seeded in enumerate((seeded_day, seeded_runs, seeded_declarations)):
            store = open_store(Path(scratch) / f"{number}.db")
            with serving_page(store) as desk:
                missing += pictures_of(browser, desk, FOLDER, seeded(desk))
            store.close()
        browser.close()
    for screen in missing:
        sys.stdout.write(f"there is no screen {screen.name} at {screen.address}\n")
    sizes = {picture: picture.stat().st_size for picture in sorted(FOLDER.glob("*.png"))}
    large = {picture: size for picture, size in sizes.items() if size > MOST_BYTES}
    for picture, size in sizes.items():
        sys.stdout.write(
            f"{picture.name} {size:,} bytes{' is too large' if picture in large else ''}\n"
        )
    return len(missing) + len(large)


if __name__ == "__main__":
    sys.exit(main())
