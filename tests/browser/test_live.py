"""A run that goes on while it is open, and a program that is stopped from the page."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import expect

from tests.browsing import Desk, Tab
from tests.processes import output_of, settings, start
from tests.waterfalls import Step, begun, record

REASON: Final = "it pays the wrong person"
STEPS: Final = [
    Step("remit:run", took_ms=None, status="active"),
    Step("night_review", 0, 1, None, "active"),
    *(Step(("search_help", "look_up")[at % 2], 1, 2 + at, 1) for at in range(90)),
]
PROGRAM: Final = """
import threading
import remit
from remit.errors import RunTerminated

pause = threading.Event()

@remit.span_type
def pay():
    pause.wait(0.02)

@remit.agent
def payer():
    while True:
        pay()

with payer.run() as run:
    remit.flush(60)
    print(run.id, flush=True)
    try:
        payer()
    except RunTerminated as error:
        print(f"stopped: {error}", flush=True)
        raise
"""
"""An agent that pays until it is stopped."""


@pytest.fixture(scope="module")
def desk(module_desk: Desk) -> Desk:
    """Return one collector for all tests of this module."""
    return module_desk


def test_a_new_step_appears_and_nothing_moves(tab: Tab, desk: Desk) -> None:
    """Without a reload; what is chosen, scrolled to and in the panel stays."""
    run = begun(desk.api)
    record(desk.api, run, STEPS)
    page = tab.open(f"/runs/{run}")
    tree = page.locator("#tree")
    expect(tree).to_have_attribute("aria-rowcount", str(len(STEPS) + 1))
    expect(page.locator("#live")).to_have_text("live")
    tree.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#panel h2")).to_have_text("search_help")
    seen = "[document.getElementById('tree').scrollTop, scrollY, location.href]"
    chosen = tree.get_attribute("aria-activedescendant")
    before = page.evaluate(seen)
    assert before[0] + before[1] > 0
    record(desk.api, run, [Step("notify", 1, 300, 2)], first=len(STEPS))
    expect(tree).to_have_attribute("aria-rowcount", str(len(STEPS) + 2))
    assert page.evaluate(seen) == before
    assert tree.get_attribute("aria-activedescendant") == chosen
    expect(page.locator("#panel h2")).to_have_text("search_help")


def test_terminate_stops_a_program(tab: Tab, desk: Desk, tmp_path: Path) -> None:
    """A real one, at its next step; the page says so."""
    environ = settings(tmp_path, desk.url, desk.token)
    environ |= {"REMIT_FLUSH_INTERVAL_S": "0.1"}
    with start(PROGRAM, environ) as program:
        try:
            stop_from_the_page(tab, program)
        finally:
            program.kill()


def stop_from_the_page(tab: Tab, program: subprocess.Popen[str]) -> None:
    """Terminate the run that a program names, and read how the program ends."""
    page = tab.page
    assert program.stdout is not None
    run = program.stdout.readline().strip()
    tab.open(f"/runs/{run}")
    expect(page.locator("#tree")).to_contain_text("pay")
    page.get_by_role("link", name="Terminate").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill(REASON)
    dialog.get_by_role("button", name="Terminate").click()
    facts = page.locator("#about > .facts")
    expect(facts).to_contain_text("terminated")
    expect(page.locator(".notice.warn")).to_contain_text(REASON)
    told, errors = output_of(program)
    assert told.startswith("stopped: ")
    assert REASON in told
    assert "RunTerminated" in errors
    assert program.returncode == 1
