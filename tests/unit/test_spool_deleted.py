"""Files of the spool that are deleted while they are in use: counted loss, and a new file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.delivering import delivery, down, within
from tests.delivering import record as record_run
from tests.fake_api import FakeApi
from tests.inside import Loss, Outbox, RunState
from tests.spooling import Spooled, active, in_child, item, numbers, stored_run, wait_until_written
from tests.subtests import each


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the outbox look for its file at each put, not once a second."""
    monkeypatch.setattr("remit._deliver.spool.outbox.CHECK_FILE_S", 0.0)


def filled(spooled: Spooled) -> Outbox:
    """Return an outbox with a file that holds a run, an open span and an item."""
    outbox = spooled.outbox()
    outbox.put([active(1), item(2)], [stored_run(RunState.STARTED)])
    return outbox


def delete_file(folder: Path) -> None:
    """Delete the database alone."""
    (path,) = folder.glob("*.db")
    path.unlink()


CLEANERS: dict[str, Callable[[Path], None]] = {
    "everything": lambda folder: shutil.rmtree(folder.parent),
    "the file": delete_file,
}


@each("name", CLEANERS)
def test_a_process_goes_on_with_a_new_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """What was not delivered is counted, one line says so, and ids and runs go on."""
    spooled = Spooled(tmp_path / name / "data")
    outbox = filled(spooled)
    last_id = outbox.last_id()
    CLEANERS[name](spooled.folder.path)
    outbox.put([item(3)], [])
    assert spooled.lost == {Loss.SPOOL_DAMAGED: 2}
    assert (outbox.pending(), outbox.spooled(), outbox.pending(last_id)) == (1, 1, 0)
    outbox.close()
    (line,) = [line for line in caplog.messages if str(spooled.folder.path) in line]
    assert "deleted while it was in use: 2 undelivered items" in line
    heir = Spooled(tmp_path / name / "data").take()
    assert numbers(heir.head(9)) == [3]
    assert [run.state for run in heir.open_runs()] == [RunState.STARTED]
    heir.close()


def test_a_file_that_is_done_with_leaves_nothing_even_if_it_was_deleted(tmp_path: Path) -> None:
    """No new file is made where nothing waits."""
    spooled = Spooled(tmp_path / "data")
    outbox = spooled.outbox()
    outbox.put([item(1)], [stored_run(RunState.ENDED)])
    outbox.settle([row.id for row in outbox.head(9)])
    shutil.rmtree(spooled.folder.path)
    outbox.close()
    assert not spooled.folder.path.exists()
    assert not spooled.lost


def test_what_is_deleted_before_the_end_is_not_reported_as_spooled(tmp_path: Path) -> None:
    """It is counted as lost."""
    spooled = Spooled(tmp_path / "data")
    outbox = filled(spooled)
    shutil.rmtree(tmp_path / "data")
    outbox.close()
    assert (outbox.pending(), outbox.spooled()) == (0, 0)
    assert spooled.lost == {Loss.SPOOL_DAMAGED: 2}


def test_where_no_new_file_can_be_made_everything_is_in_memory(tmp_path: Path) -> None:
    """What is recorded then is sent from memory while the process lives."""
    spooled = Spooled(tmp_path / "data")
    outbox = filled(spooled)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").write_text("in the way")
    outbox.put([item(3)], [])
    assert (outbox.pending(), outbox.spooled()) == (1, 0)
    assert numbers(outbox.head(9)) == [3]
    assert spooled.lost == {Loss.SPOOL_DAMAGED: 2}
    spooled.end()


def test_a_program_whose_folder_is_deleted_delivers_or_counts_everything(tmp_path: Path) -> None:
    """The process writes into a new file by itself, and a later process sends it."""
    api = FakeApi()
    down(api)
    made = delivery(api, tmp_path)
    record_run(made, spans=3)
    wait_until_written(made.status)
    shutil.rmtree(tmp_path / "spool")
    record_run(made, spans=4)
    wait_until_written(made.status)
    lost = made.status().dropped[Loss.SPOOL_DAMAGED]
    made.shutdown(within(0.5))
    api.rules.clear()
    heir = delivery(api, tmp_path)
    assert heir.flush(within(60))
    heir.shutdown(within(1))
    # A run has four items besides its spans.
    assert lost == 4 + 3
    assert sorted(str(run["status"]) for run in api.instances.values()) == ["complete", "failed"]
    assert len(api.names()) == 4


def test_a_dead_process_without_a_lock_has_an_heir(tmp_path: Path) -> None:
    """What it left is sent although its lock was removed."""
    spooled = Spooled(tmp_path / "data")
    in_child(lambda: filled(spooled))
    (path,) = spooled.folder.path.glob("*.lock")
    path.unlink()
    assert numbers(spooled.take().head(9)) == [1, 2]
    spooled.end()
