"""Keys and PFIDs: a key is 16 bytes in the SDK and becomes text only when it is sent.

A key is 6 bytes of milliseconds since 1970, then 10 random ones, big-endian. Its text is 26
characters of Crockford base32. A PFID is the same with 30 bits of partition between the two, 32
characters.

Tested against the published `pfid` package.
"""

from __future__ import annotations

import hashlib
import random
import re
import struct
from functools import lru_cache
from typing import Final

from remit._base.clock import NS_PER_MS
from remit._base.system import at_fork

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
KEY_BYTES: Final = 16
TIME_BYTES: Final = 6
RANDOM_BITS: Final = 80
TIME_CHARS: Final = 10
PARTITION_CHARS: Final = 6
RANDOM_CHARS: Final = 16
KEY_CHARS: Final = TIME_CHARS + RANDOM_CHARS
PARTITION_BITS: Final = 30
SHORT_CHARS: Final = 8
"""Length of the short id of a run: the last characters of its id, which are random."""

_PFID: Final = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{31}")
_KEY: Final = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_SHORT: Final = re.compile(rf"[0-9a-hjkmnp-tv-z]{{{SHORT_CHARS}}}")
# `int` reads the same digits under other letters.
_TO_INT: Final = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)
_PAIR_MASK: Final = 0x3FF
_split_key: Final = struct.Struct(">6sHBHHBH").unpack

# Its own generator: a user's `random.seed(...)` must not make two processes use the same ids.
_generator: Final = random.Random()  # noqa: S311 - ids need to be unique, not secret
at_fork(after_in_child=_generator.seed)

random_bits: Final = _generator.getrandbits


def new_key(wall_ns: int) -> bytes:
    """Return a new key for a start at *wall_ns*; before 1970 as if in its first moment."""
    milliseconds = max(wall_ns, 0) // NS_PER_MS
    return (milliseconds << RANDOM_BITS | random_bits(RANDOM_BITS)).to_bytes(KEY_BYTES)


def new_partition() -> int:
    """Return a random partition, 30 bits, for a new account."""
    return random_bits(PARTITION_BITS)


def encode(value: int, chars: int) -> str:
    """Return *value* as *chars* characters of Crockford base32; *chars* is even."""
    return "".join(
        [_PAIRS[(value >> shift) & _PAIR_MASK] for shift in range((chars - 2) * 5, -1, -10)]
    )


def key_text(key: bytes) -> str:
    """Return the 26 characters of a key."""
    pairs = _PAIRS
    # Two or three bytes at a time: Python computes fastest with small integers.
    time, a, b, c, d, e, f = _split_key(key)
    return (
        f"{_time_text(time)}"
        f"{pairs[a >> 6]}{pairs[(a & 63) << 4 | b >> 4]}"
        f"{pairs[(b & 15) << 6 | c >> 10]}{pairs[c & _PAIR_MASK]}"
        f"{pairs[d >> 6]}{pairs[(d & 63) << 4 | e >> 4]}"
        f"{pairs[(e & 15) << 6 | f >> 10]}{pairs[f & _PAIR_MASK]}"
    )


def is_key(text: str) -> bool:
    """Return whether *text* is the 26 characters of a key."""
    return _KEY.fullmatch(text) is not None


def is_short(text: str) -> bool:
    """Return whether *text* has the form of a short id."""
    return _SHORT.fullmatch(text) is not None


def key_from_text(text: str) -> bytes | None:
    """Return the key of 26 characters, or `None` if *text* is not one."""
    return decode(text).to_bytes(KEY_BYTES) if is_key(text) else None


def pfid(key: bytes, partition: int) -> str:
    """Return the PFID, 32 characters, of *key* in *partition*."""
    return pfid_text(key_text(key), encode(partition, PARTITION_CHARS))


def pfid_text(key: str, partition: str) -> str:
    """Return the PFID of a key, in a partition; both are texts."""
    return key[:TIME_CHARS] + partition + key[TIME_CHARS:]


@lru_cache(maxsize=2_000)
def _time_text(time: bytes) -> str:
    return encode(int.from_bytes(time), TIME_CHARS)


def partition_of(identifier: str) -> int | None:
    """Return the partition of a PFID, or `None` if *identifier* is not one."""
    if not is_pfid(identifier):
        return None
    return decode(identifier[TIME_CHARS : TIME_CHARS + PARTITION_CHARS])


def key_of(identifier: str) -> bytes | None:
    """Return the key inside a PFID (time and random bits), or `None` if it is not one."""
    if not is_pfid(identifier):
        return None
    text = identifier[:TIME_CHARS] + identifier[TIME_CHARS + PARTITION_CHARS :]
    return decode(text).to_bytes(KEY_BYTES)


def derived_key(key: bytes, text: str) -> bytes:
    """Return a key with the time of *key* and, in place of random bytes, a hash of *text*."""
    digest = hashlib.sha256(text.encode()).digest()
    return key[:TIME_BYTES] + digest[: KEY_BYTES - TIME_BYTES]


def key_within(identifier: str, name: str) -> bytes | None:
    """Return the key of the one thing called *name* in what a PFID identifies.

    Every process that knows the PFID derives the same key. Its time is the PFID's.

    Returns:
        None if *identifier* is not a PFID.
    """
    whole = key_of(identifier)
    return None if whole is None else derived_key(whole, f"{identifier}/{name}")


def decode(text: str) -> int:
    """Return the integer that *text*, lower-case Crockford base32, encodes."""
    return int(text.translate(_TO_INT), 32)


def is_pfid(identifier: str) -> bool:
    """Return whether *identifier* is a PFID as the API writes it (lower case)."""
    return _PFID.fullmatch(identifier) is not None


def hash_of_subject(subject: str) -> str:
    """Return the hash by which runs about *subject* are stored."""
    return hashlib.sha256(subject.encode()).hexdigest()


def hash_of_on_behalf_of(person: str) -> str:
    """Return the hash by which runs on behalf of *person* are stored.

    The prefix keeps it apart from the hash of a subject of the same name.
    """
    return hashlib.sha256(f"on_behalf_of\0{person}".encode()).hexdigest()


HASHES: Final = {"subject": hash_of_subject, "on_behalf_of": hash_of_on_behalf_of}
"""How the people of a run are hashed, by the argument that names them."""
