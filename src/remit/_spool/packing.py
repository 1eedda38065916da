"""Items and run records as bytes: what is in the columns of a spool's tables.

Items are packed a few hundred together. A row of SQL for each would cost a step of SQLite each,
and each step gives up the interpreter's lock: beside a program that computes, getting it back
takes 5 ms. msgpack rather than JSON, because it copies payloads as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import msgspec

from remit._losses import cost, costs
from remit._sink import Item
from remit._spool.outbox import Registration, RunRecord, RunState

T = TypeVar("T")

CHUNK_ITEMS: Final = 500
CHUNK_BYTES: Final = 1 << 20
# Of more than this at once zlib computes without the interpreter's lock, and must get it back.
CRC_BYTES: Final = 5 * 1024


class DamagedError(Exception):
    """What is in a spool's file is not what was written there. Never leaves the spool."""


@dataclass(frozen=True, slots=True)
class Body:
    """Items, packed.

    Attributes:
        items: How many.
        crc: Checksum of the content: SQLite has none of its own.
        content: The bytes.
    """

    items: int
    crc: int
    content: bytes

    @classmethod
    def of(cls, items: Sequence[Item | None]) -> Body:
        """Pack *items*; `None` keeps the place of one that has gone."""
        content = _encode(items)
        return cls(len(items) - items.count(None), _crc(content), content)

    def unpacked(self) -> list[Item | None]:
        """Return the items.

        Raises:
            DamagedError: The bytes are not those that were written.
        """
        try:
            sound = _crc(self.content) == self.crc
        except TypeError:
            # In a damaged file anything may stand in the place of bytes.
            sound = False
        if not sound:
            raise DamagedError("the checksum of items does not fit")
        return _decode(_items, self.content)


Parts: TypeAlias = list[tuple[Sequence[Item], Body]]
"""Items in parts, each also as bytes."""


class _Run(msgspec.Struct, array_like=True):
    key: str
    root: bytes
    started_ns: int
    purpose: str
    registration: bytes
    instance_id: str | None
    state: RunState
    inherited: bool
    resumed: bool
    lost: dict[str, int] = msgspec.field(default_factory=dict[str, int])


_encode: Final = msgspec.msgpack.Encoder().encode
_items: Final = msgspec.msgpack.Decoder(list[Item | None])
_run: Final = msgspec.msgpack.Decoder(_Run)
_registration: Final = msgspec.msgpack.Decoder(Registration)


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Part *items* so that each part is read, sent and given up at once."""
    for begin in range(0, len(items), CHUNK_ITEMS):
        part = items[begin : begin + CHUNK_ITEMS]
        if costs(part) <= CHUNK_BYTES:
            yield part
        else:
            yield from _by_size(part)


def _by_size(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    begin, size_bytes = 0, 0
    for end, item_bytes in enumerate(map(cost, items)):
        size_bytes += item_bytes
        if end > begin and size_bytes > CHUNK_BYTES:
            yield items[begin:end]
            begin, size_bytes = end, item_bytes
    yield items[begin:]


def packed(items: Sequence[Item]) -> Parts:
    """Return the parts of *items*, each also as bytes."""
    return [(part, Body.of(part)) for part in chunks(items)]


def size_of_parts(parts: Parts) -> int:
    """Return the bytes that *parts* take."""
    return sum(len(body.content) for _, body in parts)


def pack_run(record: RunRecord, digest: bytes) -> bytes:
    """Return *record* as bytes; its registration is kept apart, under its *digest*."""
    return _encode(
        _Run(
            record.key,
            record.root,
            record.started_ns,
            record.purpose,
            digest,
            record.instance_id,
            record.state,
            record.inherited,
            record.resumed,
            record.lost,
        )
    )


def unpack_run(content: bytes, registrations: dict[bytes, Registration]) -> RunRecord:
    """Return the record that `pack_run` packed.

    Raises:
        DamagedError: The bytes are not a record's, or its registration is missing.
    """
    run = _decode(_run, content)
    registration = registrations.get(run.registration)
    if registration is None:
        raise DamagedError("the registration of a run is missing")
    return RunRecord(
        run.key,
        run.root,
        run.started_ns,
        run.purpose,
        registration,
        run.instance_id,
        run.state,
        run.inherited,
        run.resumed,
        run.lost,
    )


def pack_registration(registration: Registration) -> bytes:
    """Return *registration* as bytes."""
    return _encode(registration)


def unpack_registration(content: bytes) -> Registration:
    """Return the registration that `pack_registration` packed.

    Raises:
        DamagedError: The bytes are not a registration's.
    """
    return _decode(_registration, content)


def _crc(content: bytes) -> int:
    view, crc = memoryview(content), 0
    for begin in range(0, len(view), CRC_BYTES):
        crc = zlib.crc32(view[begin : begin + CRC_BYTES], crc)
    return crc


def _decode(decoder: msgspec.msgpack.Decoder[T], content: bytes) -> T:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise DamagedError(f"a record cannot be read: {error}") from error
