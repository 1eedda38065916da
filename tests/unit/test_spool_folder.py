"""The spool's folder: one owner for each file, also while files come and go."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
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


NAME = "6fa459ea-ee8a-3ca4-894e-db77e160355e"


def names(folder: Folder) -> set[str]:
    """Return what is in the folder."""
    return {path.name for path in folder.path.iterdir()}


@pytest.mark.parametrize("ending", [".db", ".aside", ".damaged", ".db-wal"])
def test_a_lock_beside_a_file_stays(folder: Folder, ending: str) -> None:
    """Whatever became of the file's process, and of the file."""
    kept = {f"{NAME}.lock", f"{NAME}{ending}"}
    for name in kept:
        (folder.path / name).touch()
    folder.sweep()
    assert names(folder) == kept


def test_a_lock_of_which_the_file_has_gone_is_removed_when_files_are_looked_for(
    tmp_path: Path,
) -> None:
    """What else ends like one, and the lock of a process that lives, are left alone."""
    spooled = Spooled(tmp_path)
    spooled.folder.path.mkdir()
    alive = spooled.folder.claim(spooled.folder.path / f"{NAME[:-1]}0.db")
    assert alive is not None
    for name in (NAME, "of-somebody-else"):
        (spooled.folder.path / f"{name}.lock").touch()
    assert spooled.files.take() is None
    assert names(spooled.folder) == {f"{NAME[:-1]}0.lock", "of-somebody-else.lock"}
    alive.release()


def in_between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do *act* once, where the next lock has been opened and is not held yet."""
    real, left = fcntl.flock, [act]

    def flock(descriptor: int, operation: int) -> None:
        while left:
            left.pop()()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_file_that_is_being_made_while_locks_are_removed_gets_another_name(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock was there and not held, and the file was not there."""
    in_between(monkeypatch, folder.sweep)
    claim = folder.create()
    assert claim.linked
    assert names(folder) == {claim.path.name, f"{claim.path.stem}.lock"}
    claim.release()


@pytest.mark.parametrize("made", ["lock", "file"])
def test_what_is_made_while_locks_are_looked_at_stays(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    """The lock of another that has the same name, or a file beside the lock."""
    path = folder.path / f"{NAME}.lock"
    path.touch()

    def make() -> None:
        if made == "lock":
            path.unlink()
            path.touch()
        else:
            path.with_suffix(".db").touch()

    in_between(monkeypatch, make)
    folder.sweep()
    assert path.exists()


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
