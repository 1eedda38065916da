"""What is on disk and in memory too: sent without being read, and never more than there is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from remit._losses import Loss, cost
from remit._spool import SpoolOutbox
from remit._spool.database import Database
from remit._spool.packing import Body
from tests.spooling import Make, folders, item, numbers, record

MIB = 1 << 20
PAYLOAD = b'{"text":"%b"}' % (b"x" * 1000)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    """Return what opens a folder of the test's own."""
    with folders(tmp_path) as make:
        yield make


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the ids of the chunks that are read from disk."""
    ids: list[int] = []
    bodies = Database.bodies

    def noted(database: Database, chunk_ids: Collection[int]) -> dict[int, Body]:
        ids.extend(chunk_ids)
        return bodies(database, chunk_ids)

    monkeypatch.setattr(Database, "bodies", noted)
    return ids


def settled(outbox: SpoolOutbox, limit: int = 1000) -> list[int]:
    """Take the first rows out of an outbox, and return the numbers of their items."""
    rows = outbox.head(limit)
    outbox.settle([row_id for row_id, _ in rows])
    return numbers(rows)


def test_what_was_put_is_sent_without_being_read(made: Make, read: list[int]) -> None:
    """Also when it is looked at twice, the second time without what was settled."""
    outbox = made().outbox()
    outbox.put([item(1), item(2)], [record()])
    outbox.put([item(3)], [])
    rows = outbox.head(2)
    assert numbers(rows) == [1, 2]
    outbox.settle([rows[0][0]])
    assert numbers(outbox.head(9)) == [2, 3]
    assert not read


def test_it_is_on_disk_all_the_same(made: Make, read: list[int]) -> None:
    """A later process reads it."""
    spooled = made()
    outbox = spooled.outbox()
    outbox.put([item(1), item(2)], [record()])
    outbox.close()
    assert numbers(spooled.take().head(9)) == [1, 2]
    assert len(read) == 1


def test_no_more_is_kept_than_there_is_room_for(made: Make, read: list[int]) -> None:
    """What came first, for that is sent first; and more again when that has gone."""
    outbox = made(keep_bytes=2 * cost(item(1))).outbox()
    for number in range(1, 5):
        outbox.put([item(number)], [record()])
    assert settled(outbox) == [1, 2, 3, 4]
    assert len(read) == 2
    outbox.put([item(5)], [])
    outbox.put([item(6)], [])
    assert settled(outbox) == [5, 6]
    assert len(read) == 2


def test_what_was_given_up_on_disk_is_not_sent_from_memory(made: Make) -> None:
    """Else what is counted as lost would arrive, and a run would be told that it did not."""
    spooled = made(max_bytes=MIB)
    outbox = spooled.outbox()
    outbox.put([], [record()])
    for first in range(0, 1000, 100):
        outbox.put([item(number, payload=PAYLOAD) for number in range(first, first + 100)], [])
    rows = outbox.head(1000)
    assert len(rows) + spooled.lost[Loss.SPOOL_FULL] == 1000
    bare = [content for _, (*_, content, _result) in rows if content != PAYLOAD]
    assert spooled.lost[Loss.PAYLOAD_SPOOL_FULL] > 0
    assert len(bare) == spooled.lost[Loss.PAYLOAD_SPOOL_FULL]
