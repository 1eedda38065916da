"""Builds bulk requests: keys and times as text, payloads copied as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from remit._base.clock import iso8601
from remit._base.encoding import growing
from remit._base.guard import guarded
from remit._base.ids import TIME_BYTES, key_text, pfid_text
from remit._base.outcomes import ACTIVE
from remit._declare.registry import ASKED_TYPE
from remit._deliver import calls
from remit._deliver.calls import SEND_ERRORS, DeadlineClient, InstanceOperation
from remit._deliver.losses import loss_span
from remit._deliver.run_delivery import BatchLimits, RunDelivery
from remit._deliver.spool.store import Row
from remit._record.items import Item, ItemKind
from remit._record.questions import NO_TIME
from remit.client.endpoints.bulk import bulk_raw
from remit.models.bulk import BulkOutput
from remit.models.routes import CREATE_SPAN, FINISH_SPAN

SPAN_KINDS: Final = (ItemKind.SPAN, ItemKind.FINISH)
END_KINDS: Final = (ItemKind.QUALITY, ItemKind.CLOSE)
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
    _type: str = CREATE_SPAN.operation


class _Finish(msgspec.Struct, gc=False):
    idempotency_key: str
    agent_span_id: str
    status: str
    result_payload: Raw | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET
    _type: str = FINISH_SPAN.operation


Operation: TypeAlias = _Create | _Finish | Raw


class _Bulk(msgspec.Struct, gc=False):
    items: Sequence[Operation]


@dataclass(slots=True)
class Batch:
    """Rows for one bulk request, in the order of sending.

    Attributes:
        rows: The rows that are sent, by idempotency key.
        starts: The runs that are started before their rows, by key.
        losses: The runs whose losses are sent before their end, by idempotency key.
        silent: Rows of which nothing is sent; they are delivered with the others.
        size_bytes: Upper bound of the size as JSON.
    """

    limits: BatchLimits
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    starts: dict[str, RunDelivery] = field(default_factory=dict[str, RunDelivery])
    losses: dict[str, RunDelivery] = field(default_factory=dict[str, RunDelivery])
    silent: list[Row] = field(default_factory=list[Row])
    runs: dict[str, RunDelivery] = field(default_factory=dict[str, RunDelivery])
    size_bytes: int = 0
    _openings: list[Operation] = field(default_factory=list[Operation])
    _spans: list[Operation] = field(default_factory=list[Operation])
    _endings: list[Operation] = field(default_factory=list[Operation])

    @property
    def operations(self) -> list[Operation]:
        """Operations in order: starts of runs, then spans, then quality payloads and ends of runs.

        The order within each run is that of its rows. A server does neighbouring spans together.
        """
        return [*self._openings, *self._spans, *self._endings]

    def all_rows(self) -> list[Row]:
        """Return the rows in their order, also those of which nothing is sent."""
        return sorted([*self.rows.values(), *self.silent], key=attrgetter("id"))

    def keys(self) -> set[str]:
        starts = map(calls.start_key, self.starts)
        return {*self.rows, *self.losses, *starts}

    def __bool__(self) -> bool:
        """Return whether there is anything to send or to settle."""
        return bool(self._count or self.silent)

    def has_room(self, size_bytes: int, items: int = 1) -> bool:
        """Return whether operations of that size fit; the first may be of any size."""
        count = self._count
        if not count:
            return True
        fits = self.size_bytes + size_bytes <= self.limits.size_bytes
        return fits and count + items <= self.limits.items

    @property
    def _count(self) -> int:
        return len(self._openings) + len(self._spans) + len(self._endings)

    def add(self, key: str, operation: Operation, row: Row, run: RunDelivery) -> bool:
        """Add one row if it fits; return whether it does. A batch holds each key once."""
        item = row.item
        payload, result, name = item.payload, item.result, item.name
        size_bytes = OPERATION_BYTES + (CHAR_BYTES * len(name) if name else 0)
        size_bytes += (len(payload) if payload else 0) + (len(result) if result else 0)
        if key in self.rows or not self.has_room(size_bytes):
            return False
        self.rows[key] = row
        (self._spans if item.kind in SPAN_KINDS else self._endings).append(operation)
        self.size_bytes += size_bytes
        self.runs[item.run_key] = run
        return True

    def add_start(self, run: RunDelivery) -> bool:
        """Add the start of a run if it fits and is not in the batch; return whether it is."""
        stored = run.stored
        if stored.key in self.starts:
            return True
        if not self.has_room(OPERATION_BYTES, 2):
            return False
        self.starts[stored.key] = self.runs[stored.key] = run
        self._openings.append(calls.start(stored, stored.instance_id or "").item())
        self.size_bytes += OPERATION_BYTES
        return True

    def add_silent(self, row: Row, run: RunDelivery) -> None:
        """Add a row of which nothing is sent."""
        self.silent.append(row)
        self.runs[run.stored.key] = run

    def add_losses(self, key: str, operation: Operation, run: RunDelivery) -> bool:
        """Add the losses of a run if they fit together with its end; return whether they do."""
        if not self.has_room(OPERATION_BYTES, 2):
            return False
        self.losses[key] = run
        self._spans.append(operation)
        self.size_bytes += OPERATION_BYTES
        return True


def encode_bulk(operations: Sequence[Operation]) -> bytes:
    return _encode(_Bulk(operations))


@guarded("the bulk call", passes=SEND_ERRORS)
def send_bulk(
    client: DeadlineClient,
    operations: Sequence[Operation],
    on_sent: Callable[[], None] | None = None,
) -> Mapping[str, BulkOutput]:
    """Send a bulk request; return the outputs by the key of their operation, None after a fault."""
    return client.call(bulk_raw(encode_bulk(operations), on_sent))


def root_span(row: Row, run: RunDelivery) -> Row:
    """Return the start of a run as its root span, if it was to go on with another run and does not.

    Such a start has the payload of the root span. Any other row is returned as it is.
    """
    item = row.item
    if item.kind != ItemKind.RUN or item.payload is None or run.stored.resumed:
        return row
    return Row(row.id, replace(item, kind=ItemKind.SPAN, status=ACTIVE))


def is_silent(item: Item) -> bool:
    """Return whether nothing is sent for an item: the start of a run is sent with its first row."""
    return item.kind == ItemKind.RUN or (item.kind == ItemKind.CLOSE and item.status is None)


def describe(item: Item, run: RunDelivery) -> tuple[str, Operation]:
    """Return the idempotency key of an item, and the operation that sends it."""
    if item.kind in SPAN_KINDS:
        return describe_span(item, run)
    operation = instance_operation(item, run)
    return operation.key, operation.item()


def describe_losses(run: RunDelivery, end: Item) -> tuple[str, Operation]:
    """Return key and operation of the losses of a run, as of its *end*."""
    return describe_span(loss_span(run.stored, end.finished_ns or run.stored.started_ns), run)


def instance_operation(item: Item, run: RunDelivery) -> InstanceOperation:
    """Return the operation that sends a quality payload or the end of a run."""
    make = calls.finish if item.kind == ItemKind.CLOSE else calls.quality
    return make(item, run.stored.instance_id or "")


def _timed(key: bytes, root_key: bytes) -> bytes:
    """Return *key* with the time of the root span, if it is portable and has none."""
    return root_key[:TIME_BYTES] + key[TIME_BYTES:] if key.startswith(NO_TIME) else key


def describe_span(item: Item, run: RunDelivery) -> tuple[str, Operation]:
    """Return the idempotency key of a span item, and the operation that sends it."""
    stored, root_key, partition = run.stored, run.root_key, run.partition
    key = root_key if item.key == stored.root else item.key
    if item.name == ASKED_TYPE:
        key = _timed(key, root_key)
    text = key_text(key)
    span_id = pfid_text(text, partition)
    result = UNSET if item.result is None else Raw(item.result)
    ended_at = UNSET if item.finished_ns is None else iso8601(item.finished_ns)
    if item.kind == ItemKind.FINISH:
        once = f"f-{text}"
        return once, _Finish(once, span_id, item.status or "", result, ended_at)
    parent = root_key if item.parent == stored.root else item.parent
    parent = parent and _timed(parent, root_key)
    once = f"c-{text}"
    details = _Details(
        stored.instance_id or "",
        span_id,
        item.name or "",
        item.status or "",
        Raw(item.payload or NO_PAYLOAD),
        None if parent is None else _parent_id(parent, partition),
        iso8601(item.started_ns or 0),
        result,
        ended_at,
    )
    return once, _Create(once, details)


@lru_cache(PARENTS)
def _parent_id(parent: bytes, partition: str) -> str:
    return pfid_text(key_text(parent), partition)
