"""Results that are remembered within a block, so that shared types are read once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import pytest

from remit._base.memo import memo, memoized
from tests.subtests import each

pytestmark = pytest.mark.python

READ: list[object] = []


@memoized
def read(annotation: object) -> str:
    """Return the text of a type, and note that it was read."""
    READ.append(annotation)
    return repr(annotation)


@pytest.fixture(autouse=True)
def _nothing_read() -> None:
    READ.clear()


def test_a_type_is_read_once_within_a_block() -> None:
    """Equal types are one; outside, and in the next block, a class may have changed."""
    assert read(list[int]) == read(list[int])
    assert len(READ) == 2
    for reads in (3, 4):
        with memo():
            assert read(list[int]) == read(list[int]) == "list[int]"
        assert len(READ) == reads


def test_nothing_is_remembered_after_a_block_that_raises() -> None:
    """As after any other."""

    def fail() -> None:
        with memo():
            read(int)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    read(int)
    assert len(READ) == 2


def test_another_thread_remembers_nothing() -> None:
    """A call on it may read a type at the same time."""
    with memo():
        read(int)
        thread = threading.Thread(target=lambda: read(int))
        thread.start()
        thread.join()
    assert len(READ) == 2


@each(
    "one, other",
    [
        (int | str, str | int),
        (list[int | str], list[str | int]),
        (Literal[1], Literal[True]),
        (Literal["a", "b"], Literal["b", "a"]),
    ],
)
def test_types_that_differ_in_the_order_of_their_parts_are_two(one: object, other: object) -> None:
    """What is read of a union depends on the order of its members."""
    READ.clear()
    with memo():
        assert read(one) != read(other)
    assert len(READ) == 2


class Unhashable(type):
    """A metaclass that refuses to hash its classes."""

    def __hash__(cls) -> int:
        """Fail."""
        raise ValueError


class Odd(metaclass=Unhashable):
    """A class without a hash."""


@each("annotation", [Callable[[int], str], Odd, [int]])
def test_a_type_without_a_hash_is_read_each_time(annotation: object) -> None:
    """It is no fault."""
    READ.clear()
    with memo():
        assert read(annotation) == read(annotation) == repr(annotation)
    assert len(READ) == 2
