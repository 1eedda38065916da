"""Keys and PFIDs: made as one integer on the caller's thread, written as text when sent.

A key is 128 bits: 48 of milliseconds since 1970, then 80 random ones. Its text is 26 characters
of Crockford base32. A PFID is the same with 30 bits of partition between the two, 32 characters.

Source: CONTRACT.md section 6; tested against the published `pfid` package.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from typing import Final

from remit._clock import NS_PER_MS

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
RANDOM_BITS: Final = 80
TIME_CHARS: Final = 10
PARTITION_CHARS: Final = 6
RANDOM_CHARS: Final = 16
KEY_CHARS: Final = TIME_CHARS + RANDOM_CHARS
PARTITION_BITS: Final = 30

_PFID: Final = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{31}")
_VALUES: Final = {char: value for value, char in enumerate(ALPHABET)}
_PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)
_PAIR_MASK: Final = 0x3FF

# Its own generator: a user's `random.seed(...)` must not make two processes use the same ids.
_generator: Final = random.Random()  # noqa: S311 - ids need to be unique, not secret
os.register_at_fork(after_in_child=_generator.seed)

_getrandbits = _generator.getrandbits


def new_key(wall_ns: int) -> int:
    """Return a new 128-bit key for something that began at *wall_ns*."""
    return (wall_ns // NS_PER_MS << RANDOM_BITS) | _getrandbits(RANDOM_BITS)


def new_partition() -> int:
    """Return a random partition, 30 bits, for a new account."""
    return _getrandbits(PARTITION_BITS)


def encode(value: int, chars: int) -> str:
    """Return *value* as *chars* characters of Crockford base32; *chars* is even."""
    return "".join(
        [_PAIRS[(value >> shift) & _PAIR_MASK] for shift in range((chars - 2) * 5, -1, -10)]
    )


def key_text(key: int) -> str:
    """Return the 26 characters of a key."""
    return encode(key, KEY_CHARS)


def pfid(key: int, partition: int) -> str:
    """Return the PFID, 32 characters, of *key* in *partition*."""
    text = encode(key, KEY_CHARS)
    return text[:TIME_CHARS] + encode(partition, PARTITION_CHARS) + text[TIME_CHARS:]


def partition_of(identifier: str) -> int | None:
    """Return the partition of a PFID, or `None` if *identifier* is not one."""
    if not is_pfid(identifier):
        return None
    return decode(identifier[TIME_CHARS : TIME_CHARS + PARTITION_CHARS])


def key_of(identifier: str) -> int | None:
    """Return the key inside a PFID (time and random bits), or `None` if it is not one."""
    if not is_pfid(identifier):
        return None
    return decode(identifier[:TIME_CHARS] + identifier[TIME_CHARS + PARTITION_CHARS :])


def key_within(identifier: str, name: str) -> int | None:
    """Return the key of the one thing called *name* in what a PFID identifies.

    Whoever knows the PFID comes to the same key, without asking. Its time is the PFID's.

    Returns:
        None if *identifier* is no PFID.
    """
    whole = key_of(identifier)
    if whole is None:
        return None
    digest = hashlib.sha256(f"{identifier}/{name}".encode()).digest()
    return whole >> RANDOM_BITS << RANDOM_BITS | int.from_bytes(digest[: RANDOM_BITS // 8])


def decode(text: str) -> int:
    """Return the integer that Crockford base32 *text* (lower case) stands for."""
    value = 0
    for char in text:
        value = value << 5 | _VALUES[char]
    return value


def is_pfid(identifier: str) -> bool:
    """Return whether *identifier* is a PFID as the API writes it (lower case)."""
    return _PFID.fullmatch(identifier) is not None
