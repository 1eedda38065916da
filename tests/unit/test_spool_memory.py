"""A spool that cannot be written: memory only, one line in the log, then the disk again."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from remit._deliver.spool.outbox import Outbox
from remit._deliver.stored import RunState
from tests.spooling import RUN, Spooled, in_child, item, numbers, stored_run

OTHER = "01m87w83jttgb1tsy0aqwcmb8s"


@contextmanager
def full_disk() -> Generator[None]:
    """Have every write to a file fail while the block runs, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_a_folder_that_can_be_made_everything_is_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost while the process lives; one line of the log gives the cause."""
    (tmp_path / "data").write_text("a file where the folder should be")
    outbox = Spooled(tmp_path / "data").outbox()
    for number in range(3):
        outbox.put([item(number)], [stored_run()] if not number else [])
    assert numbers(outbox.head(9)) == [0, 1, 2]
    assert (outbox.pending(), outbox.spooled()) == (3, 0)
    known = outbox.run(RUN)
    assert known is not None
    outbox.save_run(known)
    for row in outbox.head(1):
        outbox.set_aside(row, "bad_request")
    outbox.settle([row.id for row in outbox.head(9)])
    outbox.forget_run(RUN)
    assert outbox.pending() == 0
    assert outbox.oldest_ns() is None
    outbox.close()
    (line,) = caplog.messages
    assert "cannot be used" in line
    assert "memory only" in line
    assert "data_dir" in line


def test_what_is_in_memory_comes_after_what_is_on_disk_and_the_disk_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Order is kept over a disk that is full for a while; the log has one line."""
    spooled = Spooled(tmp_path)
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [stored_run()])
    with full_disk():
        outbox.put([item(3)], [])
        outbox.put([item(4)], [])
        assert numbers(outbox.head(9)) == [1, 2, 3, 4]
        assert numbers(outbox.head(3)) == [1, 2, 3]
        newest = outbox.last_id()
        assert (outbox.pending(), outbox.spooled()) == (4, 2)
    outbox.settle([row.id for row in outbox.head(9)])
    outbox.put([item(5)], [])
    assert (outbox.pending(), outbox.spooled()) == (1, 1)
    assert outbox.pending(newest) == 0
    assert numbers(outbox.head(9)) == [5]
    assert len(caplog.messages) == 1
    spooled.end()


def test_rows_in_memory_are_written_when_the_disk_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although none of them is delivered; they keep their ids, so that a sender can settle them."""
    monkeypatch.setattr("remit._deliver.spool.outbox.RETRY_S", 0.0)
    spooled = Spooled(tmp_path)
    outbox = spooled.outbox()
    outbox.put([item(1)], [stored_run()])
    with full_disk():
        outbox.put([item(2), item(3, run=OTHER)], [replace(stored_run(), key=OTHER)])
        rows = outbox.head(9)
        outbox.settle([rows[1].id])
        assert (outbox.pending(), outbox.spooled()) == (2, 1)
    outbox.put([item(4)], [])
    assert (outbox.pending(), outbox.spooled()) == (3, 3)
    assert outbox.head(9)[:2] == [rows[0], rows[2]]
    outbox.close()
    left = spooled.take()
    assert numbers(left.head(9)) == [1, 3, 4]
    assert {run.key for run in left.open_runs()} == {RUN, OTHER}
    spooled.end()


@pytest.mark.parametrize("ends", [False, True], ids=["later", "at the end"])
def test_rows_in_memory_are_written_as_far_as_the_spool_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ends: bool
) -> None:
    """The bound of the folder holds after a disk that was full; the rest stays in memory."""
    monkeypatch.setattr("remit._deliver.spool.outbox.RETRY_S", 0.0)
    spooled = Spooled(tmp_path, max_bytes=1 << 20)
    outbox = spooled.outbox()
    outbox.put([item(0)], [stored_run()])
    with full_disk():
        for number in range(1, 300):
            outbox.put([item(number, b'"%s"' % (b"x" * 10_000))], [])
    if ends:
        outbox.close()
    else:
        outbox.put([item(300)], [])
    assert outbox.pending() == 300 + (not ends)
    assert 10 < outbox.spooled() < 100
    assert spooled.folder.size_bytes() <= 1 << 20
    assert not spooled.lost
    spooled.end()


@pytest.mark.parametrize("disk", ["none", "full"])
def test_runs_that_come_and_go_leave_nothing_in_memory(tmp_path: Path, disk: str) -> None:
    """A process without a disk may have any number of them."""
    outbox = Outbox(None) if disk == "none" else Spooled(tmp_path).outbox()
    outbox.put([], [stored_run()])
    with full_disk():
        tracemalloc.start()
        for number in range(2_000):
            outbox.put([], [replace(stored_run(), key=f"{number:026}")])
            outbox.forget_run(f"{number:026}")
        gc.collect()  # Python 3.13 leaves more errors of writes to it than other versions
        grown_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert grown_bytes < 100_000
    outbox.close()


def test_what_is_still_in_memory_at_the_end_goes_to_a_disk_that_works_again(
    tmp_path: Path,
) -> None:
    """It is written after what is in the file, with the runs that began in memory."""
    spooled = Spooled(tmp_path)
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [stored_run()])
    with full_disk():
        outbox.put([item(3), item(4, run=OTHER)], [replace(stored_run(), key=OTHER)])
        outbox.put([item(5)], [])
        assert (outbox.pending(), outbox.spooled()) == (5, 2)
        sent = outbox.head(3)
    outbox.close()
    assert (outbox.pending(), outbox.spooled()) == (5, 5)
    outbox.settle([row.id for row in sent])
    left = spooled.take()
    assert numbers(left.head(9)) == [1, 2, 3, 4, 5]
    assert {run.key for run in left.open_runs()} == {RUN, OTHER}
    spooled.end()


def test_at_the_end_a_file_is_made_where_none_could_be_before(tmp_path: Path) -> None:
    """Where none can be made even then, what is in memory is not reported as spooled."""
    (tmp_path / "data").write_text("a file where the folder should be")
    spooled, other = Spooled(tmp_path / "data"), Spooled(tmp_path / "data")
    outbox, lost = spooled.outbox(), other.outbox()
    for one in (outbox, lost):
        one.put([item(1)], [stored_run()])
    lost.close()
    assert (lost.pending(), lost.spooled()) == (1, 0)
    (tmp_path / "data").unlink()
    outbox.close()
    assert (outbox.pending(), outbox.spooled()) == (1, 1)
    assert numbers(spooled.take().head(9)) == [1]
    spooled.end()


def test_what_was_written_before_the_disk_was_full_outlives_the_process(tmp_path: Path) -> None:
    """No put raises, and no row is lost while the process lives."""

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        outbox = Spooled(tmp_path).outbox()
        outbox.put([item(0)], [stored_run(RunState.STARTED)])
        for number in range(1, 200):
            outbox.put([item(number, b'"%s"' % (b"x" * 10_000))], [])
        assert outbox.pending() == 200
        assert 1 < outbox.spooled() < 200
        rows = outbox.head(1000)
        assert numbers(rows) == list(range(len(rows)))

    in_child(fill)
    found = [int.from_bytes(row.key) for row in Spooled(tmp_path).adopted()]
    assert found == list(range(len(found)))
    assert len(found) > 1
