"""The two lessons and the quickstart as a reader follows them: files, commands, and output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.served import PATIENCE

PAGES = Path(__file__).parent.parent.parent / "docs" / "get-started"
BLOCK = re.compile(
    r"^```(?P<language>python|console)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
FUNCTION = re.compile(r"^@remit\.span_type.*?\n(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in *language*."""
    found = BLOCK.finditer((PAGES / page).read_text())
    return [block["text"] for block in found if block["language"] == language]


def shown_by(page: str, command: str) -> list[str]:
    """Return what a page shows below *command*, each time that it shows the command."""
    transcripts = "".join(blocks(page, "console"))
    found = re.findall(
        rf"^\$ {re.escape(command)}\n((?:(?!\$ ).*\n)*)", transcripts, flags=re.MULTILINE
    )
    assert found, command
    return found


def plain(text: str) -> str:
    """Return *text* without keys, times and directories."""
    for pattern, word in (
        (r"\b[0-9a-hjkmnp-tv-z]{26}\b", "KEY"),
        (r"^[0-9a-hjkmnp-tv-z]{8}(?=  )", "KEY"),
        (r"started .*", "started TIME"),
        (r"\d{4}-\d\d-\d\dT[\d:]+Z +[\d.]+ m?s", "TIMES"),
        (r"(Read from|\d of) /\S+\.db", r"\1 PLACE"),
        (r"\(/\S+/(\w+\.py:\d+)\)", r"(\1)"),
        (r" +\+[\d.]+ m?s +[\d.]+ m?s$", "  TIMES"),
    ):
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text.strip()


def run(folder: Path, *words: str, status: int = 0, **variables: str) -> tuple[str, str]:
    """Run Python in *folder* with a separate record; return its output and its log."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={
            **kept,
            **PATIENCE,
            "REMIT_DATA_DIR": str(folder / "data"),
            "COLUMNS": "100",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def remit(folder: Path, *words: str) -> str:
    """Run a command of remit in *folder*, and return its output."""
    output, log = run(folder, "-m", "remit", *words)
    assert log == ""
    return output


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a directory with the first lesson's `desk.py`."""
    (tmp_path / "desk.py").write_text("\n\n".join(blocks("tutorial-record.md", "python")[:2]))
    return tmp_path


@pytest.fixture
def refunds(tmp_path: Path) -> Path:
    """Return a directory with the second lesson's `refunds.py`, before the steps are declared."""
    (tmp_path / "refunds.py").write_text(blocks("tutorial-limit.md", "python")[0])
    return tmp_path


def declare_steps(folder: Path) -> None:
    """Replace the steps of `refunds.py` by the declared ones, as the second lesson asks."""
    path, declared = folder / "refunds.py", blocks("tutorial-limit.md", "python")[1]
    text = path.read_text()
    undeclared, replacements = FUNCTION.findall(text), FUNCTION.findall(declared)
    assert len(undeclared) == len(replacements) == 2
    for before, after in zip(undeclared, replacements, strict=True):
        text = text.replace(before, after)
    path.write_text(text)


def test_the_first_run_is_recorded_and_shown_as_the_tutorial_says(desk: Path) -> None:
    """A reader compares the two screens line by line."""
    page = "tutorial-record.md"
    assert [run(desk, "desk.py")] == [(text, "") for text in shown_by(page, "python desk.py")]
    shown = remit(desk, "runs", "show", "last")
    assert [plain(shown)] == [*map(plain, shown_by(page, "remit runs show last"))]
    code = 'import desk; desk.desk("Where is A-9999?")'
    assert f"$ python -c '{code}'\n" in "".join(blocks(page, "console"))
    _, failure = run(desk, "-c", code, status=1)
    assert failure.splitlines()[-1] == "KeyError: 'A-9999'"
    shown = remit(desk, "runs", "list")
    assert [plain(shown)] == [*map(plain, shown_by(page, "remit runs list"))]


def test_the_steps_are_undeclared_then_observed_then_denied(refunds: Path) -> None:
    """The second lesson shows the outputs in this order."""
    page, show = "tutorial-limit.md", ("schema", "show", "refunds:clerk", "--risk")
    before, after = shown_by(page, f"remit {' '.join(show)}")
    first, observed = shown_by(page, "python refunds.py")
    (denied,) = shown_by(page, "REMIT_ON_VIOLATION=deny python refunds.py")

    assert run(refunds, "refunds.py") == (first, "")
    assert remit(refunds, *show).startswith(before.removesuffix("...\n"))
    declare_steps(refunds)
    assert remit(refunds, *show).startswith(after.removesuffix("...\n"))
    remit(refunds, "schema", "check", "refunds", "--fail-on", "undeclared")
    assert together(*run(refunds, "refunds.py")) == plain(observed)
    ran = run(refunds, "refunds.py", REMIT_ON_VIOLATION="deny")
    assert together(*ran) == plain(denied)


def test_the_program_of_the_quickstart_runs_as_shown(tmp_path: Path) -> None:
    """One of its two runs fails."""
    (source,) = blocks("quickstart.md", "python")
    (tmp_path / "hello.py").write_text(source)
    assert [run(tmp_path, "hello.py")] == [
        (text, "") for text in shown_by("quickstart.md", "python hello.py")
    ]
    assert "✗ KeyError in find_order" in remit(tmp_path, "runs", "list", "--status", "failed")


def together(output: str, log: str) -> str:
    """Return output and log as a terminal shows them: the log before the last line."""
    first, last = output.splitlines()
    return plain(f"{first}\n{log.strip()}\n{last}")
