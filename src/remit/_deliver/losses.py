"""What could not be delivered, counted by reason; and how an item is made smaller."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

from msgspec.structs import replace

from remit._record.items import Item

# What an item costs beside its payload and result, measured: the structure and its integers, its
# place in the deque and in the outbox, and the two bytes objects' own heads.
ITEM_BYTES: Final = 512
# Runs whose losses are kept until they are in the run's record. Beyond it the oldest is forgotten,
# and only the total counts.
MAX_RUNS: Final = 10_000


class Loss(StrEnum):
    """Why something was not delivered."""

    BUFFER_FULL = "buffer_full"
    """The whole item was dropped: `max_buffer_bytes` was reached."""
    PAYLOAD_BUFFER_FULL = "payload_buffer_full"
    """The item was kept without payload and result: `max_buffer_bytes` was nearly reached."""
    SPOOL_FULL = "spool_full"
    """The whole item was dropped: `max_spool_bytes` was reached."""
    ASIDE_SPOOL_FULL = "aside_spool_full"
    """An item that had been set aside was dropped: `max_spool_bytes` was reached."""
    SPOOL_DAMAGED = "spool_damaged"
    """The item could not be read back from the spool."""
    PAYLOAD_TOO_LARGE = "payload_too_large"
    """The server refused the item's size; it was sent with its payload or result cut."""
    RUN_UNKNOWN = "run_unknown"
    """The item's run was dropped before it, or has long ended."""
    AFTER_SHUTDOWN = "after_shutdown"
    """The item came after `remit.shutdown()`."""
    REFUSED = "refused"
    """The server refused the item for good, and there was no spool to keep it in.

    In the losses of its run it counts also where the item is kept: then `set_aside` counts it.
    """

    # The other reasons are in the losses of runs only.
    FAULT = "fault"
    """The item could not be written, through a fault of remit's."""
    PROCESS_ENDED = "process_ended"
    """The process ended before the span, whose end is not known: it arrives as failed."""

    @staticmethod
    def leaves_a_rest(reason: str) -> bool:
        """Tell whether a part of the item arrives."""
        return reason in _LEAVE_A_REST


_LEAVE_A_REST: Final = (
    Loss.PAYLOAD_BUFFER_FULL,
    Loss.PAYLOAD_TOO_LARGE,
    Loss.PROCESS_ENDED,
)


class Account(Protocol):
    """Where it is kept what a run lost: the record of the run.

    Attributes:
        key: Key of the run.
        lost: How many items, by reason; replaced, never changed.
    """

    key: str
    lost: dict[str, int]


class Losses:
    """What was lost, by reason, and of which runs; counted from any thread."""

    def __init__(self) -> None:
        """Start with nothing lost."""
        self._counts: Counter[str] = Counter()
        # What is not in the account of its run yet.
        self._of_runs: dict[str, Counter[str]] = {}
        # Reentrant, because a signal's handler may record while this very thread counts.
        self._lock = threading.RLock()

    def add(self, reason: Loss, count: int = 1, *, run_key: str | None = None) -> None:
        """Count *count* more for *reason*, for the run too if it is known which."""
        with self._lock:
            self._counts[reason.value] += count
            if run_key is not None:
                self.note(run_key, reason, count)

    def note(self, run_key: str, reason: Loss, count: int = 1) -> None:
        """Count *count* more for *reason* for a run alone."""
        with self._lock:
            known = self._of_runs.get(run_key)
            if known is None:
                if len(self._of_runs) >= MAX_RUNS:
                    self._of_runs.pop(next(iter(self._of_runs)))
                known = self._of_runs[run_key] = Counter()
            known[reason.value] += count

    def by_reason(self) -> dict[str, int]:
        """Return a copy of the counts."""
        with self._lock:
            return dict(self._counts)

    def runs(self) -> list[str]:
        """Return the keys of the runs of which something is in no account yet."""
        with self._lock:
            return list(self._of_runs)

    def book(self, account: Account) -> bool:
        """Put what a run lost into its *account*; tell whether there was anything new."""
        if account.key not in self._of_runs:
            return False
        with self._lock:
            new = self._of_runs.pop(account.key, None)
            if new is None:
                return False
            account.lost = dict(Counter(account.lost) + new)
        return True

    def after_fork_in_child(self) -> None:
        """Start with nothing lost, and with a lock that no thread of the parent holds."""
        self._counts = Counter()
        self._of_runs = {}
        self._lock = threading.RLock()


def cost(item: Item) -> int:
    """Return the bytes of memory that *item* is counted with."""
    payload, result = item.payload, item.result
    return ITEM_BYTES + (len(payload) if payload else 0) + (len(result) if result else 0)


def costs(items: Sequence[Item]) -> int:
    """Return the sum of what *items* cost; without a call for each."""
    contents = [len(item.payload or b"") + len(item.result or b"") for item in items]
    return ITEM_BYTES * len(items) + sum(contents)


def skeleton(item: Item) -> Item:
    """Return *item* with markers in place of its payload and result."""
    payload, result = item.payload, item.result
    return replace(
        item, payload=payload and cut_marker(payload), result=result and cut_marker(result)
    )


def cut_marker(content: bytes) -> bytes:
    """Return the marker that takes the place of *content*, which is JSON.

    Source: design.md section 3, payload format 1: the reserved key `$remit`.
    """
    return b'{"$remit":"cut","of":%d,"unit":"bytes"}' % len(content)
