"""The outbox in memory: order, what is settled, what is set aside, what it holds."""

from __future__ import annotations

from remit._buffer import ITEM_BYTES, cost
from remit._sink import AnyItem, Item, Kind
from remit._spool import MemoryOutbox, Registration, RunRecord, RunState


def item(number: int) -> AnyItem:
    """Return an item that can be told from others."""
    return Item(Kind.SPAN, "run", number, None, "m:f", 1, 2, "complete", b"{}", None)


def numbers(outbox: MemoryOutbox, limit: int = 100) -> list[tuple[int, int]]:
    """Return ids and numbers of the first rows."""
    return [(row_id, row[2]) for row_id, row in outbox.head(limit)]


class Made:
    """An outbox and the bytes that it let go."""

    def __init__(self, items: int = 0) -> None:
        """Make it with *items* rows."""
        self.freed_bytes = 0
        self.outbox = MemoryOutbox(cost=cost, release=self._release)
        self.outbox.put([item(number) for number in range(1, items + 1)], [])

    def _release(self, freed_bytes: int) -> None:
        self.freed_bytes += freed_bytes


def test_rows_come_in_the_order_in_which_they_were_put() -> None:
    """Ids grow over all puts."""
    made = Made(2)
    assert made.outbox.last_id() == 2
    made.outbox.put([item(7)], [])
    assert numbers(made.outbox) == [(1, 1), (2, 2), (3, 7)]
    assert numbers(made.outbox, 2) == [(1, 1), (2, 2)]


def test_settled_rows_are_gone_and_their_bytes_released() -> None:
    """Also when they are settled out of order, once what is before them has gone."""
    made = Made(4)
    made.outbox.settle([2, 3])
    assert numbers(made.outbox) == [(1, 1), (4, 4)]
    assert made.freed_bytes == 0
    made.outbox.settle([1])
    assert numbers(made.outbox) == [(4, 4)]
    assert made.freed_bytes == 3 * (ITEM_BYTES + 2)


def test_what_is_pending_can_be_counted_up_to_a_row() -> None:
    """A flush waits for what existed when it began, whatever came since."""
    made = Made(5)
    made.outbox.settle([2, 5])
    assert made.outbox.pending() == 3
    assert [made.outbox.pending(up_to) for up_to in range(7)] == [0, 1, 1, 2, 3, 3, 3]
    made.outbox.settle([1, 3, 4])
    assert made.outbox.pending() == made.outbox.pending(5) == made.outbox.pending(0) == 0


def test_what_is_set_aside_is_counted_by_its_reason_and_out_of_the_way() -> None:
    """It does not hold up the rest."""
    made = Made(3)
    made.outbox.set_aside([1], "bad_request")
    made.outbox.set_aside([2, 3], "validation_errors")
    assert made.outbox.set_aside_by_reason() == {"bad_request": 1, "validation_errors": 2}
    assert made.outbox.pending() == 0
    assert made.freed_bytes == 3 * (ITEM_BYTES + 2)


def test_a_run_is_kept_until_it_is_forgotten() -> None:
    """Its record comes with its first items and changes as its delivery goes on."""
    made = Made()
    registration = Registration("m:a", "A", None, None, None, b"{}", b"{}")
    record = RunRecord("run", 1, 2, "live", registration)
    made.outbox.put([], [record])
    assert made.outbox.run("run") is record
    record.state = RunState.STARTED
    made.outbox.save_run(record)
    assert made.outbox.run("run") == record
    made.outbox.forget_run("run")
    assert made.outbox.run("run") is None


def test_nothing_of_it_is_on_disk() -> None:
    """What is left ends with the process, and closing is allowed to change nothing."""
    made = Made(1)
    made.outbox.close()
    assert not made.outbox.durable
    assert made.outbox.size_bytes() == 0
    assert made.outbox.pending() == 1
