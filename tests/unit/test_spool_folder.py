"""The spool's folder: one owner for each file, while files and locks come and go."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inside import Folder
from tests.spooling import GIB, Spooled

NAME = "6fa459ea-ee8a-3ca4-894e-db77e160355e"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder of the test's own, which exists."""
    made = Spooled(tmp_path).folder
    made.path.mkdir()
    return made


def test_claims_of_many_threads_never_overlap(folder: Folder) -> None:
    """At most one has a file at a time, while files are deleted and their locks swept."""
    path = folder.path / f"{NAME}.db"
    holding: list[int] = []
    wrong: list[str] = []

    def claim() -> None:
        made = folder.claim(path)
        if made is not None:
            holding.append(1)
            if len(holding) > 1:
                wrong.append("two have one file")
            path.touch()
            holding.pop()
            made.remove()

    def create() -> None:
        made = folder.create()
        if not (made.path.exists() and made.path.with_suffix(".lock").exists()):
            wrong.append("a new file has no lock")
        made.remove()

    def work(act: Callable[[], None]) -> None:
        for _ in range(300):
            act()

    acts = (claim, create, folder.sweep)
    threads = [threading.Thread(target=work, args=(act,)) for act in acts * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_lock_is_removed_when_its_file_has_gone_and_its_process_has_ended(
    tmp_path: Path,
) -> None:
    """Looking for files does it, and removes what SQLite left beside the file; other locks stay."""
    spooled = Spooled(tmp_path)
    folder = spooled.folder
    folder.path.mkdir()
    alive = folder.create()
    alive.path.unlink()
    kept = {f"{alive.path.stem}.lock"}
    for number, ending in enumerate((".aside", ".damaged")):
        name = f"{NAME[:-1]}{number}"
        kept |= {f"{name}.lock", f"{name}{ending}"}
    for name in (kept | {f"{NAME}.lock", f"{NAME}.db-wal"}) - {f"{alive.path.stem}.lock"}:
        (folder.path / name).touch()
    assert spooled.files.take() is None
    assert {path.name for path in folder.path.iterdir()} == kept
    alive.release()


def test_a_file_that_goes_after_it_was_listed_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that end side by side list each other's files while they are deleted."""
    spooled = Spooled(tmp_path)
    gone = spooled.folder.create()
    gone.remove()

    def listed(*endings: str) -> list[Path]:
        return [gone.path] if ".db" in endings else []

    monkeypatch.setattr(spooled.folder, "files", listed)
    assert spooled.files.take() is None
    assert list(spooled.folder.path.iterdir()) == []


def test_files_are_listed_by_age_and_ending(folder: Folder) -> None:
    """The oldest comes first; locks and SQLite's companion files are not listed."""
    for name in ("b.db", "a.db", "c.aside", "a.lock", "a.db-wal"):
        (folder.path / name).write_text("12345")
    os.utime(folder.path / "b.db", ns=(1, 1))
    assert [path.name for path in folder.files(".db")] == ["b.db", "a.db"]
    assert len(folder.files(".db", ".aside")) == 3
    assert folder.size_bytes() == 25


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """To look at it creates nothing."""
    folder = Spooled(tmp_path / "none", max_bytes=GIB).folder
    assert folder.files(".db") == []
    assert folder.size_bytes() == 0
    assert not folder.path.exists()
