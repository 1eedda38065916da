"""What a run of the tests sees to: a skip turns it red, and no process stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT
from tests.delivering import wait_for
from tests.subtests import each

pytestmark = pytest.mark.gate

TEST = """
import pytest

{decoration}
def test_something():
    {body}
"""
PASSED, FAILED = 0, 1
# What other libraries plug into pytest takes them seconds to load, and is not asked for here.
QUICK = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "COVERAGE_PROCESS_CONFIG": "",
    "PYTHONPATH": str(ROOT),
}


def run(folder: Path, test: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run *test* as CI would, beside a copy of the project's conftest."""
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "test_it.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "--strict-skips", *more, str(folder)]
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | QUICK,
        check=False,
        capture_output=True,
        text=True,
    )


@each(
    ("decoration", "body"),
    [
        pytest.param('@pytest.mark.skipif(True, reason="needs Chromium")', "pass", id="marked"),
        pytest.param("", 'pytest.skip("needs PostgreSQL")', id="inside"),
        pytest.param('pytest.importorskip("no_such_module")', "pass", id="module"),
    ],
)
def test_a_skip_turns_the_run_red_and_is_named(decoration: str, body: str, tmp_path: Path) -> None:
    """However it was skipped."""
    if decoration.startswith("pytest"):
        decoration += "\n"
    answer = run(tmp_path, TEST.format(decoration=decoration, body=body))
    assert answer.returncode != PASSED
    assert "not allowed to skip here" in answer.stdout


def test_a_skip_in_a_worker_turns_the_run_red(tmp_path: Path) -> None:
    """With a test at work on each processor, as `make test` has it."""
    test = TEST.format(decoration='pytest.importorskip("no_module")\n', body="pass")
    answer = run(tmp_path, test, "-p", "xdist.plugin", "-n", "2")
    assert answer.returncode == FAILED
    assert "not allowed to skip here" in answer.stdout


def test_a_skip_for_another_python_is_accepted(tmp_path: Path) -> None:
    """It is run where it belongs."""
    test = TEST.format(decoration="", body='pytest.skip("only on Python 3.14 and later")')
    answer = run(tmp_path, "def test_one(): pass\n" + test)
    assert answer.returncode == PASSED, answer.stdout


def test_a_test_that_is_expected_to_fail_is_no_skip(tmp_path: Path) -> None:
    """`xfail` says what is known not to work yet."""
    test = TEST.format(decoration='@pytest.mark.xfail(reason="known")', body="raise ValueError")
    assert run(tmp_path, test).returncode == PASSED


def test_a_test_that_fails_leaves_no_process_behind(tmp_path: Path) -> None:
    """Neither the program that it started nor the children of that."""
    sleeping = "import time; time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleeping!r}])"
    body = (
        "import pathlib, subprocess, sys\n"
        f"    command = [sys.executable, '-c', {parent!r}]\n"
        "    started = subprocess.Popen(command, start_new_session=True)\n"
        "    pathlib.Path('pid').write_text(str(started.pid))\n"
        "    raise ValueError"
    )
    test = TEST.format(decoration="", body=body)
    assert run(tmp_path, test, "-p", "tests.conftest").returncode == FAILED
    group = int((tmp_path / "pid").read_text())
    wait_for(lambda: not runs_in(group))


def runs_in(group: int) -> bool:
    """Return whether a process of a group runs; one that has ended may wait to be reaped."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, of, *_ = path.read_text().rpartition(")")[2].split()
            if int(of) == group and state != "Z":
                return True
    return False
