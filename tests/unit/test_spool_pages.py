"""The pages of a spool's file: large ones where much is allowed, and those that a file has."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remit._spool import RunState, SpoolOutbox
from remit._spool.database import (
    MAX_LOG_BYTES,
    PAGE_BYTES,
    SMALL_FOLDER_BYTES,
    SMALL_MAX_LOG_BYTES,
    SMALL_PAGE_BYTES,
)
from remit._spool.folder import DATABASE
from remit._spool.room import MAX_SPARE_BYTES
from tests.spooling import GIB, Make, Spooled, active, folders, in_child, item, numbers, record

SIZES = {
    "much": (GIB, PAGE_BYTES, MAX_LOG_BYTES),
    "little": (SMALL_FOLDER_BYTES - 1, SMALL_PAGE_BYTES, SMALL_MAX_LOG_BYTES),
    "least": (1 << 20, SMALL_PAGE_BYTES, (1 << 20) // 8),
}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    """Return what opens a folder of the test's own."""
    with folders(tmp_path) as make:
        yield make


def pages(data_dir: Path) -> int:
    """Return the size of the pages of the one file."""
    (path,) = data_dir.rglob(f"*{DATABASE}")
    with closing(sqlite3.connect(path)) as connection:
        ((size_bytes,),) = connection.execute("PRAGMA page_size")
    return int(size_bytes)


@pytest.mark.parametrize(
    ("max_bytes", "page_bytes", "most_bytes"), SIZES.values(), ids=SIZES.keys()
)
def test_a_new_file_has_pages_and_a_log_that_suit_its_folder(
    made: Make, tmp_path: Path, max_bytes: int, page_bytes: int, most_bytes: int
) -> None:
    """And the log is as long as it is allowed to be, whatever the pages are."""
    outbox = made(max_bytes=max_bytes).outbox()
    outbox.put([item(1)], [record()])
    assert pages(tmp_path) == page_bytes
    log_pages, log_bytes = log_of(outbox)
    assert log_bytes == most_bytes
    assert log_bytes - page_bytes < log_pages * page_bytes <= log_bytes


def log_of(outbox: SpoolOutbox) -> tuple[int, int]:
    """Return at how many pages the log goes into the file, and how large it may stay."""
    assert outbox._file is not None
    assert outbox._file._database is not None
    connection = outbox._file._database._connection
    ((log_pages,),) = connection.execute("PRAGMA wal_autocheckpoint")
    ((log_bytes,),) = connection.execute("PRAGMA journal_size_limit")
    return int(log_pages), int(log_bytes)


def test_the_logs_of_many_processes_are_no_longer_together(made: Make) -> None:
    """Eight logs of an eighth of the folder would fill it, and their files once more."""
    outboxes = [made().outbox() for _ in range(8)]
    for number, outbox in enumerate(outboxes):
        outbox.put([item(number)], [record(RunState.ENDED)])
    last = outboxes[-1]
    shared = MAX_LOG_BYTES // len(outboxes)
    assert log_of(last) == (shared // PAGE_BYTES, shared)
    assert last._file is not None
    last._file.claim.path.unlink()
    last.look()
    last.put([item(9)], [])
    assert log_of(last) == (shared // PAGE_BYTES, shared)
    for outbox in outboxes[:-1]:
        outbox.settle([row_id for row_id, _ in outbox.head(9)])
        outbox.close()
    last.put([item(10, payload=b"x" * MAX_SPARE_BYTES)], [])
    assert log_of(last) == (MAX_LOG_BYTES // PAGE_BYTES, MAX_LOG_BYTES)


def test_a_file_with_other_pages_is_moved_as_it_is(made: Make, tmp_path: Path) -> None:
    """One that a cleaner removed while it was sent: SQLite copies no page into a larger one."""
    in_child(
        lambda: (
            Spooled(tmp_path, max_bytes=SMALL_FOLDER_BYTES - 1)
            .outbox()
            .put([active(1), item(2)], [record(RunState.STARTED)])
        )
    )
    file = made().take()
    file.claim.path.unlink()
    assert file.look()
    assert not file.adrift
    assert pages(tmp_path) == SMALL_PAGE_BYTES
    assert numbers(file.head(9)) == [1, 2]
