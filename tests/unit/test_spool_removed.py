"""Files of the spool that are removed while they are in use."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from remit._spool import RunState, SpoolOutbox
from tests.delivering import delivery, down, within
from tests.delivering import record as record_run
from tests.fake_api import FakeApi
from tests.spooling import Spooled, active, in_child, item, numbers, record, wait_until_written
from tests.subtests import each


def filled(spooled: Spooled) -> SpoolOutbox:
    """Return an outbox with a file that holds a run, an open span and an item."""
    outbox = spooled.outbox()
    outbox.put([active(1), item(2)], [record(RunState.STARTED)])
    return outbox


def companion(ending: str) -> Callable[[Path], None]:
    """Return what removes the one file with *ending* from a folder."""

    def remove(folder: Path) -> None:
        (path,) = folder.glob(f"*{ending}")
        path.unlink()

    return remove


CLEANERS: dict[str, Callable[[Path], None]] = {
    "everything": lambda folder: shutil.rmtree(folder.parent),
    "the file": companion(".db"),
    "its log": companion("-wal"),
    "its index": companion("-shm"),
    "its lock": companion(".lock"),
}


@each("name", CLEANERS)
def test_a_process_goes_on_after_its_file_was_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """A later process finds what comes afterwards; what came before is there or is counted."""
    spooled = Spooled(tmp_path / name / "data")
    outbox = filled(spooled)
    for number in (3, 4):
        CLEANERS[name](spooled.folder.path)
        outbox.look()
        outbox.put([item(number)], [])
    outbox.close()
    found = [int.from_bytes(row.key) for row in Spooled(tmp_path / name / "data").adopted()]
    assert found[-1:] == [4]
    assert found == sorted(set(found))
    assert len(found) + sum(spooled.lost.values()) == 4
    assert len([line for line in caplog.messages if str(spooled.folder.path) in line]) <= 1


def test_a_file_that_is_done_with_leaves_nothing_even_if_it_was_removed(tmp_path: Path) -> None:
    """No new file is made where nothing waits."""
    spooled = Spooled(tmp_path / "data")
    outbox = spooled.outbox()
    outbox.put([item(1)], [record(RunState.ENDED)])
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    shutil.rmtree(spooled.folder.path)
    outbox.close()
    assert not spooled.folder.path.exists()


def test_what_can_be_kept_nowhere_is_not_reported_as_spooled(tmp_path: Path) -> None:
    """What is recorded then is sent from memory while the process lives."""
    spooled = Spooled(tmp_path / "data")
    outbox = filled(spooled)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").write_text("in the way")
    outbox.look()
    outbox.put([item(3)], [])
    assert outbox.spooled() == 0
    assert numbers(outbox.head(9))[-1] == 3
    assert outbox.pending() + sum(spooled.lost.values()) == 3
    spooled.end()


def test_a_program_whose_folder_is_removed_delivers_or_counts_everything(tmp_path: Path) -> None:
    """The process writes into a new file by itself, and a later process sends it."""
    api = FakeApi()
    down(api)
    made = delivery(api, tmp_path)
    record_run(made, spans=3)
    wait_until_written(made.status)
    shutil.rmtree(tmp_path / "spool")
    record_run(made, spans=4)
    wait_until_written(made.status)
    made.shutdown(within(0.5))
    lost = sum(made.status().dropped.values())
    api.rules.clear()
    heir = delivery(api, tmp_path)
    assert heir.flush(within(20))
    heir.shutdown(within(1))
    assert [run["status"] for run in api.instances.values()][-1] == "complete"
    assert len(api.names()) >= 4
    assert len(api.names()) + lost >= 3 + 4


def test_a_dead_process_without_a_lock_has_an_heir(tmp_path: Path) -> None:
    """What it left is sent although its lock was removed."""
    spooled = Spooled(tmp_path / "data")
    in_child(lambda: filled(spooled))
    companion(".lock")(spooled.folder.path)
    assert numbers(spooled.take().head(9)) == [1, 2]
    spooled.end()
