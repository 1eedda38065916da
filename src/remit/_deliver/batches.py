"""Builds bulk requests of span items: keys and times as text, payloads copied as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

from remit._base.clock import iso8601
from remit._base.encoding import growing
from remit._base.ids import key_text, pfid_text
from remit._deliver.run_delivery import RunDelivery
from remit._deliver.spool import Row
from remit._record.items import Item, ItemKind

NO_PAYLOAD: Final = b"{}"
# Many spans have the same parent.
PARENTS: Final = 2_000
# An operation without its name, payload and result has about 410 bytes.
OPERATION_BYTES: Final = 512
CHAR_BYTES: Final = 4

_encode: Final = growing(msgspec.json.Encoder())


class _Details(msgspec.Struct, gc=False):
    agent_instance_id: str
    id: str
    schema_name: str
    status: str
    payload: Raw
    parent_span_id: str | None
    started_at: str
    result_payload: Raw | UnsetType = UNSET
    finished_at: str | UnsetType = UNSET


class _Create(msgspec.Struct, gc=False):
    idempotency_key: str
    details: _Details
    _type: str = "agent_spans/create"


class _Finish(msgspec.Struct, gc=False):
    idempotency_key: str
    agent_span_id: str
    status: str
    result_payload: Raw | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET
    _type: str = "agent_spans/finish"


Operation: TypeAlias = _Create | _Finish


class _Bulk(msgspec.Struct, gc=False):
    items: Sequence[Operation]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Most items and bytes of one bulk request."""

    items: int
    size_bytes: int


@dataclass(slots=True)
class Batch:
    """Items for one bulk request, in the order of sending.

    Attributes:
        limits: Most items and bytes.
        rows: The rows, by idempotency key.
        operations: The rows as the API takes them.
        runs: The runs of the rows, by key.
        size_bytes: Upper bound of the size as JSON.
    """

    limits: BatchLimits
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    operations: list[Operation] = field(default_factory=list[Operation])
    runs: dict[str, RunDelivery] = field(default_factory=dict[str, RunDelivery])
    size_bytes: int = 0

    def add(self, key: str, operation: Operation, row: Row, run: RunDelivery) -> bool:
        """Add one item if it fits; return whether it does.

        The first item may be of any size. A batch holds each key once.
        """
        rows, limits, item = self.rows, self.limits, row[1]
        payload, result, name = item.payload, item.result, item.name
        size_bytes = self.size_bytes + OPERATION_BYTES + (CHAR_BYTES * len(name) if name else 0)
        size_bytes += (len(payload) if payload else 0) + (len(result) if result else 0)
        full = size_bytes > limits.size_bytes or len(rows) >= limits.items or key in rows
        if full and rows:
            return False
        rows[key] = row
        self.operations.append(operation)
        self.size_bytes = size_bytes
        self.runs[item.run_key] = run
        return True


def encode_bulk(operations: Sequence[Operation]) -> bytes:
    """Return the body of a bulk request."""
    return _encode(_Bulk(operations))


def describe_span(item: Item, run: RunDelivery) -> tuple[str, Operation]:
    """Return the idempotency key of a span item, and the operation that sends it."""
    record, root_key, partition = run.record, run.root_key, run.partition
    text = key_text(root_key if item.key == record.root else item.key)
    span_id = pfid_text(text, partition)
    result = UNSET if item.result is None else Raw(item.result)
    ended_at = UNSET if item.finished_ns is None else iso8601(item.finished_ns)
    if item.kind == ItemKind.FINISH:
        key = f"f-{text}"
        return key, _Finish(key, span_id, item.status or "", result, ended_at)
    parent = root_key if item.parent == record.root else item.parent
    key = f"c-{text}"
    details = _Details(
        record.instance_id or "",
        span_id,
        item.name or "",
        item.status or "",
        Raw(item.payload or NO_PAYLOAD),
        None if parent is None else _parent_id(parent, partition),
        iso8601(item.started_ns or 0),
        result,
        ended_at,
    )
    return key, _Create(key, details)


@lru_cache(PARENTS)
def _parent_id(parent: bytes, partition: str) -> str:
    return pfid_text(key_text(parent), partition)
