"""A full spool: what is given up, in which order, and that it is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remit._losses import Loss
from remit._spool import RunState, SpoolOutbox
from tests.spooling import RUN, Spooled, active, close, finish, item, numbers, record

MIB = 1 << 20
PAYLOAD = b'"%s"' % (b"x" * 9_990)


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[Spooled]:
    """Return a folder that takes two megabytes."""
    spooled = Spooled(tmp_path, max_bytes=2 * MIB)
    yield spooled
    spooled.end()


def fill(outbox: SpoolOutbox, items: int, payload: bytes = PAYLOAD, *, first: int = 100) -> None:
    """Put spans, ten at a time."""
    for begin in range(first, first + items, 10):
        outbox.put([item(number, payload) for number in range(begin, begin + 10)], [])


def everything(outbox: SpoolOutbox) -> list[tuple[int, bytes | None]]:
    """Return number and payload of every row, emptying the outbox."""
    found: list[tuple[int, bytes | None]] = []
    while rows := outbox.head(1000):
        found += [(each[2], each[8]) for _, each in rows]
        outbox.settle([row_id for row_id, _ in rows])
    return found


def test_the_payloads_of_the_oldest_spans_go_first(spooled: Spooled) -> None:
    """All spans are there, the newest whole; what went is counted, and the folder stays bounded."""
    outbox = spooled.outbox()
    outbox.put([active(1, None)], [record()])
    largest = 0
    for first in range(100, 1100, 100):
        fill(outbox, 100, first=first)
        largest = max(largest, spooled.folder.size_bytes())
    assert largest <= 2 * MIB + MIB / 2
    found = everything(outbox)
    assert [number for number, _ in found] == [1, *range(100, 1100)]
    bare = [number for number, payload in found if payload and b"$remit" in payload]
    assert bare == list(range(100, 100 + len(bare)))
    assert 800 < len(bare) < 1000
    assert spooled.lost == {Loss.PAYLOAD_SPOOL_FULL: len(bare)}
    assert found[0][1] == b'{"n":1}', "a beginning keeps its payload"


def test_then_the_oldest_spans_go_and_runs_keep_their_ends(spooled: Spooled) -> None:
    """A run that lost spans knows how many; its root and its end are there."""
    outbox = spooled.outbox()
    root = record().root
    outbox.put([active(root, None), active(1)], [record()])
    outbox.put([finish(root, None), close()], [])
    fill(outbox, 30_000, b"{}")
    found = [number for number, _ in everything(outbox)]
    assert found[:4] == [root, 1, root, root]
    kept = found[4:]
    assert kept == list(range(30_100 - len(kept), 30_100)), "the newest are there"
    assert 0 < len(kept) < 30_000
    assert spooled.lost[Loss.SPOOL_FULL] == 30_000 - len(kept)
    assert spooled.runs_lost == {RUN: 30_000 - len(kept)}


def test_what_a_server_refused_goes_before_what_can_be_delivered(spooled: Spooled) -> None:
    """It was refused for good; it is kept only while there is room."""
    outbox = spooled.outbox()
    outbox.put([item(number, PAYLOAD) for number in range(30)], [record(RunState.SET_ASIDE)])
    outbox.set_aside(outbox.head(30), "bad_request")
    put = 0
    while not spooled.lost:
        fill(outbox, 10)
        put += 10
    assert next(iter(spooled.lost.items())) == (Loss.ASIDE_SPOOL_FULL, 30)
    assert len(everything(outbox)) == put


def test_what_the_sender_holds_is_left_alone(spooled: Spooled) -> None:
    """Else something could be counted as lost that was delivered."""
    outbox = spooled.outbox()
    outbox.put([item(number, PAYLOAD) for number in range(10)], [record()])
    held = outbox.head(10)
    fill(outbox, 400)
    assert outbox.head(10) == held
    outbox.settle([row_id for row_id, _ in held])
    bare = [number for number, payload in everything(outbox) if payload and b"$remit" in payload]
    assert spooled.lost == {Loss.PAYLOAD_SPOOL_FULL: len(bare)}
    assert bare


def test_the_bound_is_for_all_processes_together(spooled: Spooled) -> None:
    """Where others fill the folder, new spans find no room and are counted; runs still do."""
    other = Spooled(spooled.folder.path.parent, token="another")
    others = other.outbox()
    fill(others, 250)
    outbox = spooled.outbox()
    outbox.put([active(record().root, None), item(1, PAYLOAD), close()], [record()])
    assert numbers(outbox.head(9)) == [record().root, record().root]
    assert spooled.lost == {Loss.SPOOL_FULL: 1}
    assert other.lost == {}
    assert others.pending() == 250
    other.end()


def test_a_damaged_chunk_that_is_in_the_way_is_given_up(spooled: Spooled) -> None:
    """Nobody can tell what it was; the rest finds its room."""
    outbox = spooled.outbox()
    fill(outbox, 150)
    file = outbox._file
    assert file is not None
    assert file._database is not None
    file._database._connection.execute("UPDATE chunk SET crc = 0 WHERE id = 1")
    fill(outbox, 100, first=300)
    assert spooled.lost[Loss.SPOOL_DAMAGED] == 10
    assert 100 not in [number for number, _ in everything(outbox)]
