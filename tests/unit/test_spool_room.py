"""A full spool: what is given up, in which order, and that it is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remit._clock import SystemClock
from remit._losses import Loss
from remit._spool import Files, Folder, Identity, RunState, SpoolOutbox
from tests.spooling import (
    RUN,
    TARGET,
    TOKEN,
    Spooled,
    active,
    close,
    finish,
    item,
    numbers,
    record,
)

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
    fill(outbox, 100)
    file = outbox._file
    assert file is not None
    assert file._database is not None
    file._database._connection.execute("UPDATE chunk SET crc = 0 WHERE id = 1")
    fill(outbox, 150, first=300)
    assert spooled.lost[Loss.SPOOL_DAMAGED] == 10
    assert 100 not in [number for number, _ in everything(outbox)]


def test_when_all_payloads_are_gone_new_ones_are_not_written(spooled: Spooled) -> None:
    """They would go next; once the sender has made room they are written again."""
    outbox = spooled.outbox()
    outbox.put([active(record().root, None)], [record()])
    fill(outbox, 20_000, b'"%s"' % (b"x" * 998))
    assert spooled.lost[Loss.SPOOL_FULL] > 0
    found = everything(outbox)[1:]
    assert all(payload and b"$remit" in payload for _, payload in found)
    assert spooled.lost[Loss.SPOOL_FULL] == 20_000 - len(found)
    assert spooled.lost[Loss.PAYLOAD_SPOOL_FULL] >= len(found)
    fill(outbox, 100, first=50_000)
    assert [payload for _, payload in everything(outbox)] == [PAYLOAD] * 100


def test_what_was_delivered_is_not_counted_as_given_up(spooled: Spooled) -> None:
    """Also where a chunk is dropped of which the sender has had a part."""
    outbox = spooled.outbox()
    outbox.put([item(number, b"{}") for number in range(400)], [record()])
    outbox.settle([row_id for row_id, _ in outbox.head(400)[:150]])
    fill(outbox, 20_000, b"{}", first=1000)
    outbox.put([item(number, b"{}") for number in range(50_000, 50_400)], [])
    kept = everything(outbox)
    assert 150 + len(kept) + spooled.lost[Loss.SPOOL_FULL] == 20_800
    assert spooled.runs_lost == {RUN: spooled.lost[Loss.SPOOL_FULL]}


def test_the_bound_holds_while_several_processes_grow(tmp_path: Path) -> None:
    """Each adds no more than a sixteenth before it looks again."""
    every = [Spooled(tmp_path, token=str(number), max_bytes=8 * MIB) for number in range(4)]
    outboxes = [spooled.outbox() for spooled in every]
    largest = 0
    for first in range(0, 600, 10):
        for outbox in outboxes:
            fill(outbox, 10, first=first)
        largest = max(largest, every[0].folder.size_bytes())
    assert 6 * MIB < largest <= 8 * MIB + 4 * 8 * MIB / 16
    kept = sum(outbox.pending() for outbox in outboxes)
    assert kept + sum(spooled.lost[Loss.SPOOL_FULL] for spooled in every) == 4 * 600
    for spooled in every:
        spooled.end()


def test_a_folder_with_room_is_looked_at_seldom(tmp_path: Path) -> None:
    """A look costs the writer's thread ten calls of the system, and a wait for each."""
    looks = 0

    class Seen(Folder):
        def taken(self) -> tuple[int, int]:
            nonlocal looks
            looks += 1
            return super().taken()

    folder = Seen(tmp_path, Identity.of(TARGET, TOKEN), 64 * MIB)
    file = Files(folder, wall_ns=SystemClock.wall_ns, lose=Spooled(tmp_path).lose).create()
    for number in range(1000):
        file.put([item(number, PAYLOAD)], [])
    assert 0 < looks < 10
    file.close()


def test_no_payload_is_passed_over(spooled: Spooled) -> None:
    """Nor that of what was put when the first whole spans had to go."""
    outbox = spooled.outbox()
    outbox.put([active(record().root, None)], [record()])
    payload = b'"%s"' % (b"x" * 98)
    first = 0
    while not spooled.lost[Loss.SPOOL_FULL]:
        outbox.put([item(number, payload) for number in range(first, first + 200)], [])
        first += 200
    for begin in range(first, first + 8_000, 200):
        outbox.put([item(number, payload) for number in range(begin, begin + 200)], [])
    assert not [number for number, kept in everything(outbox) if kept == payload]


@pytest.mark.parametrize("max_bytes", [300_000, MIB, 4 * MIB], ids=["300 KB", "1 MiB", "4 MiB"])
@pytest.mark.parametrize(
    ("payload_bytes", "at_once"), [(100, 100), (2_000, 200), (60_000, 50)], ids=str
)
def test_the_folder_never_takes_more_than_its_bound(
    tmp_path: Path, max_bytes: int, payload_bytes: int, at_once: int
) -> None:
    """What SQLite writes beside the file counts too, whatever the bound and however much comes."""
    spooled = Spooled(tmp_path, max_bytes=max_bytes)
    outbox, payload = spooled.outbox(), b'"%s"' % (b"x" * payload_bytes)
    largest = 0
    for first in range(0, 2 * max_bytes // payload_bytes, at_once):
        outbox.put([item(number, payload) for number in range(first, first + at_once)], [])
        largest = max(largest, spooled.folder.size_bytes())
    assert largest <= max_bytes
    spooled.end()
