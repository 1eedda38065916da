"""Bulk items as bytes: ids and times become text here, payloads are copied as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from remit._clock import NS_PER_S, iso8601
from remit._delivery.tracks import Track
from remit._guard import guarded
from remit._ids import RANDOM_BITS, RANDOM_CHARS, TIME_CHARS, encode
from remit._sink import AnyItem, Kind
from remit._spool import Row

SPAN: Final = int(Kind.SPAN)
NO_PAYLOAD: Final = b"{}"
WHOLE_SECOND_CHARS: Final = len("2026-01-01T00:00:00")
US_PER_S: Final = 1_000_000
RANDOM_MASK: Final = (1 << RANDOM_BITS) - 1
# What is remembered is bounded; when it is full it is forgotten at once.
MAX_HEADS: Final = 10_000
MAX_PARENTS: Final = 1_000


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


class _Create(msgspec.Struct, rename={"type": "_type"}):
    idempotency_key: str
    details: _Details
    type: str = "agent_spans/create"


class _Finish(msgspec.Struct, rename={"type": "_type"}):
    idempotency_key: str
    agent_span_id: str
    status: str
    result_payload: Raw | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET
    type: str = "agent_spans/finish"


_encode: Final = msgspec.json.Encoder().encode


class Texts:
    """Writes ids and times as text, remembering what comes again: here most of a span's cost is."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._heads: dict[int, str] = {}
        self._second = -1
        self._whole = ""

    def parts(self, key: int) -> tuple[str, str]:
        """Return the text of a key in two parts, between which a PFID has its partition."""
        time_ms = key >> RANDOM_BITS
        head = self._heads.get(time_ms)
        if head is None:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            head = self._heads[time_ms] = encode(time_ms, TIME_CHARS)
        return head, encode(key & RANDOM_MASK, RANDOM_CHARS)

    def time(self, wall_ns: int) -> str:
        """Return a time as `iso8601` does; most items share their second with the one before."""
        second, rest_us = divmod(wall_ns // 1000, US_PER_S)
        if second != self._second:
            self._second = second
            self._whole = iso8601(second * NS_PER_S)[:WHOLE_SECOND_CHARS]
        return "%s.%06dZ" % (self._whole, rest_us)  # noqa: UP031 - half the cost of an f-string's


class Composer:
    """Writes span items as the bulk endpoint reads them (CONTRACT.md section 11)."""

    def __init__(self) -> None:
        """Begin with no text remembered."""
        self._texts = Texts()

    @guarded("composing an item")
    def compose(self, item: AnyItem, track: Track) -> tuple[str, bytes]:
        """Return the idempotency key of a span item, and its JSON; `None` after a fault of ours."""
        kind, _, key, parent, name, started_ns, finished_ns, status, payload, result = item
        texts = self._texts
        head, tail = texts.parts(track.root_key if key == track.record.root else key)
        span_id = f"{head}{track.partition}{tail}"
        finished_at = UNSET if finished_ns is None else texts.time(finished_ns)
        outcome = UNSET if result is None else Raw(result)
        if kind != SPAN:
            idempotency_key = f"f-{head}{tail}"
            finish = _Finish(idempotency_key, span_id, status or "", outcome, finished_at)
            return idempotency_key, _encode(finish)
        idempotency_key = f"c-{head}{tail}"
        details = _Details(
            track.record.instance_id or "",
            span_id,
            name or "",
            status or "",
            Raw(payload or NO_PAYLOAD),
            None if parent is None else track.parents.get(parent) or self._above(parent, track),
            texts.time(started_ns or 0),
            outcome,
            finished_at,
        )
        return idempotency_key, _encode(_Create(idempotency_key, details))

    def _above(self, parent: int, track: Track) -> str:
        head, tail = self._texts.parts(track.root_key if parent == track.record.root else parent)
        if len(track.parents) >= MAX_PARENTS:
            track.parents.clear()
        text = track.parents[parent] = f"{head}{track.partition}{tail}"
        return text


@dataclass(slots=True)
class Batch:
    """Items for one bulk request, in the order of sending.

    Attributes:
        entries: Each row and its run, by idempotency key.
        bodies: The JSON of each.
    """

    entries: dict[str, tuple[Row, Track]] = field(default_factory=dict[str, tuple[Row, Track]])
    bodies: list[bytes] = field(default_factory=list[bytes])
