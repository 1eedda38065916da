"""The tutorial as a reader follows it: the file, the command, and what the command shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parent.parent.parent / "docs" / "tutorial" / "index.md"
BLOCK = re.compile(
    r"^```(?P<language>python|console)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


def blocks(language: str) -> list[str]:
    """Return the blocks of the tutorial in *language*."""
    found = BLOCK.finditer(TUTORIAL.read_text())
    return [block["text"] for block in found if block["language"] == language]


def shown_by(command: str) -> str:
    """Return what the tutorial shows below *command*."""
    (block,) = [each for each in blocks("console") if each.startswith(f"$ {command}\n")]
    return block.partition("\n")[2]


def plain(text: str) -> str:
    """Return *text* without keys and times."""
    for pattern, word in (
        (r"\b[0-9a-hjkmnp-tv-z]{26}\b", "KEY"),
        (r"started .*", "started TIME"),
        (r"Read from .*", "Read from PLACE"),
        (r" +\+[\d.]+ m?s +[\d.]+ m?s$", "  TIMES"),
    ):
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a folder with the tutorial's `desk.py`, as far as its first run."""
    (tmp_path / "desk.py").write_text("\n\n".join(blocks("python")[:2]))
    return tmp_path


def run(folder: Path, *words: str) -> str:
    """Run Python in *folder* with a record of its own, and return what it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**kept, "REMIT_DATA_DIR": str(folder / "data"), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_first_run_is_recorded_and_shown_as_the_tutorial_says(desk: Path) -> None:
    """A reader compares the two screens line by line."""
    assert run(desk, "desk.py") == shown_by("python desk.py")
    shown = run(desk, "-m", "remit", "runs", "show", "last")
    assert plain(shown).strip() == plain(shown_by("remit runs show last")).strip()


def test_the_declaration_is_shown(desk: Path) -> None:
    """The tutorial names the command."""
    (command,) = re.findall(r"^\$ remit (schema show .*)$", TUTORIAL.read_text(), re.MULTILINE)
    shown = run(desk, "-m", "remit", *command.split())
    assert "desk:find_order" in shown
    assert "Find an order by its number." in shown
