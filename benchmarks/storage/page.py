"""The budgets of the page, against a running `remit serve`, in a browser.

The database behind it was filled by `load`; runs of 500, 10,000 and 50,000 steps are recorded where
they are missing. Each figure is the median of several cold loads, but for the time of the server.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import httpx
from playwright.sync_api import Browser

from benchmarks import children
from benchmarks.page import NODES, ROWS, SCROLLING, Visitor
from benchmarks.storage.beside import DAY_US, Target, cookie
from benchmarks.storage.long_runs import long_run
from benchmarks.storage.synthetic import UNTIL_MS
from remit.collector.times import format_us

OPTION: Final = "--enable-precise-memory-info"
"""Option of the browser."""
LOADS: Final = 5
REQUESTS: Final = 9
LENGTHS: Final = (500, 10_000, 50_000)
FIELDS: Final = {
    "kb": "KB cold",
    "plain_kb": "KB without fonts",
    "server_ms": "server ms",
    "paint_ms": "first paint ms",
    "rows_ms": "first rows ms",
    "all_ms": "all rows ms",
    "frames": "frames/s",
    "nodes": "DOM nodes",
    "heap_mb": "JS heap MB",
    "shift": "layout shift",
}
"""What is measured, and its head in the table."""
TOLERANCE: Final = 0.2
"""Part of a budget by which a figure may miss it: the machine has other work."""
FONTS: Final = """() => performance.getEntriesByType("resource")
  .filter(({ name }) => name.endsWith(".woff2"))
  .reduce((sum, entry) => sum + entry.transferSize, 0) / 1024"""
SHIFT: Final = """() => {
  const observer = new PerformanceObserver(() => {});
  observer.observe({ type: "layout-shift", buffered: true });
  return observer.takeRecords().reduce((sum, entry) => sum + entry.value, 0);
}"""
ARE_ALL: Final = "() => performance.getEntriesByName('all-rows').length > 0"
ALL: Final = "() => performance.getEntriesByName('all-rows').at(-1).startTime"
HEAP: Final = "() => performance.memory.usedJSHeapSize / 1e6"
UNFOLDING: Final = """() => {
  const tree = document.getElementById("tree");
  const key = { key: "ArrowRight", shiftKey: true, bubbles: true, cancelable: true };
  let before;
  do {
    before = tree.ariaRowCount;
    tree.dispatchEvent(new KeyboardEvent("keydown", key));
  } while (tree.ariaRowCount !== before);
  return Number(before) - 1;
}"""
"""Opens one level after the other; the row of the heads is counted, too."""


class Address(NamedTuple):
    """A page: its path, and the steps of its tree; none without a tree."""

    path: str
    steps: int = 0


class Budget(NamedTuple):
    """What a figure of a page may be: at most *limit*, or at least that much."""

    page: str
    field: str
    limit: float
    is_least: bool = False

    def is_met(self, value: float) -> bool:
        """Return whether a value misses the limit by no more than a fifth."""
        if self.is_least:
            return value >= self.limit * (1 - TOLERANCE)
        return value <= self.limit * (1 + TOLERANCE)


RUNS: Final = "runs, 24 h"
MONTH: Final = "runs, 30 d"
MATRIX: Final = "matrix"
MAP: Final = "data map"


def run_of(steps: int) -> str:
    """Return the name of the page of a run."""
    return f"run of {steps:,} steps"


BUDGETS: Final = (
    Budget(RUNS, "plain_kb", 25),
    Budget(RUNS, "paint_ms", 300),
    Budget(MONTH, "paint_ms", 300),
    Budget(run_of(500), "plain_kb", 25),
    Budget(run_of(500), "paint_ms", 300),
    Budget(run_of(10_000), "rows_ms", 400),
    Budget(run_of(50_000), "rows_ms", 500),
    Budget(run_of(50_000), "all_ms", 1000),
    Budget(run_of(50_000), "frames", 55, is_least=True),
    Budget(run_of(50_000), "heap_mb", 250),
    Budget(MATRIX, "server_ms", 60),
)


def addresses(http: httpx.Client, lengths: Sequence[int]) -> dict[str, Address]:
    """Return the pages by their names; record the runs that are missing."""
    agents = http.get("/api/v1/agent").raise_for_status().json()["summaries"]
    environments = http.get("/api/v1/environment").raise_for_status().json()["summaries"]
    agents = sorted(agents, key=lambda summary: str(summary["name"]))
    # What this and `beside` record belongs to the first one, whose newest version declares nothing.
    place = {"agent_id": agents[0]["id"], "environment_id": environments[0]["id"]}
    until_us = UNTIL_MS * 1000

    def listed(days: int) -> Address:
        begin, end = (format_us(at_us) for at_us in (until_us - days * DAY_US, until_us))
        return Address(f"/runs?from={begin}&to={end}")

    # These end now: the shortest time that has a day of what was loaded.
    age_us = time.time_ns() // 1000 - until_us
    period = next((days for days in (1, 7) if age_us <= (days - 1) * DAY_US), 30)
    words = f"from={'24h' if period == 1 else f'{period}d'}"
    return {
        RUNS: listed(1),
        MONTH: listed(30),
        **{run_of(n): Address(f"/runs/{long_run(http, place, n)}", n) for n in lengths},
        MATRIX: Address(f"/agents/{agents[-1]['id']}?{words}"),
        MAP: Address(f"/map?{words}"),
    }


def server_ms(target: Target, session: str, path: str) -> float:
    """Return how long the server takes for a page, the median of some requests after a first one.

    Raises:
        ChildError: The page is rejected.
    """
    headers = {"Cookie": session, "Accept-Encoding": "gzip"}
    connection = target.connect()
    times_s: list[float] = []
    for _ in range(1 + REQUESTS):
        began_s = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        times_s.append(time.perf_counter() - began_s)
        if answer.status != 200:
            raise children.ChildError(f"{path} is answered with {answer.status}")
    connection.close()
    return statistics.median(times_s[1:]) * 1e3


def visited(visitor: Visitor, address: Address) -> dict[str, float]:
    """Return what is measured of one cold load.

    Raises:
        ChildError: The tree does not show all steps.
    """
    figures: dict[str, float] = {}
    with visitor.visit(address.path, figures) as page:
        if address.steps:
            page.wait_for_function(ARE_ALL)
            figures |= {"rows_ms": page.evaluate(ROWS), "all_ms": page.evaluate(ALL)}
        figures["plain_kb"] = figures["kb"] - page.evaluate(FONTS)
        figures |= {"nodes": page.evaluate(NODES), "shift": page.evaluate(SHIFT)}
        if address.steps:
            if (rows := page.evaluate(UNFOLDING)) != address.steps:
                raise children.ChildError(f"{address.path} has {rows} rows")
            figures["frames"] = page.evaluate(SCROLLING)
        figures["heap_mb"] = page.evaluate(HEAP)
    return figures


def measure(
    browser: Browser, target: Target, lengths: Sequence[int] = LENGTHS, loads: int = LOADS
) -> dict[str, dict[str, float]]:
    """Return what was measured, by page and by field.

    Args:
        browser: Opens the pages; sizes of the heap are exact if it was started with `OPTION`.
        target: The collector.
        lengths: Numbers of steps of the runs that are opened.
        loads: How often each page is opened.

    Raises:
        ChildError: A page is rejected, or a tree does not show all steps.
    """
    measured: dict[str, dict[str, float]] = {}
    headers = {"Authorization": f"Bearer {target.token}"}
    with httpx.Client(base_url=target.url, headers=headers, timeout=children.PATIENCE_S) as http:
        pages = addresses(http, lengths)
    session = cookie(target)
    visitor = Visitor(browser, target.url, target.token)
    for name, address in pages.items():
        served_ms = server_ms(target, session, address.path)
        visits = [visited(visitor, address) for _ in range(loads)]
        middles = {
            field: statistics.median(visit[field] for visit in visits) for field in visits[0]
        }
        measured[name] = {**middles, "server_ms": served_ms}
    return measured
