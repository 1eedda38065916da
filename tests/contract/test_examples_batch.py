"""The scan of the examples: threads under one agent, and data that must not get into the record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from examples.batch import scanner
from remit.cli import main
from remit.testing import RecordingSink, isolated
from tests.served import PATIENCE

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "examples" / "batch.py"
ADDRESSES = [f"person{n}.{'x' * n}@example.com" for n in range(40)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with forty files; the nth names n people."""
    folder = tmp_path / "exports"
    folder.mkdir()
    for n in range(len(ADDRESSES)):
        text = ", ".join(ADDRESSES[:n])
        (folder / f"{n:02}.txt").write_text(f"Contacts: {text}")
    return folder


def scan(folder: Path, data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a process of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, SCRIPT, folder, "--workers", "8"],
        env={**kept, **PATIENCE, "REMIT_DATA_DIR": str(data), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def spans_of(data: Path) -> list[dict[str, object]]:
    """Return the spans of the newest run as the command line shows them."""
    show = ["runs", "show", "--json", "--db", str(data / "remit.db")]
    shown = CliRunner().invoke(main, show)
    assert shown.exit_code == 0, shown.output
    spans: list[dict[str, object]] = json.loads(shown.stdout)["spans"]
    return spans


def bytes_below(folder: Path) -> bytes:
    """Return what all files below *folder* hold."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_every_step_stands_under_the_one_that_started_its_job(folder: Path) -> None:
    """Eight threads, one run, no step lost or under another file's."""
    with isolated(on_violation="deny") as recorder:
        report = scanner(folder, workers=8)
    assert [each.counts for each in report.findings] == [
        {"mail address": n} if n else {} for n in range(len(ADDRESSES))
    ]
    (tree,) = recorder.tree()
    ((_, files),) = tree
    steps = [sorted(name.rpartition(":")[2] for name, _ in inside) for _, inside in files]
    assert steps == [["count", "read"]] * len(ADDRESSES)
    assert jobs_that_disagree(recorder) == []


def jobs_that_disagree(recorder: RecordingSink) -> list[str]:
    """Return the files whose two steps were recorded under different ones."""
    by_key = {span.key: span for span in recorder.spans("look_into")}
    return [
        span.payload["file"]
        for span in recorder.spans("read")
        if by_key[span.parent or ""].payload["file"] != span.payload["file"]
    ]


def test_the_script_reports_and_delivers(folder: Path, tmp_path: Path) -> None:
    """Its output is the report; the record has every step, and not one address."""
    done = scan(folder, tmp_path / "data")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:3] == [
        "00.txt",
        "01.txt  mail address: 1",
        "02.txt  mail address: 2",
    ]
    spans = spans_of(tmp_path / "data")
    assert len(spans) == 2 + 3 * len(ADDRESSES)
    assert {span["status"] for span in spans} == {"complete"}
    kept = bytes_below(tmp_path / "data")
    assert b"mail address" in kept
    assert [each for each in ADDRESSES if each.encode() in kept] == []


def test_a_file_that_cannot_be_read_fails_its_step_and_the_run(
    folder: Path, tmp_path: Path
) -> None:
    """The scan goes on, and says so in its exit status."""
    (folder / "blob.bin").write_bytes(b"\xff\xfe")
    done = scan(folder, tmp_path / "data")
    assert done.returncode == 1
    assert done.stderr == "cannot be read: blob.bin\n"
    spans = spans_of(tmp_path / "data")
    assert sum(span["status"] == "failed" for span in spans) == 3


@pytest.mark.gate
def test_a_record_that_does_not_arrive_is_said_and_the_report_is_there(
    folder: Path, tmp_path: Path
) -> None:
    """The server of this test does not exist."""
    nowhere = {
        "REMIT_API_URL": "http://127.0.0.1:9",
        "REMIT_API_TOKEN": "none",
        "REMIT_EXIT_TIMEOUT_S": "0.2",
    }
    done = scan(folder, tmp_path / "data", **nowhere)
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == len(ADDRESSES)
    assert "the record was not delivered:" in done.stderr
