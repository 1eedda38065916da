"""What an outbox promises, in memory and on disk."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from remit._deliver.losses import ITEM_BYTES
from remit._deliver.spool.outbox import Outbox
from remit._deliver.stored import RunState
from tests.inside import Item, spool_outbox
from tests.spooling import RUN, Spooled, item, numbers, stored_run

Make = Callable[[], Outbox]


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Return what makes an empty outbox of a kind."""
    spooled = Spooled(tmp_path)
    makers: dict[str, Make] = {
        "memory": lambda: spool_outbox(None, release=lambda _: None),
        "disk": spooled.outbox,
    }
    yield makers[request.param]
    spooled.end()


def filled(make: Make, items: int) -> Outbox:
    """Return an outbox with rows."""
    outbox = make()
    outbox.put([item(number) for number in range(1, items + 1)], [stored_run()])
    return outbox


def test_rows_come_in_the_order_in_which_they_were_put(make: Make) -> None:
    """Ids grow over all puts, and no row exceeds the last id."""
    outbox = filled(make, 2)
    last = outbox.last_id()
    outbox.put([item(7)], [])
    rows = outbox.head(100)
    ids = [row.id for row in rows]
    assert numbers(rows) == [1, 2, 7]
    assert ids == sorted(set(ids))
    assert ids[1] <= last < ids[2] <= outbox.last_id()
    assert numbers(outbox.head(2)) == [1, 2]


def test_a_row_is_the_item_that_was_put(make: Make) -> None:
    """Every field is read back, also one that is empty or None."""
    outbox, key = make(), b"\xff" * 16
    items = [
        Item(2, RUN, key, None, None, None, None, None, None, None),
        Item(1, RUN, bytes(16), key, "naïve \N{SNOWMAN}", -1, 2**62, "failed", b"\xff\x00", b""),
    ]
    outbox.put(items, [])
    assert [row.item for row in outbox.head(9)] == items


def test_settled_rows_are_gone(make: Make) -> None:
    """They may be settled out of order, twice, or without being there."""
    outbox = filled(make, 4)
    ids = [row.id for row in outbox.head(9)]
    outbox.settle(ids[1:3])
    outbox.settle(ids[1:2])
    assert numbers(outbox.head(9)) == [1, 4]
    assert outbox.pending() == 2
    outbox.settle(ids)
    assert outbox.head(9) == []
    assert outbox.pending() == 0


def test_what_is_pending_can_be_counted_up_to_a_row(make: Make) -> None:
    """A flush waits for the rows that existed when it began."""
    outbox = filled(make, 3)
    newest = outbox.last_id()
    outbox.put([item(8), item(9)], [])
    outbox.settle([outbox.head(1)[0].id])
    assert outbox.pending() == 4
    assert outbox.pending(newest) == 2
    assert outbox.pending(0) == 0


def test_what_is_set_aside_is_out_of_the_way(make: Make) -> None:
    """The rows behind it go on."""
    outbox = filled(make, 3)
    for row in outbox.head(2):
        outbox.set_aside(row, "bad_request")
    assert numbers(outbox.head(9)) == [3]
    assert outbox.pending() == 1


def test_a_run_is_kept_until_it_is_forgotten(make: Make) -> None:
    """Its record is put with its first items, and changes are saved."""
    outbox = filled(make, 1)
    known = outbox.run(RUN)
    assert known is not None
    assert known == stored_run()
    known.state = RunState.STARTED
    outbox.save_run(known)
    again = outbox.run(RUN)
    assert again is not None
    assert again.state is RunState.STARTED
    outbox.forget_run(RUN)
    assert outbox.run(RUN) is None


def test_the_bytes_of_what_leaves_memory_are_released(tmp_path: Path) -> None:
    """A row on disk releases them at once, one in memory when it is settled."""
    spooled = Spooled(tmp_path)
    spooled.outbox().put([item(1), item(2)], [])
    spooled.end()
    assert spooled.freed_bytes == 2 * (ITEM_BYTES + 2)
    freed: list[int] = []
    memory = spool_outbox(None, release=freed.append)
    memory.put([item(1), item(2)], [])
    ids = [row.id for row in memory.head(2)]
    memory.settle(ids[1:])
    assert sum(freed) == ITEM_BYTES + 2
    memory.settle(ids)
    assert sum(freed) == 2 * (ITEM_BYTES + 2)


def test_a_run_that_waits_on_disk_takes_half_a_kibibyte_of_memory(tmp_path: Path) -> None:
    """Its record and six rows count."""
    items, runs, spooled = list[Item](), 500, Spooled(tmp_path)
    outbox = spooled.outbox()
    outbox.put([item(0)], [stored_run()])
    tracemalloc.start()
    try:
        for number in range(runs):
            key = f"{number:026}"
            items = [item(6 * number + row, run=key) for row in range(6)]
            outbox.put(items, [replace(stored_run(), key=key)])
        del items
        gc.collect()
        taken_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert outbox.spooled() == 1 + 6 * runs
    assert taken_bytes <= 512 * runs
    spooled.end()
