"""The content of a spool file and its encoding: items, registrations, runs.

Items are stored in chunks of up to 1,000, because each row of SQL takes a step of SQLite. A step
releases the interpreter's lock, which a computing program may then hold for 5 ms. Content that
cannot be unpacked raises `DamagedError`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec.structs import astuple

from remit._base.encoding import growing
from remit._record.items import Item

T = TypeVar("T")

SizedItems: TypeAlias = tuple[Sequence[Item], int]
"""Items, and the size of their payloads and results in bytes."""

CHUNK_ITEMS: Final = 1_000
CHUNK_BYTES: Final = 1 << 20
# Approximate size of an item on disk, without its payload and result.
ROW_BYTES: Final = 128
# zlib releases the interpreter's lock for more than this.
CRC_BYTES: Final = 5 * 1024


class DamagedError(Exception):
    """The content of a spool file is damaged. It is caught in delivery."""


class RunState(StrEnum):
    """Progress of the delivery of a run."""

    NEW = "new"
    """Not registered yet; a resumed one is not looked up yet."""
    REGISTERED = "registered"
    """The server gave it an id."""
    STARTED = "started"
    """The server knows that it runs."""
    ENDED = "ended"
    """Its end or its root span's was delivered: only late items can come."""
    SET_ASIDE = "set_aside"
    """The server rejected it; everything of it is set aside too."""


class Registration(msgspec.Struct, frozen=True, eq=False):
    """The registration of an agent, as it is sent; one object is shared by many runs.

    It may be a megabyte long, and is compared by identity, or by its digest.

    Attributes:
        agent_id: Id on the server, if the declaration or a setting gave it.
        complete: Whether it could be built; the runs of one that could not are set aside.
        bare_identifier: The identifier without the project; empty without a project.
    """

    external_identifier: str
    name: str
    description: str | None
    agent_id: str | None
    environment_id: str | None
    version: bytes
    schema: bytes
    complete: bool = True
    bare_identifier: str = ""


def no_losses() -> dict[str, int]:
    """Return the losses of a run without any, one object for all of them."""
    return _NO_LOSSES


_NO_LOSSES: Final[dict[str, int]] = {}


class StoredRun(msgspec.Struct, array_like=True, gc=False):
    """The data needed to deliver one run, also by a later process.

    `gc=False` spares the garbage collector from examining all runs that wait.

    Attributes:
        started_ns: Wall time, nanoseconds since 1970.
        inherited: The parent process opened the run; it starts and ends it.
        resumed: It continues an instance at the server, as its user says: it is looked up, never
            registered.
        lost: Its losses, by reason; replaced, never changed.
        alone: Whether it is registered by a single request, and not by a bulk request. A server may
            scope idempotency keys by endpoint, so a registration is repeated in its first form.
        continues: As `RunFeed.continues`, until the waiting run was looked for.
        conversation: By which the server finds that run.
        waits: Whether it asked a person, and its answer may come to another process.
    """

    key: str
    root: bytes
    started_ns: int
    purpose: str
    registration: Registration
    instance_id: str | None = None
    state: RunState = RunState.NEW
    inherited: bool = False
    resumed: bool = False
    lost: dict[str, int] = msgspec.field(default_factory=no_losses)
    alone: bool = False
    continues: str | None = None
    conversation: str | None = None
    waits: bool = False

    @property
    def ended(self) -> bool:
        """Whether the run needs no end."""
        return self.state in (RunState.ENDED, RunState.SET_ASIDE)


class Packed(NamedTuple):
    """Items as they are stored.

    Attributes:
        crc: Checksum of the content: SQLite has none.
    """

    items: int
    crc: int
    content: bytes


_REGISTRATION: Final = StoredRun.__struct_fields__.index("registration")
_encode: Final = growing(msgspec.msgpack.Encoder())
_items: Final = msgspec.msgpack.Decoder(list[Item | None])
_run: Final = msgspec.msgpack.Decoder(list[Any])
_registration: Final = msgspec.msgpack.Decoder(Registration)


def split(items: Sequence[Item]) -> list[SizedItems]:
    """Return *items* in chunks that are stored together."""
    chunks: list[SizedItems] = []
    begin = size_bytes = 0
    for end, item in enumerate(items):
        item_bytes = len(item.payload or b"") + len(item.result or b"")
        if end - begin == CHUNK_ITEMS or (end > begin and size_bytes + item_bytes > CHUNK_BYTES):
            chunks.append((items[begin:end], size_bytes))
            begin, size_bytes = end, 0
        size_bytes += item_bytes
    if begin < len(items):
        chunks.append((items[begin:], size_bytes))
    return chunks


def pack(items: Sequence[Item]) -> Packed:
    """Return *items* as they are stored."""
    content = _encode(items)
    return Packed(len(items), _crc(content), content)


def unpack(crc: object, content: object) -> list[Item]:
    """Return the items that `pack` packed; in a damaged file the two may be anything."""
    if not isinstance(content, bytes) or _crc(content) != crc:
        raise DamagedError("the checksum of items does not fit")
    # An earlier version left None in place of settled items.
    return [item for item in _decode(_items, content) if item is not None]


def pack_run(run: StoredRun) -> bytes:
    """Return *run* as it is stored, with the digest of its registration."""
    fields = list(astuple(run))
    fields[_REGISTRATION] = digest_of(run.registration)
    return _encode(fields)


def unpack_run(content: bytes, registrations: dict[bytes, Registration]) -> StoredRun:
    """Return the run that `pack_run` packed; *registrations* are by their digests."""
    fields = _decode(_run, content)
    try:
        fields[_REGISTRATION] = registrations[fields[_REGISTRATION]]
        return msgspec.convert(fields, StoredRun)
    except (LookupError, TypeError, msgspec.ValidationError) as error:
        raise DamagedError(f"a run cannot be read: {error}") from error


@lru_cache
def pack_registration(registration: Registration) -> tuple[bytes, bytes]:
    """Return the digest of *registration*, and the registration as it is stored."""
    content = _encode(registration)
    return sha256(content).digest(), content


def digest_of(registration: Registration) -> bytes:
    """Return the digest of *registration*, which is equal for equal ones."""
    digest, _ = pack_registration(registration)
    return digest


def unpack_registration(content: bytes) -> Registration:
    """Return the registration that `pack_registration` packed."""
    return _decode(_registration, content)


def _crc(content: bytes) -> int:
    crc = 0
    for begin in range(0, len(content), CRC_BYTES):
        crc = zlib.crc32(content[begin : begin + CRC_BYTES], crc)
    return crc


def _decode(decoder: msgspec.msgpack.Decoder[T], content: bytes) -> T:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise DamagedError(f"a row cannot be read: {error}") from error
