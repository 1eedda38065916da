"""The reader that compares what a person saw with what runs: arrays of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from remit._record.binding import read
from tests.subtests import each


def digest(value: object) -> bytes:
    """Return the digest of one argument."""
    return read("step", {"value": value}).digest


def test_equal_arrays_have_one_digest() -> None:
    """Their values are compared, not their identity."""
    assert digest(np.array([1, 2])) == digest(np.array([1, 2]))


@each("other", [np.array([1, 3]), np.array([[1, 2]])])
def test_different_arrays_have_different_digests(other: Any) -> None:
    """By their values, and by their shape."""
    one = np.array([1, 2])
    assert digest(one) != digest(other)
    for value in (one, other):
        assert read("step", {"value": value}).unbound == ()


def test_an_array_of_objects_is_compared_by_type() -> None:
    """Its bytes are addresses, which say nothing of its values."""
    assert read("step", {"value": np.array([{}, 1], dtype=object)}).unbound == ("value",)
