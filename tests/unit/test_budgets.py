"""The table of budgets: which buffer a row is of, what is lost, and where a miss is explained."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import shown
from benchmarks.__main__ import TINY
from benchmarks.measure import Size
from benchmarks.results import Results
from benchmarks.tables import budgets, down, growth, imports, kept_out, reasons, throughput

Table = Callable[[], list[str]]


def results_of(folder: Path, *entries: tuple[str, str, str, dict[str, Any]]) -> Results:
    """Return the results of a run with these: table, peer, case and values."""
    results = Results(folder / "results.json")
    for table, peer, case, values in entries:
        results.add((table, peer, case, 0), values)
    return results


def row_of(results: Results, beginning: str) -> list[str]:
    """Return the cells of a budget."""
    found = [line for line in budgets.budgets([results]).splitlines() if beginning in line]
    return [cell.strip() for cell in found[0].split("|")[1:-1]]


def heading(reason: reasons.Reason) -> str | None:
    """Return the heading in the documents that a reason's link leads to, if it is there."""
    page = (reasons.DOCS / (reason.page or "benchmarks.md")).read_text()
    found = re.search(rf"^#+ {re.escape(reason.title)}$", page, re.MULTILINE)
    return found and found[0]


@pytest.mark.parametrize("reason", reasons.ALL, ids=lambda reason: reason.title)
def test_each_reason_stands_in_the_documents(reason: reasons.Reason) -> None:
    """Under the heading that its link reads as."""
    assert heading(reason)


def test_a_reason_of_the_page_itself_and_one_of_another_page_are_linked() -> None:
    """As the builder of the documents makes anchors of headings."""
    assert reasons.RATE.link() == (
        "[What limits the rate](explanation/cost.md#what-limits-the-rate)"
    )
    assert reasons.PEERS.link() == (
        "[The peers, and what differs between them](#the-peers-and-what-differs-between-them)"
    )


def test_a_budget_that_is_missed_leads_to_its_reason_and_no_other_does(tmp_path: Path) -> None:
    """By a run of several is enough."""
    slow, fast = (tmp_path / name for name in ("slow", "fast"))
    missed = results_of(slow, ("throughput", "remit-memory", "1", {"rate": 100_000}))
    kept = results_of(fast, ("throughput", "remit-memory", "1", {"rate": 130_000}))
    line = f"- spans/s delivered, no spool, {budgets.ROOM}: {reasons.RATE.link()}"
    for runs in ([missed], [missed, kept], [kept, missed]):
        told = budgets.budgets(runs).splitlines()
        assert told[-1] == line
        assert [each for each in told if each.startswith("- ")] == [line]
    assert "](" not in budgets.budgets([kept])


def test_threads_are_told_with_room_and_with_the_default_buffer(tmp_path: Path) -> None:
    """Each row says which; both are measured as often, and for as long."""
    cases = zip((*throughput.ROOMY, *throughput.OWN), (4.0, 4.2, 4.0, 5.0), strict=True)
    entries = [
        ("throughput", "remit", case, {"cpu_us": cpu_us, "lost": 0, "cut": 0, "expected": 9})
        for case, cpu_us in cases
    ]
    results = results_of(tmp_path, *entries)
    what = "caller's CPU of a span, 8 threads / 1, "
    assert row_of(results, what + budgets.ROOM)[2:4] == ["1.05", "yes"]
    assert row_of(results, what + budgets.DEFAULT)[2:4] == ["1.25", "**no**"]
    what = "spans lost, or their values, 1 and 8 threads, "
    assert [row_of(results, what + room)[3] for room in (budgets.ROOM, budgets.DEFAULT)] == [
        "yes", "yes",
    ]  # fmt: skip
    ours = [case for case in throughput.cases(Size()) if case.peer == "remit"]
    assert [case.rounds_of(3) for case in ours] == [5] * 4


def test_a_million_spans_show_the_time_that_passed(tmp_path: Path) -> None:
    """Beside the CPU, where both were measured."""
    results = results_of(
        tmp_path,
        ("growth", "remit", "1000", {"cpu_us": 3.6, "wall_us": 3.7}),
        ("growth", "remit", "1000000", {"cpu_us": 3.9, "wall_us": 5.7}),
        ("growth", "floor", "1000", {"cpu_us": 1.5, "wall_us": 1.6}),
    )
    told = growth.grown(results).splitlines()
    assert "| 3.60 / 3.70 | 3.90 / 5.70 |" in next(line for line in told if "remit" in line)
    assert "| 1.50 / 1.60 | - |" in next(line for line in told if "floor" in line)


OUTAGE = {"recorded": 1000, "peak_kib": 2048, "exit_s": 0.5, "said": 2, "slowest_ms": 1.0}


@pytest.mark.parametrize(
    ("arrived", "lost"),
    [
        pytest.param({"later": 1000, "partial": 0}, 0, id="all"),
        pytest.param({"later": 1000, "partial": 7}, 7, id="some not whole"),
        pytest.param({"later": 990, "partial": 7}, 17, id="some not at all"),
    ],
)
def test_what_an_outage_lost_is_what_did_not_arrive_and_what_did_not_arrive_whole(
    arrived: dict[str, int], lost: int, tmp_path: Path
) -> None:
    """A peer that keeps nothing on disk has a dash for what arrived later."""
    results = results_of(
        tmp_path,
        ("down", "bare", "few", {**OUTAGE, "peak_kib": 1024}),
        ("down", "remit", "few", {**OUTAGE, **arrived}),
        ("down", "ddtrace", "few", {**OUTAGE, "peak_kib": 3072}),
    )
    assert down.lost(results, "remit", "few") == lost
    lines = down.outages(results).splitlines()
    ours, theirs = (next(each for each in lines if name in each) for name in ("remit", "ddtrace"))
    assert ours.endswith(f"| {arrived['later']:,} | {lost} |")
    assert theirs.endswith("| - | - |")
    what = "nothing listens, 1,000 spans: "
    assert row_of(results, f"{what}lost")[2] == shown.figure(lost)
    assert row_of(results, f"{what}memory")[2:] == ["1.00", "yes", "ddtrace 2.00"]


def test_importing_remit_leaves_httpx_and_pydantic_settings_alone(tmp_path: Path) -> None:
    """Measured in a fresh process, and held to none."""
    case = next(each for each in imports.cases(TINY) if each.case == kept_out.CASE)
    values = case.values()
    assert values == {kept_out.FIELD: 0}
    results = results_of(tmp_path, (case.table, case.peer, case.case, values))
    assert row_of(results, "modules of httpx")[1:4] == ["at most 0", "0", "yes"]
