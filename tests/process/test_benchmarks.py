"""The benchmarks run: a little of everything, and a page with its tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.sources import ROOT
from tests.untraced import UNTRACED

PEERS = "what remit stands on,bare,remit,sqlite"
TABLES = (
    "calls",
    "throughput",
    "runs",
    "import",
    "down",
    "growth",
    "local",
    "collector",
    "reads",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc"),
    pytest.mark.timeout(900),
]


def run(build: Path, *arguments: str) -> str:
    """Run the benchmarks, and return what they print."""
    command = [sys.executable, "-m", "benchmarks", "--build", str(build), *arguments]
    environ = os.environ | UNTRACED
    done = subprocess.run(
        command, cwd=ROOT, env=environ, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_a_tiny_run_measures_each_table_and_writes_the_page(tmp_path: Path) -> None:
    """What cannot be measured here is told, and ends nothing; a run that broke goes on."""
    run(tmp_path, "--size", "tiny", "--peers", PEERS)
    path = tmp_path / "benchmarks-tiny.json"
    held: dict[str, Any] = json.loads(path.read_text())
    ours = [entry for entry in held["results"] if entry["key"][1] in ("remit", "sqlite")]
    assert [entry for entry in ours if "error" in entry] == []
    assert {entry["key"][0] for entry in ours} == set(TABLES)
    delivered = [entry for entry in ours if entry["key"][0] in ("calls", "throughput", "runs")]
    assert [entry["lost"] for entry in delivered] == [0] * len(delivered)
    outages = [entry for entry in ours if entry["key"][2] in ("few", "many")]
    assert [entry["later"] for entry in outages] == [entry["recorded"] for entry in outages]
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| **remit** |" in page
    assert "-->\n<!-- end -->" not in page
    held["results"] = held["results"][1:]
    path.write_text(json.dumps(held))
    run(tmp_path, "calls", "--size", "tiny", "--peers", PEERS, "--resume")
    assert len(json.loads(path.read_text())["results"]) == len(held["results"]) + 1
