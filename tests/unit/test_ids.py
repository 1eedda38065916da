"""Keys and PFIDs, compared with the published package."""

from __future__ import annotations

import os
import random
import time

import pfid
from hypothesis import given
from hypothesis import strategies as st

from remit._base import ids
from tests.subtests import each

KEYS = st.integers(0, (1 << 127) - 1).map(lambda value: value.to_bytes(16))
PARTITIONS = st.integers(0, (1 << 30) - 1)


@given(key=KEYS, partition=PARTITIONS)
def test_a_pfid_is_what_the_published_package_calls_one(key: bytes, partition: int) -> None:
    """Their reader accepts it and finds our partition in it."""
    text = ids.pfid(key, partition)
    assert pfid.is_pfid(text)
    assert pfid.extract_partition(text) == partition
    assert ids.partition_of(text) == partition
    assert ids.key_of(text) == key


def test_a_published_pfid_is_one_to_us() -> None:
    """Our reader accepts theirs and finds their partition in it."""
    text = pfid.generate(123456789)
    assert ids.is_pfid(text)
    assert ids.partition_of(text) == 123456789


@each("text", ["", "x", "8" * 32, "0" * 31, "0" * 33, "U" * 32, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"])
def test_what_is_no_pfid_has_no_parts(text: str) -> None:
    """A wrong length, letter or first character is refused."""
    assert not ids.is_pfid(text)
    assert ids.partition_of(text) is None
    assert ids.key_of(text) is None


def test_keys_sort_by_time() -> None:
    """The text of a later key is greater."""
    now = time.time_ns()
    texts = [ids.key_text(ids.new_key(now + n * 1_000_000)) for n in range(100)]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {26}


def test_seeding_the_global_generator_does_not_repeat_keys() -> None:
    """A user's `random.seed` is theirs; our keys stay unique."""
    random.seed(1)
    first = ids.new_key(0)
    random.seed(1)
    assert ids.new_key(0) != first


def test_a_forked_child_makes_other_keys() -> None:
    """The generator is seeded anew in the child."""
    read, write = os.pipe()
    if os.fork() == 0:  # pragma: no branch
        os.write(write, ids.new_key(0))
        os._exit(0)
    os.wait()
    assert os.read(read, 100) != ids.new_key(0)
    os.close(read)
    os.close(write)


def test_a_partition_has_30_bits() -> None:
    """A new account's partition fits its field."""
    assert all(0 <= ids.new_partition() < 1 << 30 for _ in range(100))


def test_a_thing_with_a_name_has_the_same_key_for_everybody() -> None:
    """Two processes that know an id come to the same key, which sorts beside it."""
    identifier = ids.pfid(ids.new_key(1_790_000_000_000_000_000), 5)
    key = ids.key_within(identifier, "root")
    assert key == ids.key_within(identifier, "root")
    assert key not in (None, ids.key_of(identifier), ids.key_within(identifier, "other"))
    assert ids.pfid(key or b"", 5)[:16] == identifier[:16]
    assert ids.key_within("an id of another kind", "root") is None
