"""Bulk items as JSON: keys and times become text here, payloads are copied as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from remit._clock import iso8601
from remit._delivery.tracks import Track
from remit._guard import guarded
from remit._ids import key_text, pfid_text
from remit._sink import Item, Kind
from remit._spool import Row

NO_PAYLOAD: Final = b"{}"
# Many spans have the same parent.
PARENTS: Final = 2_000

_encode: Final = msgspec.json.Encoder().encode
_parent_text: Final = lru_cache(PARENTS)(key_text)


class _Details(msgspec.Struct):
    agent_instance_id: str
    id: str
    schema_name: str
    status: str
    payload: Raw
    parent_span_id: str | None
    started_at: str
    result_payload: Raw | UnsetType = UNSET
    finished_at: str | UnsetType = UNSET


class _Create(msgspec.Struct):
    idempotency_key: str
    details: _Details
    _type: str = "agent_spans/create"


class _Finish(msgspec.Struct):
    idempotency_key: str
    agent_span_id: str
    status: str
    result_payload: Raw | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET
    _type: str = "agent_spans/finish"


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much goes into one bulk request."""

    items: int
    size_bytes: int


@dataclass(slots=True)
class Batch:
    """Items for one bulk request, in the order of sending.

    Attributes:
        rows: Each row, by idempotency key.
        bodies: The JSON of each.
        size_bytes: Of the bodies, with what parts them.
        tracks: Their runs, by key.
        roots: Runs whose root span ends here.
        tells: It is told here, too, what a run lost.
    """

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    bodies: list[bytes] = field(default_factory=list[bytes])
    size_bytes: int = 0
    tracks: dict[str, Track] = field(default_factory=dict[str, Track])
    roots: list[Track] = field(default_factory=list[Track])
    tells: bool = False

    def add(self, key: str, body: bytes, row: Row, track: Track) -> None:
        """Add one item."""
        self.rows[key] = row
        self.bodies.append(body)
        self.size_bytes += len(body) + 1
        self.tracks[row[1].run_key] = track

    def take_in(self, more: Batch) -> int:
        """Add what is in another, whose size is that of both; return how many items those are."""
        self.rows |= more.rows
        self.bodies += more.bodies
        self.size_bytes = more.size_bytes
        self.tracks |= more.tracks
        self.roots += more.roots
        return len(more.rows)


class Composer:
    """Writes span items as the bulk endpoint reads them (CONTRACT.md section 11)."""

    @guarded("composing an item")
    def compose(self, item: Item, track: Track) -> tuple[str, bytes]:
        """Return the idempotency key of a span item, and its JSON; `None` after a fault of ours."""
        return _composed(item, track)

    @guarded("composing items")
    def extend(
        self,
        batch: Batch,
        rows: Sequence[Row],
        limits: BatchLimits,
        track_of: Callable[[str], Track | None],
        has_lost: Callable[[Track], bool],
    ) -> int:
        """Add the first of *rows* to *batch*, up to one that needs a closer look or does not fit.

        Args:
            batch: Left as it is by a fault of ours.
            rows: What is to be sent next, in order.
            limits: How much the batch may hold.
            track_of: Returns the run of a key.
            has_lost: Tells whether a run that ends has lost anything.

        Returns:
            How many were added; `None` after a fault.
        """
        more = Batch(size_bytes=batch.size_bytes)
        for row in rows[: max(0, limits.items - len(batch.bodies))]:
            item = row[1]
            track = more.tracks.get(item.run_key)
            if track is None:
                track = track_of(item.run_key)
                if track is None or not track.ready:
                    break
                more.tracks[item.run_key] = track
            ends_run = item.kind == Kind.FINISH and item.key == track.record.root
            if ends_run and has_lost(track):
                break
            key, body = _composed(item, track)
            size_bytes = more.size_bytes + len(body) + 1
            if size_bytes > limits.size_bytes or key in more.rows or key in batch.rows:
                break
            more.size_bytes = size_bytes
            more.rows[key] = row
            more.bodies.append(body)
            if ends_run:
                more.roots.append(track)
        return batch.take_in(more)


def _composed(item: Item, track: Track) -> tuple[str, bytes]:
    """Return the idempotency key of a span item, and its JSON."""
    root, root_key = track.record.root, track.root_key
    text = key_text(root_key if item.key == root else item.key)
    span_id = pfid_text(text, track.partition)
    result = UNSET if item.result is None else Raw(item.result)
    ended_at = UNSET if item.finished_ns is None else iso8601(item.finished_ns)
    if item.kind == Kind.FINISH:
        key = f"f-{text}"
        return key, _encode(_Finish(key, span_id, item.status or "", result, ended_at))
    parent_id = None
    if item.parent is not None:
        parent = _parent_text(root_key if item.parent == root else item.parent)
        parent_id = pfid_text(parent, track.partition)
    key = f"c-{text}"
    details = _Details(
        track.record.instance_id or "",
        span_id,
        item.name or "",
        item.status or "",
        Raw(item.payload or NO_PAYLOAD),
        parent_id,
        iso8601(item.started_ns or 0),
        result,
        ended_at,
    )
    return key, _encode(_Create(key, details))
