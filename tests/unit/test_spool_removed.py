"""What a cleaner removes of a file in use, and whose a file without its lock is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remit._spool import Files, RunState, SpoolFile, SpoolOutbox
from remit._spool.folder import DATABASE, LOCK, Claim
from tests.delivering import delivery, down, within
from tests.delivering import record as record_run
from tests.fake_api import FakeApi
from tests.spooling import RUN, Spooled, active, in_child, item, numbers, record


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[Spooled]:
    """Return a folder of the test's own."""
    spooled = Spooled(tmp_path / "data")
    yield spooled
    spooled.end()


def filled(spooled: Spooled) -> SpoolOutbox:
    """Return an outbox with a file in which a run, an open span and an item are."""
    outbox = spooled.outbox()
    outbox.put([active(1), item(2)], [record(RunState.STARTED)])
    return outbox


def companion(ending: str) -> Callable[[Path], None]:
    """Return what removes the one file with *ending*."""

    def remove(folder: Path) -> None:
        (path,) = folder.glob(f"*{ending}")
        path.unlink()

    return remove


CLEANERS = {
    "everything": lambda folder: shutil.rmtree(folder.parent),
    "the file": companion(DATABASE),
    "its log": companion("-wal"),
    "its index": companion("-shm"),
    "its lock": companion(LOCK),
}


@pytest.mark.parametrize("cleaner", CLEANERS.values(), ids=CLEANERS.keys())
def test_what_was_in_a_removed_file_outlives_its_process(
    spooled: Spooled, cleaner: Callable[[Path], None]
) -> None:
    """Items, runs and open spans are in a new file after the next look, and so is what comes."""

    def live_and_die() -> None:
        outbox = filled(spooled)
        cleaner(spooled.folder.path)
        outbox.look()
        outbox.put([item(3)], [])

    in_child(live_and_die)
    file = spooled.take()
    assert numbers(file.head(9)) == [1, 2, 3]
    assert numbers((0, each) for each in file.open_spans()) == [1]
    known = file.run(RUN)
    assert known is not None
    assert known.state is RunState.STARTED


def test_a_removed_file_is_said_once(spooled: Spooled, caplog: pytest.LogCaptureFixture) -> None:
    """With what to do about it, however often it happens."""
    outbox = filled(spooled)
    for _ in range(3):
        shutil.rmtree(spooled.folder.path)
        outbox.look()
    (line,) = caplog.messages
    assert "was removed while it was in use" in line
    assert str(spooled.folder.path) in line
    assert outbox.spooled() == outbox.pending() == 2
    assert not spooled.lost


def test_a_file_that_is_removed_last_of_all_is_moved_by_its_end(spooled: Spooled) -> None:
    """A later process finds what was left."""
    outbox = filled(spooled)
    shutil.rmtree(spooled.folder.path)
    outbox.close()
    assert numbers(spooled.take().head(9)) == [1, 2]


def test_a_file_that_is_done_with_leaves_nothing_even_if_it_was_removed(spooled: Spooled) -> None:
    """No new file is made for nothing."""
    outbox = spooled.outbox()
    outbox.put([item(1)], [record(RunState.ENDED)])
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    shutil.rmtree(spooled.folder.path)
    outbox.close()
    assert not spooled.folder.path.exists()


def test_what_can_be_kept_nowhere_is_not_told_to_be_on_disk(
    spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    """It is sent from memory while the process lives; once there is a place, it is safe again."""
    outbox = filled(spooled)
    data_dir = spooled.folder.path.parent
    shutil.rmtree(data_dir)
    data_dir.write_text("in the way")
    outbox.look()
    outbox.look()
    outbox.put([item(3)], [])
    assert (outbox.pending(), outbox.spooled()) == (3, 0)
    assert numbers(outbox.head(9)) == [1, 2, 3]
    (line,) = caplog.messages
    assert "kept in memory alone" in line
    data_dir.unlink()
    outbox.look()
    assert (outbox.pending(), outbox.spooled()) == (3, 2)


def test_a_program_whose_folder_is_removed_loses_nothing(tmp_path: Path) -> None:
    """By itself, within an interval; a later process delivers all of it, once."""
    api = FakeApi()
    down(api)
    made = delivery(api, tmp_path)
    record_run(made, spans=3)
    assert made.flush(within(5)).spooled
    shutil.rmtree(tmp_path / "spool")
    record_run(made, spans=4)
    assert made.flush(within(5)).spooled
    made.shutdown(within(0.5))
    api.rules.clear()
    heir = delivery(api, tmp_path)
    assert heir.flush(within(20))
    heir.shutdown(within(1))
    assert [run["status"] for run in api.instances.values()] == ["complete"] * 2
    assert len(api.spans) == 2 + 3 + 4


def test_nobody_takes_the_file_of_a_process_that_lost_its_lock(spooled: Spooled) -> None:
    """The process lives, for SQLite has the file open; before and after it made its lock again."""
    outbox = filled(spooled)
    companion(LOCK)(spooled.folder.path)
    assert taken_elsewhere(spooled) == "None"
    assert spooled.files.take() is None
    outbox.look()
    assert taken_elsewhere(spooled) == "None"
    outbox.close()
    assert taken_elsewhere(spooled) == "2"


def test_a_dead_process_without_a_lock_has_an_heir(spooled: Spooled) -> None:
    """What is left is sent, whatever became of its lock."""

    def die() -> None:
        filled(spooled)

    in_child(die)
    companion(LOCK)(spooled.folder.path)
    assert numbers(spooled.take().head(9)) == [1, 2]


class Slow(Files):
    """Loses the lock of what it takes to others, before it has opened it."""

    def __init__(self, first: Spooled, others: Spooled) -> None:
        """Take in the folder of *first*, with *others* close behind."""
        super().__init__(first.folder, wall_ns=lambda: 0, lose=first.lose)
        self.others = others
        self.theirs: list[SpoolFile] = []

    def _opened(self, claim: Claim) -> SpoolFile | None:
        companion(LOCK)(claim.path.parent)
        self.theirs.append(self.others.take())
        return super()._opened(claim)


def test_of_two_heirs_one_wins_though_the_lock_goes_between_them(spooled: Spooled) -> None:
    """The first had the lock, lost it before it had opened the file, and leaves it."""
    in_child(lambda: filled(spooled))
    others = Spooled(spooled.folder.path.parent)
    slow = Slow(spooled, others)
    assert slow.take() is None
    assert numbers(slow.theirs[0].head(9)) == [1, 2]
    others.end()


ELSEWHERE = """
import sys
from pathlib import Path
from tests.spooling import Spooled
file = Spooled(Path(sys.argv[1])).files.take()
print(file and file.pending())
"""


def taken_elsewhere(spooled: Spooled) -> str:
    """Return how many items another process finds in the file that it takes, `None` if in none."""
    command = [sys.executable, "-c", ELSEWHERE, str(spooled.folder.path.parent)]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."}
    )
    return ended.stdout.strip()
