"""The benchmark of the page's budgets, on runs that are shorter than its own."""

from __future__ import annotations

import httpx
from playwright.sync_api import Browser

from benchmarks.storage.beside import Target
from benchmarks.storage.long_runs import CHILDREN, long_run
from benchmarks.storage.page import FIELDS, MAP, MATRIX, MONTH, RUNS, Budget, measure, run_of
from tests.browsing import Desk

STEPS = 200
OF_TREES = {"rows_ms", "all_ms", "frames"}


def test_each_figure_of_each_page_is_measured(browser: Browser, desk: Desk) -> None:
    """Of pages without a tree, all but those that a tree has."""
    desk.api.instance()
    measured = measure(browser, Target(desk.url, desk.token), lengths=[STEPS], loads=1)

    assert measured.keys() == {RUNS, MONTH, run_of(STEPS), MATRIX, MAP}
    for name, figures in measured.items():
        missing = FIELDS.keys() - figures.keys()
        assert missing == (set() if name == run_of(STEPS) else OF_TREES)
        assert 0 < figures["plain_kb"] < figures["kb"]
        assert all(value > 0 for field, value in figures.items() if field != "shift")


def test_a_long_run_is_recorded_once(desk: Desk) -> None:
    """Its steps are a tree below one root."""
    made = desk.api.instance()
    place = {name: made[name] for name in ("agent_id", "environment_id")}
    headers = {"Authorization": f"Bearer {desk.token}"}
    with httpx.Client(base_url=desk.url, headers=headers, timeout=60) as http:
        run = long_run(http, place, STEPS)
        assert long_run(http, place, STEPS) == run
        assert long_run(http, place, STEPS + 100) != run
        listed = http.get("/api/remit/v1/spans", params={"run_id": run, "limit": 1000}).json()

    parents = [step["parent_span_id"] for step in listed["spans"]]
    assert len(parents) == STEPS
    assert parents.count(None) == 1
    assert {parents.count(parent) for parent in {*parents} - {None}} == {CHILDREN, 9}


def test_a_budget_is_met_within_a_fifth() -> None:
    """Whether a figure may be at most that much, or at least."""
    most, least = Budget(RUNS, "kb", 100), Budget(RUNS, "frames", 100, is_least=True)
    assert [most.is_met(value) for value in (1, 119, 121)] == [True, True, False]
    assert [least.is_met(value) for value in (200, 81, 79)] == [True, True, False]
