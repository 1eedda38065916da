"""What both outboxes promise, in memory and on disk."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from remit._losses import ITEM_BYTES
from remit._spool import MemoryOutbox, Outbox, RunState, SpoolOutbox
from tests.delivering import Stepped
from tests.fake_api import FakeApi
from tests.spooling import RUN, Spooled, item, numbers, record

Make = Callable[[], Outbox]


@pytest.fixture(params=["memory", "disk", "no folder"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Return what makes an empty outbox of a kind."""
    spooled = Spooled(tmp_path)
    makers: dict[str, Make] = {
        "memory": lambda: MemoryOutbox(release=lambda _: None),
        "no folder": lambda: SpoolOutbox(None, release=lambda _: None),
        "disk": spooled.outbox,
    }
    yield makers[request.param]
    spooled.end()


def filled(make: Make, items: int) -> Outbox:
    """Return an outbox with rows."""
    outbox = make()
    outbox.put([item(number) for number in range(1, items + 1)], [record()])
    return outbox


def test_rows_come_in_the_order_in_which_they_were_put(make: Make) -> None:
    """Ids grow over all puts; no row so far is beyond the last id."""
    outbox = filled(make, 2)
    last = outbox.last_id()
    outbox.put([item(7)], [])
    rows = outbox.head(100)
    ids = [row_id for row_id, _ in rows]
    assert numbers(rows) == [1, 2, 7]
    assert ids == sorted(set(ids))
    assert ids[1] <= last < ids[2] <= outbox.last_id()
    assert numbers(outbox.head(2)) == [1, 2]


def test_a_row_is_the_item_that_was_put(make: Make) -> None:
    """Whatever is in it, and whatever is not."""
    outbox, key = make(), (1 << 128) - 1
    items = [
        (2, RUN, key, None, None, None, None, None, None, None),
        (1, RUN, 0, key, "naïve \N{SNOWMAN}", -1, 2**62, "failed", b"\xff\x00", b""),
    ]
    outbox.put(items, [])
    assert [row for _, row in outbox.head(9)] == items


def test_settled_rows_are_gone(make: Make) -> None:
    """Also when they are settled out of order, twice, or were never there."""
    outbox = filled(make, 4)
    ids = [row_id for row_id, _ in outbox.head(9)]
    outbox.settle(ids[1:3])
    outbox.settle(ids[1:2])
    assert numbers(outbox.head(9)) == [1, 4]
    assert outbox.pending() == 2
    outbox.settle(ids)
    assert outbox.head(9) == []
    assert outbox.pending() == outbox.spooled() == 0


def test_what_is_pending_can_be_counted_up_to_a_row(make: Make) -> None:
    """A flush waits for what existed when it began, whatever came since."""
    outbox = filled(make, 3)
    newest = outbox.last_id()
    outbox.put([item(8), item(9)], [])
    outbox.settle([outbox.head(1)[0][0]])
    assert outbox.pending() == 4
    assert outbox.pending(newest) == 2
    assert outbox.pending(0) == 0


def test_what_is_set_aside_is_out_of_the_way(make: Make) -> None:
    """It does not hold up the rest."""
    outbox = filled(make, 3)
    outbox.set_aside(outbox.head(2), "bad_request")
    assert numbers(outbox.head(9)) == [3]
    assert outbox.pending() == 1


def test_a_run_is_kept_until_it_is_forgotten(make: Make) -> None:
    """Its record comes with its first items and changes as its delivery goes on."""
    outbox = filled(make, 1)
    known = outbox.run(RUN)
    assert known is not None
    assert known == record()
    known.state = RunState.STARTED
    outbox.save_run(known)
    again = outbox.run(RUN)
    assert again is not None
    assert again.state is RunState.STARTED
    outbox.forget_run(RUN)
    assert outbox.run(RUN) is None
    outbox.close()


def test_the_bytes_of_what_leaves_memory_are_released(tmp_path: Path) -> None:
    """On disk at once, in memory when what is before it has gone too."""
    spooled = Spooled(tmp_path)
    spooled.outbox().put([item(1), item(2)], [])
    spooled.end()
    assert spooled.freed_bytes == 2 * (ITEM_BYTES + 2)
    freed: list[int] = []
    memory = MemoryOutbox(release=freed.append)
    memory.put([item(1), item(2)], [])
    memory.settle([2])
    assert sum(freed) == 0
    memory.settle([1])
    assert sum(freed) == 2 * (ITEM_BYTES + 2)


def test_what_comes_after_the_close_is_left_to_a_later_process(tmp_path: Path) -> None:
    """A writer may have hung beyond a shutdown; nobody else would let go of its file."""
    spooled = Spooled(tmp_path)
    outbox = spooled.outbox()
    outbox.close()
    outbox.put([item(1)], [record()])
    assert numbers(spooled.take().head(9)) == [1]
    spooled.end()


def test_a_run_that_waits_on_disk_takes_half_a_kibibyte_of_memory(tmp_path: Path) -> None:
    """With its spans, from recording to sending: an outage of a day may leave many runs waiting."""
    runs, spooled = 1_000, Spooled(tmp_path, keep_bytes=0)
    stepped = Stepped(FakeApi(), outbox=partial(SpoolOutbox, spooled.files))
    stepped.record().close()
    stepped.move()
    tracemalloc.start()
    try:
        for _ in range(runs):
            stepped.record("m:f", "m:g").close()
        stepped.move()
        gc.collect()
        taken_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert stepped.status.spooled == 4 + 6 * runs
    assert stepped.status.buffer_bytes == 0
    assert taken_bytes <= 512 * runs
