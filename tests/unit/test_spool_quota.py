"""A full spool: the bound of its folder holds, and what finds no room is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remit._deliver.losses import Loss
from remit._deliver.spool.outbox import Outbox
from remit._deliver.stored import RunState
from tests.spooling import ROOT, RUN, Spooled, active, close, finish, item, numbers, stored_run
from tests.subtests import each

MIB = 1 << 20
PAYLOAD = b'"%s"' % (b"x" * 9_990)


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[Spooled]:
    """Return a folder that takes two megabytes."""
    spooled = Spooled(tmp_path, max_bytes=2 * MIB)
    yield spooled
    spooled.end()


def fill(outbox: Outbox, items: int, payload: bytes = PAYLOAD, *, first: int = 100) -> None:
    """Put spans, at most 100 at a time."""
    step = max(1, min(100, 1000 * len(PAYLOAD) // len(payload) // 100))
    for begin in range(first, first + items, step):
        end = min(begin + step, first + items)
        outbox.put([item(number, payload) for number in range(begin, end)], [])


def everything(outbox: Outbox) -> list[tuple[int, bytes | None]]:
    """Return number and payload of every row, emptying the outbox."""
    found: list[tuple[int, bytes | None]] = []
    while rows := outbox.head(1000):
        found += [(int.from_bytes(row.item.key), row.item.payload) for row in rows]
        outbox.settle([row.id for row in rows])
    return found


def test_new_spans_are_dropped_and_counted(spooled: Spooled) -> None:
    """What was written before stays, whole and in order."""
    outbox = spooled.outbox()
    outbox.put([active(1, None)], [stored_run()])
    fill(outbox, 400)
    found = everything(outbox)
    kept = len(found) - 1
    assert found == [(1, b'{"n":1}'), *[(number, PAYLOAD) for number in range(100, 100 + kept)]]
    assert 0 < kept < 400
    assert spooled.lost == {Loss.SPOOL_FULL: 400 - kept}


def test_there_is_room_again_when_something_was_delivered(spooled: Spooled) -> None:
    """Although the file itself gets no smaller."""
    outbox = spooled.outbox()
    outbox.put([active(1, None)], [stored_run()])
    fill(outbox, 400)
    lost = dict(spooled.lost)
    everything(outbox)
    fill(outbox, 100, first=1_000)
    assert [number for number, _ in everything(outbox)] == list(range(1_000, 1_100))
    assert spooled.lost == lost


def test_a_run_keeps_its_root_and_its_end_and_knows_what_it_lost(spooled: Spooled) -> None:
    """Every span is either there, in order, or counted, in total and for its run."""
    outbox, root = spooled.outbox(), ROOT
    outbox.put([active(root, None), active(1)], [stored_run()])
    outbox.put([finish(root, None), close()], [])
    fill(outbox, 30_000, b"{}")
    found = [number for number, _ in everything(outbox)]
    assert found[:4] == [root, 1, root, root]
    kept = found[4:]
    assert kept == sorted(set(kept))
    assert 0 < len(kept) < 30_000
    assert spooled.lost[Loss.SPOOL_FULL] == 30_000 - len(kept)
    assert spooled.runs_lost == {RUN: 30_000 - len(kept)}


def test_what_a_server_refused_goes_before_what_can_be_delivered(spooled: Spooled) -> None:
    """It is kept only while there is room."""
    outbox = spooled.outbox()
    outbox.put([item(number, PAYLOAD) for number in range(30)], [stored_run(RunState.SET_ASIDE)])
    for row in outbox.head(30):
        outbox.set_aside(row, "bad_request")
    put = 0
    while not spooled.lost:
        fill(outbox, 10)
        put += 10
    assert next(iter(spooled.lost.items())) == (Loss.ASIDE_SPOOL_FULL, 30)
    assert len(everything(outbox)) == put


def test_what_was_delivered_is_not_counted_as_given_up(spooled: Spooled) -> None:
    """Delivered, kept and lost spans add up to what was put."""
    outbox = spooled.outbox()
    outbox.put([item(number, b"{}") for number in range(400)], [stored_run()])
    outbox.settle([row.id for row in outbox.head(400)[:150]])
    fill(outbox, 30_000, b"{}", first=1000)
    outbox.put([item(number, b"{}") for number in range(50_000, 50_400)], [])
    kept = everything(outbox)
    assert 150 + len(kept) + spooled.lost[Loss.SPOOL_FULL] == 30_800
    assert spooled.runs_lost == {RUN: spooled.lost[Loss.SPOOL_FULL]}


def test_the_bound_is_for_all_processes_together(spooled: Spooled) -> None:
    """Where others fill the folder, new spans are counted, and runs still find room."""
    other = Spooled(spooled.folder.path.parent, token="another")
    others = other.outbox()
    fill(others, 250)
    outbox = spooled.outbox()
    outbox.put([active(ROOT, None), item(1, PAYLOAD), close()], [stored_run()])
    assert numbers(outbox.head(9)) == [ROOT, ROOT]
    assert spooled.lost == {Loss.SPOOL_FULL: 1}
    assert other.lost == {}
    assert others.pending() == 250
    other.end()


def test_the_bound_holds_while_several_processes_grow(tmp_path: Path) -> None:
    """Each adds little before it measures the folder again."""
    processes = [Spooled(tmp_path, token=str(number), max_bytes=8 * MIB) for number in range(4)]
    outboxes = [spooled.outbox() for spooled in processes]
    largest = 0
    for first in range(0, 600, 10):
        for outbox in outboxes:
            fill(outbox, 10, first=first)
        largest = max(largest, processes[0].folder.size_bytes())
    assert 6 * MIB < largest <= 8 * MIB
    kept = sum(outbox.pending() for outbox in outboxes)
    assert kept + sum(spooled.lost[Loss.SPOOL_FULL] for spooled in processes) == 4 * 600
    for spooled in processes:
        spooled.end()


@each("max_bytes", [300_000, MIB], ids=["300 KB", "1 MiB"])
@each(("payload_bytes", "at_once"), [(100, 100), (2_000, 200), (60_000, 50)])
def test_the_folder_never_takes_more_than_its_bound(
    tmp_path: Path, max_bytes: int, payload_bytes: int, at_once: int
) -> None:
    """What SQLite writes beside the file counts too."""
    spooled = Spooled(tmp_path / f"{max_bytes} {payload_bytes}", max_bytes=max_bytes)
    outbox, payload = spooled.outbox(), b'"%s"' % (b"x" * payload_bytes)
    largest = 0
    for first in range(0, 2 * max_bytes // payload_bytes, at_once):
        outbox.put([item(number, payload) for number in range(first, first + at_once)], [])
        largest = max(largest, spooled.folder.size_bytes())
    assert 0 < largest <= max_bytes
    spooled.end()
