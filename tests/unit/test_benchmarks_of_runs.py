"""The benchmarks of several runs: which stand on one page, and what is told of when."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__, about, report
from benchmarks.results import Results

MACHINE: dict[str, Any] = {
    "date": "2026-01-01 10:00 UTC",
    "processor": "one",
    "python": "3.11.7",
    "commit of `src/remit`": "aaaaaaaaaa",
    "versions": {"remit": "0.1.0"},
    "load before": 0.5,
}
EARLY, LATE = MACHINE["date"], "2026-01-02 20:00 UTC"
CPU = {"cpu_us": 3.9}


def run_of(path: Path, **differing: object) -> Results:
    """Return the results of a run of two tables."""
    results = Results(path)
    results.begin({**MACHINE, **differing})
    for table in ("calls", "growth"):
        results.add((table, "remit", "sync" if table == "calls" else "1000", 0), CPU)
    return results


def measured_again(results: Results, **differing: object) -> None:
    """Measure one of the tables in a run of its own."""
    results.begin({**MACHINE, "date": LATE, **differing})
    results.forget("calls")
    results.add(("calls", "remit", "sync", 0), CPU)


def sections(*files: Path) -> dict[str, str]:
    """Return what stands in each place of the page of some files."""
    runs = [Results(path) for path in files]
    about.check_alike(report.places(runs))
    return dict(report.sections(runs))


def test_a_table_that_was_measured_alone_says_when_and_so_do_the_others(tmp_path: Path) -> None:
    """Also the budgets, which look at all of them."""
    path = tmp_path / "results.json"
    measured_again(run_of(path))
    page = sections(path)
    assert page["calls"].startswith(f"Measured {LATE}.\n\n|")
    assert page["growth"].startswith(f"Measured {EARLY}.\n\n|")
    assert f"made in parts: growth {EARLY}; calls {LATE}." in page["budgets"]
    assert f"| date | {EARLY} / {LATE} |" in page["machine"]


def test_a_table_that_two_runs_have_measured_says_both(tmp_path: Path) -> None:
    """One that broke, and one that went on with what was missing."""
    path = tmp_path / "results.json"
    results = run_of(path)
    results.begin({**MACHINE, "date": LATE})
    results.add(("calls", "ddtrace", "sync", 0), CPU)
    page = sections(path)
    assert page["calls"].startswith(f"Measured {EARLY} and {LATE}.\n\n|")


def test_a_run_in_one_piece_says_its_date_once(tmp_path: Path) -> None:
    """In the table of the machine."""
    path = tmp_path / "results.json"
    run_of(path)
    page = sections(path)
    assert page["machine"].count(EARLY) == "".join(page.values()).count(EARLY) == 1


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({"commit of `src/remit`": "b"}, "commit of `src/remit`: aaaaaaaaaa / b."),
        ({"python": "3.12.1"}, "python: 3.11.7 / 3.12.1."),
        ({"processor": "another"}, "processor: one / another."),
        ({"versions": {"remit": "0.2.0"}}, "remit: 0.1.0 / 0.2.0."),
        ({"system": "BSD"}, "system: unknown / BSD."),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
@pytest.mark.parametrize("files", [1, 2])
def test_runs_of_something_else_are_refused_and_what_differs_is_named(
    files: int,
    differing: dict[str, object],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In files of their own, and of one table in a file."""
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    results = run_of(first)
    if files == 2:
        run_of(second, date=LATE, **differing)
    else:
        measured_again(results, **differing)
    told = [str(each) for each in (first, second)][:files]
    command = ["benchmarks", "--size", "tiny", "--build", str(tmp_path), "--report", *told]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as refused:
        __main__.main()
    assert said in str(refused.value)
    assert str(first) in str(refused.value)
    assert EARLY in str(refused.value)
    assert LATE in str(refused.value)
    assert not (tmp_path / "benchmarks.md").exists()


def test_runs_at_other_times_and_loads_stand_on_one_page(tmp_path: Path) -> None:
    """They measured the same."""
    run_of(tmp_path / "1.json")
    run_of(tmp_path / "2.json", **{"date": LATE, "load before": 3.0, "took": "12 minutes"})
    page = sections(tmp_path / "1.json", tmp_path / "2.json")
    assert "| caller's CPU of a sync call, us | at most 5.00 | 3.90 / 3.90 | yes" in page["budgets"]
    assert "Measured " not in "".join(page.values())


def test_a_run_goes_on_with_the_same_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--resume` would have rounds of two sources for one figure."""
    path = tmp_path / "benchmarks-tiny.json"
    run_of(path)
    held = path.read_text()
    command = ["benchmarks", "calls", "--resume", "--size", "tiny", "--build", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="processor: one / "):
        __main__.main()
    assert path.read_text() == held


def test_a_file_of_before_is_of_one_run(tmp_path: Path) -> None:
    """It has the machine, and no runs."""
    path = tmp_path / "results.json"
    entry = {"key": ["calls", "remit", "sync", 0], "cpu_us": 3.9}
    path.write_text(json.dumps({"about": MACHINE, "results": [entry]}))
    assert Results(path).runs() == [(MACHINE, ["calls"])]
    assert Results(path).dates() == Results(path).dates("calls") == [EARLY]


def test_a_run_of_which_nothing_is_left_is_forgotten(tmp_path: Path) -> None:
    """All of its tables were measured anew."""
    path = tmp_path / "results.json"
    results = run_of(path)
    results.forget("growth")
    measured_again(results)
    assert [each["date"] for each in json.loads(path.read_text())["runs"].values()] == [LATE]


def test_the_machine_is_told_with_the_commit_of_the_source() -> None:
    """What makes two runs comparable is all of it but times and loads."""
    told = about.machine()
    assert told["commit of `src/remit`"] == about.commit() != ""
    assert {"remit", "python", "processor", "commit of `src/remit`"} <= about.identity(told).keys()
    assert not {"date", "load before"} & about.identity(told).keys()
    assert report.places([Results(Path("none"))]) == []
