"""What the server is told of losses, and of what a process left open when it ended.

What a run lost is one span of type `remit:loss`, and a count in the root's result. The span is made
when it is sent, from the run's record: it waits in no queue that could be full, and a process that
adopts the run makes the same one.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from remit._base.ids import derived_key
from remit._base.outcomes import COMPLETE, FAILED
from remit._declare.registry import LOSS_TYPE, RUN_TYPE
from remit._deliver.losses import Loss
from remit._deliver.spool import RunRecord
from remit._record.items import Item, Kind

LOST: Final = "lost"
NO_RESULT: Final = b"{}"
REASON: Final = "process ended"
SPAN_RESULT: Final = msgspec.json.encode({"error": {"message": REASON, "type": "ProcessEnded"}})
RUN_RESULT: Final = msgspec.json.encode({"lost": 0, "reason": REASON, "status": FAILED})
ORPHAN: Final = "remit:orphan"
"""Name of the `CLOSE` item that an adopting process writes for a run."""

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def loss_key(root: bytes, salt: str = "") -> bytes:
    """Return the key of the loss span of the run of *root*; the same each time.

    Args:
        root: Key of the root span.
        salt: Distinguishes a span that is sent by another process than the run's own.
    """
    return derived_key(root, f"{root.hex()}/{LOSS_TYPE}/{salt}")


def loss_span(record: RunRecord, at_ns: int, salt: str = "") -> Item:
    """Return the span with what a run lost: counts by reason, and the most frequent reason."""
    counts = dict(sorted(record.lost.items()))
    main = max(counts, key=counts.__getitem__)
    payload = _encode({"counts": counts, "reason": main})
    return Item(
        Kind.SPAN, record.key, loss_key(record.root, salt), record.root, LOSS_TYPE,
        at_ns, at_ns, COMPLETE, payload, NO_RESULT,
    )  # fmt: skip


def with_loss_count(item: Item, record: RunRecord) -> Item:
    """Return the end of a root span with all that its run lost, not only what it knew of then."""
    if item.result is None:
        return item
    try:
        values = _object.decode(item.result)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return item
    if LOST not in values:
        return item
    values[LOST] = Raw(b"%d" % count_lost(record))
    return replace(item, result=_encode(values))


def count_lost(record: RunRecord) -> int:
    """Count the items of a run that will not arrive, without those that arrive as less."""
    return sum(count for reason, count in record.lost.items() if not Loss.leaves_a_rest(reason))


def failed_end(span: Item, ended_ns: int) -> Item:
    """Return the end of a span whose beginning was sent and whose process has ended: failed."""
    return _end(span, Kind.FINISH, ended_ns, SPAN_RESULT)


def failed_run_ends(record: RunRecord, ended_ns: int) -> tuple[Item, Item]:
    """Return the end of the root span, and of the run, of a process that has ended."""
    root = Item(
        Kind.SPAN, record.key, record.root, None, RUN_TYPE, record.started_ns,
        None, None, None, None,
    )  # fmt: skip
    return (
        _end(root, Kind.FINISH, ended_ns, RUN_RESULT),
        _end(replace(root, name=ORPHAN), Kind.CLOSE, ended_ns, None),
    )


def _end(item: Item, kind: int, ended_ns: int, result: bytes | None) -> Item:
    """Return an end of what began with *item*, not before its beginning."""
    finished_ns = max(ended_ns, item.started_ns or 0)
    return replace(
        item, kind=kind, finished_ns=finished_ns, status=FAILED, payload=None, result=result
    )
