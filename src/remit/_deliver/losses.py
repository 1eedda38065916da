"""Losses: items that could not be delivered, counted by reason and run, and sent to the server.

The losses of a run are sent as one span of type `remit:loss` and as a count in the root's result.
The span is built from the run when it is sent: it needs no place in a queue that could be
full, and a process that adopts the run builds the same span.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from remit._base import markers
from remit._base.ids import derived_key
from remit._base.locks import SignalSafeLock
from remit._base.outcomes import CANCELLED, COMPLETE, FAILED
from remit._declare.registry import LOSS_TYPE, RUN_TYPE
from remit._deliver.stored import StoredRun
from remit._record.items import Item, ItemKind

# Memory of an item besides its payload and result, measured: the structure and its integers, its
# place in the deque and in the outbox, and the headers of the two bytes objects.
ITEM_BYTES: Final = 512
# Most runs whose losses are kept until they are in the run. Beyond it the oldest run is
# removed, and its losses are only in the totals.
MAX_RUNS: Final = 10_000
LOST: Final = "lost"
NO_RESULT: Final = b"{}"
REASON: Final = "process ended"
SPAN_RESULT: Final = msgspec.json.encode({"error": {"message": REASON, "type": "ProcessEnded"}})
RUN_RESULT: Final = msgspec.json.encode({"lost": 0, "reason": REASON, "status": FAILED})
ORPHAN: Final = "remit:orphan"
"""Name of the `CLOSE` item that an adopting process writes for a run."""

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Loss(StrEnum):
    """The reason of a loss."""

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
    """The server rejected the item's size; it was sent with its payload or result cut."""
    RUN_UNKNOWN = "run_unknown"
    """The item's run was dropped before it, or has long ended."""
    AFTER_SHUTDOWN = "after_shutdown"
    """The item came after `remit.shutdown()`."""
    REJECTED = "rejected"
    """The server rejected the item for good, and there was no spool to keep it in.

    In the losses of its run it counts also where the item is kept: then `set_aside` counts it.
    """

    # The other reasons are in the losses of runs only.
    FAULT = "fault"
    """The item could not be written, through a fault of remit's."""
    PROCESS_ENDED = "process_ended"
    """The process ended before the span, whose end is not known: it arrives as failed."""

    @staticmethod
    def arrives_in_part(reason: str) -> bool:
        """Return whether a part of the item arrives."""
        return reason in _ARRIVE_IN_PART


_ARRIVE_IN_PART: Final = (
    Loss.PAYLOAD_BUFFER_FULL,
    Loss.PAYLOAD_TOO_LARGE,
    Loss.PROCESS_ENDED,
)


class Losses:
    """Counts of losses, by reason and by run; any thread may add to them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        # Losses that are not in their run yet.
        self._of_runs: dict[str, Counter[str]] = {}
        self._lock = SignalSafeLock()

    def add(self, reason: Loss, count: int = 1, *, run_key: str | None = None) -> None:
        """Add *count* for *reason*, also to the run if it is known."""
        with self._lock:
            self._counts[reason.value] += count
            if run_key is not None:
                self.add_to_run(run_key, reason, count)

    def add_to_run(self, run_key: str, reason: Loss, count: int = 1) -> None:
        """Add *count* for *reason* to a run only."""
        with self._lock:
            known = self._of_runs.get(run_key)
            if known is None:
                if len(self._of_runs) >= MAX_RUNS:
                    self._of_runs.pop(next(iter(self._of_runs)))
                known = self._of_runs[run_key] = Counter()
            known[reason.value] += count

    def by_reason(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

    def runs(self) -> list[str]:
        """Return the keys of the runs with losses that are not in the run yet."""
        with self._lock:
            return list(self._of_runs)

    def take_losses(self, run: StoredRun) -> bool:
        """Move the new losses of *run* into it; return whether there were any."""
        with self._lock:
            new = self._of_runs.pop(run.key, None)
            if new is None:
                return False
            run.lost = dict(Counter(run.lost) + new)
            return True

    def after_fork_in_child(self) -> None:
        """Start without losses, with a new lock: a thread of the parent may hold the old one."""
        self._counts = Counter()
        self._of_runs = {}
        self._lock = SignalSafeLock()


def cost(item: Item) -> int:
    """Return the bytes of memory that are counted for *item*."""
    payload, result = item.payload, item.result
    return ITEM_BYTES + (len(payload) if payload else 0) + (len(result) if result else 0)


def skeleton(item: Item) -> Item:
    """Return *item* with markers in place of its payload and result."""
    payload, result = item.payload, item.result
    return replace(
        item, payload=payload and cut_marker(payload), result=result and cut_marker(result)
    )


def cut_marker(content: bytes) -> bytes:
    """Return the marker that replaces *content*, which is JSON."""
    return _encode(markers.cut_whole(len(content)))


def loss_span(run: StoredRun, at_ns: int, salt: str = "") -> Item:
    """Return the loss span of a run: counts by reason, and the most frequent reason.

    Its key depends on the run and *salt*, which the loss span of another process has.
    """
    counts = dict(sorted(run.lost.items()))
    main = max(counts, key=counts.__getitem__)
    payload = _encode({"counts": counts, "reason": main})
    key = derived_key(run.root, f"{run.key}/{LOSS_TYPE}/{salt}")
    return Item(
        ItemKind.SPAN, run.key, key, run.root, LOSS_TYPE,
        at_ns, at_ns, COMPLETE, payload, NO_RESULT,
    )  # fmt: skip


def with_loss_count(item: Item, run: StoredRun) -> Item:
    """Return the end of a root span with all losses of the run, later ones included."""
    if item.result is None:
        return item
    try:
        values = _object.decode(item.result)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return item
    if LOST not in values:
        return item
    lost = sum(n for reason, n in run.lost.items() if not Loss.arrives_in_part(reason))
    values[LOST] = Raw(b"%d" % lost)
    return replace(item, result=_encode(values))


def failed_end(span: Item, ended_ns: int) -> Item:
    """Return the failed end of a span that was open when its process ended."""
    return _end(span, ItemKind.FINISH, ended_ns, SPAN_RESULT)


def cancelled_end(span: Item, ended_ns: int) -> Item:
    """Return the cancelled end of a span of a run that waits for a person."""
    return replace(_end(span, ItemKind.FINISH, ended_ns, None), status=CANCELLED)


def failed_run_ends(run: StoredRun, ended_ns: int) -> tuple[Item, Item]:
    """Return the failed ends of a root span and a run that were open when their process ended."""
    root = Item(
        ItemKind.SPAN, run.key, run.root, None, RUN_TYPE, run.started_ns,
        None, None, None, None,
    )  # fmt: skip
    return (
        _end(root, ItemKind.FINISH, ended_ns, RUN_RESULT),
        _end(replace(root, name=ORPHAN), ItemKind.CLOSE, ended_ns, None),
    )


def _end(item: Item, kind: int, ended_ns: int, result: bytes | None) -> Item:
    """Return the failed end of *item*, not before its start."""
    finished_ns = max(ended_ns, item.started_ns or 0)
    return replace(
        item, kind=kind, finished_ns=finished_ns, status=FAILED, payload=None, result=result
    )
