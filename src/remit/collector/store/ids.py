"""Ids of runs and spans in a database: 20 bytes, whose order is that of the texts.

The parent of a span may be any string. One that is not a PFID is stored after a byte that begins no
PFID.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from remit._base.ids import (
    PARTITION_BITS,
    RANDOM_BITS,
    TIME_CHARS,
    decode,
    encode,
    is_pfid,
)

ID_BYTES: Final = 20
SHARDS: Final = 1024
_CHARS: Final = 32
_OTHER: Final = b"\xff"
_US_PER_MS: Final = 1000
_TIME_SHIFT: Final = RANDOM_BITS + PARTITION_BITS
_LAST_MS: Final = 2**48


# Each id of a request is used several times.
@lru_cache(maxsize=8192)
def to_bytes(text: str) -> bytes:
    """Return the stored form of an id."""
    if is_pfid(text):
        return decode(text).to_bytes(ID_BYTES)
    return _OTHER + text.encode()


def to_text(stored: bytes) -> str:
    """Return the id of a stored form."""
    if stored.startswith(_OTHER):
        return stored[1:].decode()
    return encode(int.from_bytes(stored), _CHARS)


def shard_of(run_id: bytes) -> int:
    """Return the shard of a run."""
    return int.from_bytes(run_id[-2:]) % SHARDS


def ms_of(text: str) -> int:
    """Return the time in a PFID, in milliseconds since 1970."""
    return decode(text[:TIME_CHARS])


def first_at(instant_us: int) -> bytes:
    """Return the smallest id of an instant; of the next millisecond, if one has begun."""
    ms = min(max(-(-instant_us // _US_PER_MS), 0), _LAST_MS)
    return (ms << _TIME_SHIFT).to_bytes(ID_BYTES)


def time_of(stored: bytes) -> int:
    """Return the time in a stored PFID, in microseconds since 1970."""
    return (int.from_bytes(stored) >> _TIME_SHIFT) * _US_PER_MS
