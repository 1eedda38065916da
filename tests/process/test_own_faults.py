"""Faults of our own: functions of remit raise in turn, and the program does not notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.architecture.sources import ROOT
from tests.untraced import UNTRACED

PROCESSES = 2
FULL = "REMIT_TEST_FULL" in os.environ
"""Whether each function raises, or only those that are not a part of one other."""
AT_LEAST = 400 if FULL else 200
TIMEOUT_S = 900


def met_by(part: int) -> list[dict[str, Any]]:
    """Run one of the processes; return what came of each function that remit itself called."""
    words = [str(part), str(PROCESSES), *([] if FULL else ["--whole"])]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.own", *words],
        cwd=ROOT,
        # To be traced line by line takes it three times as long.
        env=os.environ | UNTRACED,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = map(json.loads, done.stdout.splitlines())
    return [row for row in rows if row["inside"]]


@pytest.mark.timeout(TIMEOUT_S)
def test_a_fault_of_ours_changes_nothing_and_is_counted() -> None:
    """The program's results are the same whichever function raises, on whatever thread."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        met = [row for rows in pool.map(met_by, range(PROCESSES)) for row in rows]
    assert len(met) > AT_LEAST
    assert [row for row in met if row["outcome"] != "the same"] == []
    assert [row["name"] for row in met if not row["counted"] and not row["uncounted"]] == []
