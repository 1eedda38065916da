"""What cannot be read of a spool file is said, counted, and put aside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remit._losses import Loss
from remit._spool.listing import listed
from tests.spooling import Spooled, in_child, item, numbers, record

PUTS = 12
SAID = "the log of the spool's file"


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[Spooled]:
    """Return a folder of the test's own."""
    spooled = Spooled(tmp_path)
    yield spooled
    spooled.end()


def left(spooled: Spooled, ending: str) -> Path:
    """Have a killed process leave a file, and return what of it has the *ending*."""

    def record_and_die() -> None:
        outbox = spooled.outbox()
        outbox.put([], [record()])
        for number in range(PUTS):
            outbox.put([item(number, b'"%s"' % (b"x" * 5000))], [])

    in_child(record_and_die)
    (path,) = spooled.folder.path.glob(f"*{ending}")
    return path


def alter(path: Path, at: int) -> None:
    """Overwrite bytes of a file in its middle."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xaa" * 16)


def test_what_follows_damage_in_a_log_is_not_lost_in_silence(
    spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite takes it for what was never committed: it is said and counted, and the log kept."""
    log = left(spooled, ".db-wal")
    alter(log, log.stat().st_size * 3 // 4)
    altered = log.read_bytes()

    found = numbers(spooled.take().head(99))
    assert found == list(range(len(found)))
    assert 0 < len(found) < PUTS
    assert spooled.lost[Loss.SPOOL_DAMAGED] == 1, "nobody can tell how many"
    assert caplog.text.count(SAID) == 1
    (kept,) = spooled.folder.path.glob("*.damaged")
    assert kept.read_bytes() == altered
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5])
def test_a_log_that_was_cut_is_said_and_counted(
    spooled: Spooled, caplog: pytest.LogCaptureFixture, part: float
) -> None:
    """Also where nothing is left by which the file could be told from a new one."""
    log = left(spooled, ".db-wal")
    os.truncate(log, int(log.stat().st_size * part))
    file = spooled.files.take()
    if file is not None:
        file.close()
    assert spooled.lost[Loss.SPOOL_DAMAGED] == 1
    assert caplog.text.count(SAID) == 1


def test_to_look_at_a_damaged_log_does_not_do_away_with_it(
    spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    """`remit spool status` leaves it to who sends the file, and changes nothing."""
    log = left(spooled, ".db-wal")
    alter(log, log.stat().st_size * 3 // 4)
    before = {path.name: path.read_bytes() for path in spooled.folder.path.iterdir()}
    altered = log.read_bytes()
    (file,) = listed(spooled.folder)
    assert 0 < file.items < PUTS
    assert {path.name: path.read_bytes() for path in spooled.folder.path.iterdir()} == before
    assert len(spooled.take().head(99)) == file.items
    assert caplog.text.count(SAID) == 1
    (kept,) = spooled.folder.path.glob("*.damaged")
    assert kept.read_bytes() == altered


def test_a_log_in_order_is_not_called_damaged(
    spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    """The file of a process that was killed is taken without a word, index or no index."""
    left(spooled, ".db-wal")
    listed(spooled.folder)
    assert numbers(spooled.take().head(99)) == list(range(PUTS))
    assert not spooled.lost
    assert not caplog.text


def test_an_index_that_says_nothing_is_no_damage(
    spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite makes it anew."""
    alter(left(spooled, ".db-shm"), 0)
    assert numbers(spooled.take().head(99)) == list(range(PUTS))
    assert not spooled.lost
    assert not caplog.text


def test_chunks_that_cannot_be_read_are_said_once(
    spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is counted; the chunks beside them are sent."""
    path = left(spooled, ".db")
    with closing(sqlite3.connect(path)) as connection, connection:
        first_two = "SELECT id FROM chunk ORDER BY id LIMIT 2"
        connection.execute(f"UPDATE chunk SET crc = crc + 1 WHERE id IN ({first_two})")
    assert len(spooled.take().head(99)) == PUTS - 2
    assert spooled.lost[Loss.SPOOL_DAMAGED] == 2
    assert caplog.text.count("a part of the spool's file") == 1


def test_a_part_of_a_table_that_cannot_be_read_is_counted(
    spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can tell how many items were there; that some were is not kept back."""
    path = left(spooled, ".db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'chunk'")
        ((page_bytes,),) = connection.execute("PRAGMA page_size")
    alter(path, (page - 1) * page_bytes)
    spooled.take()
    assert spooled.lost[Loss.SPOOL_DAMAGED] == 1
    assert caplog.text.count("was put aside") == 1
