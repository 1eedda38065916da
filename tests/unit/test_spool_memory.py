"""Where the spool cannot be written: memory alone, said once, and back to the disk when it can."""

from __future__ import annotations

import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from remit._spool import RunState, SpoolOutbox
from remit._spool.database import Database
from tests.spooling import RUN, Spooled, in_child, item, numbers, record

OTHER = "01m87w83jttgb1tsy0aqwcmb8s"


def test_without_a_folder_that_can_be_made_everything_is_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says what is wrong and what it means; nothing is lost while the process lives."""
    (tmp_path / "data").write_text("a file where the folder should be")
    spooled = Spooled(tmp_path / "data")
    outbox = spooled.outbox()
    for number in range(3):
        outbox.put([item(number)], [record()] if not number else [])
    assert numbers(outbox.head(9)) == [0, 1, 2]
    assert (outbox.pending(), outbox.spooled()) == (3, 0)
    known = outbox.run(RUN)
    assert known is not None
    outbox.save_run(known)
    outbox.set_aside(outbox.head(1), "bad_request")
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    outbox.forget_run(RUN)
    assert outbox.pending() == 0
    assert outbox.oldest_ns() is None
    outbox.close()
    (line,) = caplog.messages
    assert "cannot be used" in line
    assert "memory alone" in line
    assert "data_dir" in line


def full(outbox: SpoolOutbox) -> Database:
    """Leave an outbox no more room on the disk; return its database, to give it some again."""
    assert outbox._file is not None
    database = outbox._file._database
    assert database is not None
    database._connection.execute("PRAGMA max_page_count = 1")
    return database


def test_what_is_in_memory_comes_after_what_is_on_disk_and_the_disk_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When it was full for a while: order is kept, and only what is in memory could be lost."""
    spooled = Spooled(tmp_path)
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [record()])
    database = full(outbox)
    outbox.put([item(3, b'"%s"' % (b"x" * 100_000))], [])
    outbox.put([item(4)], [])
    assert numbers(outbox.head(9)) == [1, 2, 3, 4]
    assert numbers(outbox.head(3)) == [1, 2, 3]
    newest = outbox.last_id()
    assert (outbox.pending(), outbox.spooled()) == (4, 2)
    database._connection.execute("PRAGMA max_page_count = 1000000")
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    outbox.put([item(5)], [])
    assert (outbox.pending(), outbox.spooled()) == (1, 1)
    assert outbox.pending(newest) == 0
    assert numbers(outbox.head(9)) == [5]
    assert len(caplog.messages) == 1
    spooled.end()


def test_what_is_still_in_memory_at_the_end_goes_to_a_disk_that_does_again(tmp_path: Path) -> None:
    """Behind what is in the file; a run that began in memory is there to be ended."""
    spooled = Spooled(tmp_path)
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [record()])
    database = full(outbox)
    other = replace(record(), key=OTHER)
    outbox.put([item(3, b'"%s"' % (b"x" * 100_000)), item(4, run=OTHER)], [other])
    outbox.put([item(5)], [])
    assert (outbox.pending(), outbox.spooled()) == (5, 2)
    database._connection.execute("PRAGMA max_page_count = 1000000")
    sent = outbox.head(3)
    outbox.close()
    assert (outbox.pending(), outbox.spooled()) == (5, 5)
    outbox.settle([row_id for row_id, _ in sent])
    left = spooled.take()
    assert numbers(left.head(9)) == [1, 2, 3, 4, 5]
    assert {each.key for each in left.open_runs()} == {RUN, OTHER}
    spooled.end()


def test_at_the_end_a_file_is_made_where_none_could_be_before(tmp_path: Path) -> None:
    """And where none can be made to the last, what is in memory is not said to be on disk."""
    (tmp_path / "data").write_text("a file where the folder should be")
    spooled, other = Spooled(tmp_path / "data"), Spooled(tmp_path / "data")
    outbox, lost = spooled.outbox(), other.outbox()
    for each in (outbox, lost):
        each.put([item(1)], [record()])
    lost.close()
    assert (lost.pending(), lost.spooled()) == (1, 0)
    (tmp_path / "data").unlink()
    outbox.close()
    assert (outbox.pending(), outbox.spooled()) == (1, 1)
    assert numbers(spooled.take().head(9)) == [1]
    spooled.end()


def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """Files that may not grow: nothing raises, what was written before is still there."""

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        outbox = Spooled(tmp_path).outbox()
        outbox.put([item(0)], [record(RunState.STARTED)])
        for number in range(1, 200):
            outbox.put([item(number, b'"%s"' % (b"x" * 10_000))], [])
        assert outbox.pending() == 200
        assert 1 < outbox.spooled() < 200
        rows = outbox.head(1000)
        assert numbers(rows) == list(range(len(rows)))

    in_child(fill)
    spooled = Spooled(tmp_path)
    found = numbers(spooled.take().head(1000))
    spooled.end()
    assert found == list(range(len(found)))
    assert len(found) > 1


def test_a_folder_that_goes_away_is_survived(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody deletes the data folder under a running process."""
    outbox = Spooled(tmp_path).outbox()
    outbox.put([item(1)], [record()])
    shutil.rmtree(tmp_path / "spool")
    outbox.put([item(2)], [])
    assert numbers(outbox.head(9)) == [1, 2]
    outbox.settle([row_id for row_id, _ in outbox.head(9)])
    outbox.close()
    assert len(caplog.messages) <= 1


def test_a_file_that_cannot_be_read_any_more_is_left_to_a_later_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes afterwards is in memory and goes on being delivered."""
    outbox = Spooled(tmp_path, keep_bytes=0).outbox()
    outbox.put([item(1)], [record()])
    file = outbox._file
    assert file is not None
    assert file._database is not None
    file._database._connection.execute("ALTER TABLE chunk RENAME TO elsewhere")
    assert outbox.head(9) == []
    outbox.put([item(2)], [])
    assert numbers(outbox.head(9)) == [2]
    assert (outbox.pending(), outbox.spooled()) == (2, 1)
    assert len(caplog.messages) == 1
    outbox.close()
