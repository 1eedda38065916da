"""The page of `remit serve` in a browser, over the runs of `desk`, compared with four peers.

Chromium without a window, 1440 by 900; a cold visit is one of a new profile that is signed in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any, Final

import httpx
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    StorageState,
    sync_playwright,
)

from benchmarks import children
from benchmarks.collector import SERVE
from benchmarks.desk import CASES, QUESTIONS, ROOT_CAUSE
from remit.collector import create_token, open_store

CHROMIUM: Final = ("chromium-headless-shell", "chromium")
STEPS: Final = 5
"""Steps that are chosen one after the other."""
GROUP: Final = "\N{MULTIPLICATION SIGN}"
PAINT: Final = """() => performance.getEntriesByName('first-contentful-paint')[0].startTime"""
SIZE: Final = """() => ["navigation", "resource"]
  .flatMap((kind) => performance.getEntriesByType(kind))
  .reduce((sum, entry) => sum + entry.transferSize, 0) / 1024"""
ROWS: Final = """() => performance.getEntriesByName('first-rows')[0].startTime"""
NODES: Final = "() => document.querySelectorAll('*').length"
CHOOSING: Final = """async (number) => {
  const frame = () => new Promise(requestAnimationFrame);
  const panel = document.getElementById("panel");
  const rows = [...document.querySelectorAll("#tree .row a[href]")];
  const began = performance.now();
  const before = panel.dataset.span;
  rows[number].click();
  while (panel.dataset.span === before) await frame();
  await frame();
  return performance.now() - began;
}"""
VIEWING: Final = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const axis = [...document.querySelectorAll(".tools select")].at(-1);
  const began = performance.now();
  axis.value = axis.value === "run" ? "rows" : "run";
  axis.dispatchEvent(new Event("change", { bubbles: true }));
  await frame();
  await frame();
  return performance.now() - began;
}"""
SCROLLING: Final = """async () => {
  const tree = document.getElementById("tree");
  const began = performance.now();
  for (let number = 0; number < 120; number++) {
    tree.scrollTop += 120;
    await new Promise(requestAnimationFrame);
  }
  return 120 / ((performance.now() - began) / 1000);
}"""


@contextmanager
def recorded() -> Generator[tuple[str, str, dict[str, str]]]:
    """Record the desk; yield the URL of its collector, a token, and the pages by their case."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "remit.db"
        opened = open_store(database)
        recording = create_token(opened, "agent_deployment").secret
        reading = create_token(opened, "account").secret
        opened.close()
        environ = children.environment() | {"REMIT_DATA_DIR": folder}
        serve = [sys.executable, "-c", SERVE, str(database)]
        with children.started(serve, environ, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            program = [sys.executable, "-m", "benchmarks.desk", url, recording]
            done = children.run(program, environ, children.PATIENCE_S)
            if done.returncode:
                raise children.ChildError((done.stderr.strip().splitlines() or ["no line"])[-1])
            yield url, reading, pages_of(url, reading)


def pages_of(url: str, token: str) -> dict[str, str]:
    """Return the paths of the recorded runs by their case; of the talk, its last answer."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{url}/api/remit/v1", headers=headers) as http:

        def listed(what: str, **query: str) -> list[dict[str, Any]]:
            answer = http.get(f"/{what}", params=query).raise_for_status().json()
            return list(answer[what])

        runs = {case: listed("runs", label=f"case={case}")[0]["id"] for case in CASES}
        steps = listed("spans", run_id=runs["talk"], limit="1000")
    streamed = next(step["id"] for step in steps if step["schema_name"].endswith("write"))
    pages = {case: f"/runs/{run}" for case, run in runs.items()}
    return pages | {"talk": f"{pages['talk']}?span={streamed}"}


class Visitor:
    """Somebody who is signed in, with a new profile for each visit."""

    def __init__(self, browser: Browser, url: str, token: str) -> None:
        """Sign in."""
        self._browser = browser
        self.url = url
        context = self._context()
        page = context.new_page()
        page.goto(f"{url}/sign-in")
        page.fill("#secret", token)
        page.click("button.main")
        page.wait_for_url("**/runs")
        self._state = context.storage_state()
        context.close()

    def _context(self, state: StorageState | None = None) -> BrowserContext:
        return self._browser.new_context(
            viewport={"width": 1440, "height": 900}, storage_state=state
        )

    @contextmanager
    def visit(self, path: str, figures: dict[str, float], until: str = "") -> Generator[Page]:
        """Open a page cold, and note its size, its first paint, and when a text was seen."""
        context = self._context(self._state)
        page = context.new_page()
        began_s = time.perf_counter()
        page.goto(self.url + path)
        if until:
            page.get_by_text(until).first.wait_for()
        figures["seen_s"] = time.perf_counter() - began_s
        page.wait_for_load_state("networkidle")
        figures["kb"] = page.evaluate(SIZE)
        figures["paint_ms"] = page.evaluate(PAINT)
        figures["nodes"] = page.evaluate(NODES)
        try:
            yield page
        finally:
            context.close()


@contextmanager
def chromium(*arguments: str) -> Generator[Browser]:
    """Start the browser for the block.

    Raises:
        ChildError: There is no browser, or the page did not answer.
    """
    path = next((known for name in CHROMIUM if (known := which(name))), None)
    if path is None:
        raise children.ChildError(f"no browser is installed ({CHROMIUM[0]})")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", *arguments]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        except Error as error:
            raise children.ChildError(str(error).splitlines()[0]) from error
        finally:
            browser.close()


def measure() -> dict[str, dict[str, float]]:
    """Return what was measured, by the part of the desk.

    Raises:
        ChildError: There is no browser, or the page did not answer.
    """
    measured: dict[str, dict[str, float]] = {name: {} for name in ("list", *CASES)}
    with chromium() as browser, recorded() as (url, token, pages):
        visitor = Visitor(browser, url, token)
        # The server prepares templates and statements when they are first used.
        for path in pages.values():
            with visitor.visit(path, {}, "Took"):
                pass
        with visitor.visit("/runs", measured["list"], "PaymentError"):
            pass
        with visitor.visit(pages["failed"], measured["failed"], ROOT_CAUSE):
            pass
        with visitor.visit(pages["talk"], measured["talk"], "word 0"):
            pass
        with visitor.visit(pages["night"], measured["night"], f"{GROUP} {QUESTIONS}") as page:
            night = measured["night"]
            night["rows_ms"] = page.evaluate(ROWS)
            page.locator("#tree .row[aria-expanded=false] .fold").first.click()
            times = sorted(page.evaluate(CHOOSING, number) for number in range(1, STEPS + 1))
            night["choosing_ms"] = times[STEPS // 2]
            night["viewing_ms"] = page.evaluate(VIEWING)
            night["frames"] = page.evaluate(SCROLLING)
    return measured


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
