"""Ids of runs and spans in the tables: PFIDs in 20 bytes, whose order is that of their texts."""

from __future__ import annotations

from typing import Final

from remit._base.ids import PARTITION_BITS, RANDOM_BITS, decode, encode, is_pfid

ID_BYTES: Final = 20
ID_CHARS: Final = 32
SHARDS: Final = 1024
_FOREIGN: Final = b"\xff"
"""Begins a parent id that is no PFID; no PFID begins with it."""
_TIME_SHIFT: Final = RANDOM_BITS + PARTITION_BITS
_LAST_MS: Final = 2**48
_US_PER_MS: Final = 1000


def to_bytes(text: str) -> bytes:
    """Return the bytes of an id."""
    return decode(text).to_bytes(ID_BYTES) if is_pfid(text) else _FOREIGN + text.encode()


def to_text(stored: bytes) -> str:
    """Return the text of an id."""
    if stored.startswith(_FOREIGN):
        return stored[1:].decode()
    return encode(int.from_bytes(stored), ID_CHARS)


def shard_of(run_id: bytes) -> int:
    """Return the shard of a run and of all that belongs to it."""
    return int.from_bytes(run_id[-2:]) % SHARDS


def first_at(instant_us: int) -> bytes:
    """Return the smallest id of the millisecond of an instant, or of the next if it began."""
    ms = min(max(-(-instant_us // _US_PER_MS), 0), _LAST_MS)
    return (ms << _TIME_SHIFT).to_bytes(ID_BYTES)


def time_of(stored: bytes) -> int:
    """Return the time in an id, in microseconds since 1970."""
    return (int.from_bytes(stored) >> _TIME_SHIFT) * _US_PER_MS
