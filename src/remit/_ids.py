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
from collections.abc import Sequence
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
_DIGITS: Final = bytes.maketrans(bytes(range(len(ALPHABET))), ALPHABET.encode())

# Many keys are written at once as one large integer, each in a lane of 16 bytes: its random bits
# are halved four times, each half moved to the lower end of its half of the lane, until each byte
# holds the 5 bits of one character. 0.13 us a key, against 0.65 one by one.
LANES: Final = 512
LANE_BYTES: Final = 16

# Its own generator: a user's `random.seed(...)` must not make two processes use the same ids.
_generator: Final = random.Random()  # noqa: S311 - ids need to be unique, not secret
os.register_at_fork(after_in_child=_generator.seed)

random_bits: Final = _generator.getrandbits


def new_key(wall_ns: int) -> int:
    """Return a new 128-bit key for what began at *wall_ns*; `open_span` makes its own likewise."""
    return (wall_ns // NS_PER_MS << RANDOM_BITS) | random_bits(RANDOM_BITS)


def new_partition() -> int:
    """Return a random partition, 30 bits, for a new account."""
    return random_bits(PARTITION_BITS)


def encode(value: int, chars: int) -> str:
    """Return *value* as *chars* characters of Crockford base32; *chars* is even."""
    return "".join(
        [_PAIRS[(value >> shift) & _PAIR_MASK] for shift in range((chars - 2) * 5, -1, -10)]
    )


def _lanes(width_bits: int, low_bits: int) -> int:
    """Return a mask of the *low_bits* of every *width_bits* bits, as wide as all lanes."""
    ones = (1 << low_bits) - 1
    return int.from_bytes(ones.to_bytes(width_bits // 8) * (LANES * LANE_BYTES * 8 // width_bits))


_RANDOM: Final = _lanes(LANE_BYTES * 8, RANDOM_BITS)
_HALVINGS: Final = tuple(
    (low, low << bits, width // 2 - bits)
    for width, bits in ((128, 40), (64, 20), (32, 10), (16, 5))
    for low in (_lanes(width, bits),)
)


def random_texts(keys: Sequence[int]) -> list[str]:
    """Return the text of the random bits of each key, 16 characters; of at most `LANES` keys."""
    lanes = int.from_bytes(b"".join([key.to_bytes(LANE_BYTES) for key in keys])) & _RANDOM
    for low, high, shift in _HALVINGS:
        lanes = (lanes & low) | ((lanes & high) << shift)
    text = lanes.to_bytes(LANE_BYTES * len(keys)).translate(_DIGITS).decode()
    return [text[begin : begin + RANDOM_CHARS] for begin in range(0, len(text), RANDOM_CHARS)]


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
