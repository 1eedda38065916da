"""The spool's folder: one owner for each file, also while files come and go."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from remit._spool.folder import DATABASE, Folder
from tests.spooling import GIB, Spooled


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder of the test's own, which exists."""
    made = Spooled(tmp_path).folder
    made.path.mkdir()
    return made


def test_claims_of_many_threads_never_overlap(folder: Folder) -> None:
    """While one deletes what others open: at most one has a file at a time."""
    path = folder.path / f"one{DATABASE}"
    holding: list[int] = []
    overlaps: list[int] = []

    def work() -> None:
        for _ in range(300):
            claim = folder.claim(path)
            if claim is None:
                continue
            holding.append(1)
            if len(holding) > 1:
                overlaps.append(1)
            path.touch()
            holding.pop()
            claim.remove()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []


def test_files_are_listed_by_age_and_ending(folder: Folder) -> None:
    """The oldest first; locks and what SQLite puts there are no files of ours."""
    for name in ("b.db", "a.db", "c.aside", "a.lock", "a.db-wal"):
        (folder.path / name).write_text("12345")
    os.utime(folder.path / "b.db", ns=(1, 1))
    assert [path.name for path in folder.files(".db")] == ["b.db", "a.db"]
    assert len(folder.files(".db", ".aside")) == 3
    assert folder.size_bytes() == 25


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """Looking makes nothing."""
    folder = Spooled(tmp_path / "none", max_bytes=GIB).folder
    assert folder.files(".db") == []
    assert folder.size_bytes() == 0
    assert not folder.path.exists()
