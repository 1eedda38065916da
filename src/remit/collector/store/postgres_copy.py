"""Spans and their payloads in the binary format of `COPY`, which costs less than any `INSERT`.

A value is its length and its bytes, so that nothing needs to be escaped.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from remit.collector.store.ids import ID_BYTES, shard_of, to_bytes
from remit.collector.store.rows import STATUSES, SpanRow

COPY_SPANS: Final = (
    b"COPY spans (run_ref, inserted_at, updated_at, type_ref, flags, shard, status, "
    b"created_status, id, started_at, finished_at, parent_id, summary) "
    b"FROM STDIN WITH (FORMAT binary)"
)
COPY_PAYLOADS: Final = (
    b"COPY span_payloads (run_ref, shard, id, payload, result) FROM STDIN WITH (FORMAT binary)"
)
_STATUS: Final = {status: number for number, status in enumerate(STATUSES)}
# Signature, flags, and no extension.
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = struct.pack(">h", -1)
_NULL: Final = struct.pack(">i", -1)
# The number of columns, then each column that is never NULL with its length.
_SPAN: Final = struct.Struct(f">h iq iq iq ii ii ih ih ih i{ID_BYTES}s").pack
_PAYLOAD: Final = struct.Struct(f">h iq ih i{ID_BYTES}s").pack
_LENGTH: Final = struct.Struct(">i").pack
_INT: Final = struct.Struct(">iq").pack
_NUL: Final = "\x00"


def copied(rows: Sequence[SpanRow]) -> tuple[bytes, bytes]:
    """Return *rows* as the data of `COPY_SPANS` and of `COPY_PAYLOADS`."""
    spans, payloads = [_HEADER], [_HEADER]
    shards: dict[str, int] = {}
    for row in rows:
        shard = shards.get(row.agent_instance_id)
        if shard is None:
            shard = shards[row.agent_instance_id] = shard_of(to_bytes(row.agent_instance_id))
        span_id, run_ref, parent_id = to_bytes(row.id), row.run_ref, row.parent_span_id
        spans += (
            _SPAN(
                13,
                *(8, run_ref, 8, row.inserted_at, 8, row.updated_at),
                *(4, row.type_ref, 4, row.flags, 2, shard),
                *(2, _STATUS[row.status], 2, _STATUS[row.created_status], ID_BYTES, span_id),
            ),
            _NULL if row.started_at is None else _INT(8, row.started_at),
            _NULL if row.finished_at is None else _INT(8, row.finished_at),
            _NULL if parent_id is None else _sized(to_bytes(parent_id)),
            _text(row.summary),
        )
        payloads += (
            _PAYLOAD(5, 8, run_ref, 2, shard, ID_BYTES, span_id),
            _sized(row.payload.encode()),
            _text(row.result_payload),
        )
    spans.append(_END)
    payloads.append(_END)
    return b"".join(spans), b"".join(payloads)


def _sized(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _text(value: str | None) -> bytes:
    return _NULL if value is None else _sized(without_nul(value).encode())


def without_nul(text: str) -> str:
    """Return *text* with a replacement character for each NUL, which PostgreSQL does not take."""
    return text.replace(_NUL, "\ufffd") if _NUL in text else text
