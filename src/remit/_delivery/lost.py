"""What a run lost, as its server is told: one span of type `remit:loss`, and the count in the root.

The span is made when it is sent, from what the run's record says: it waits in no queue that could
be full, and a process that takes over makes the same one.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from remit._ids import derived_key
from remit._losses import Loss
from remit._registry import LOSS_TYPE
from remit._sink import Item, Kind
from remit._spool import RunRecord

COMPLETE: Final = "complete"
LOST: Final = "lost"
NO_RESULT: Final = b"{}"

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def loss_key(root: bytes, salt: str = "") -> bytes:
    """Return the key of the span that tells what the run of *root* lost; the same each time.

    Args:
        root: Key of the root span.
        salt: Tells one that is sent by another process than the run's own from the run's.
    """
    return derived_key(root, f"{root.hex()}/{LOSS_TYPE}/{salt}")


def telling(record: RunRecord, at_ns: int, salt: str = "") -> Item:
    """Return the span that tells what a run lost: by reason, the most frequent named."""
    counts = dict(sorted(record.lost.items()))
    main = max(counts, key=counts.__getitem__)
    payload = _encode({"counts": counts, "reason": main})
    return Item(
        Kind.SPAN, record.key, loss_key(record.root, salt), record.root, LOSS_TYPE,
        at_ns, at_ns, COMPLETE, payload, NO_RESULT,
    )  # fmt: skip


def corrected(item: Item, record: RunRecord) -> Item:
    """Return the end of a root span with all that its run lost, not only what it knew of then."""
    result = item.result
    if result is None:
        return item
    try:
        values = _object.decode(result)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return item
    if LOST not in values:
        return item
    values[LOST] = Raw(b"%d" % whole(record))
    return replace(item, result=_encode(values))


def whole(record: RunRecord) -> int:
    """Count the items of a run that will not arrive; those that arrive as less are not among."""
    return sum(count for reason, count in record.lost.items() if not Loss.leaves_a_rest(reason))
