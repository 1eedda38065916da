"""Markers: the objects that replace a value in a payload.

All are listed in docs/reference/payloads.md. Each has the reserved key `$remit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias, cast

KEY: Final = "$remit"
"""The reserved key; its value names the kind of marker."""

Marker: TypeAlias = dict[str, object]


def withheld(rule: str) -> Marker:
    """Return the marker of a value that *rule* withholds."""
    return {KEY: "withheld", "rule": rule}


def cut(of: int, unit: str, head: object) -> Marker:
    """Return the marker of a value of which only *head* is kept.

    Args:
        of: Number of units of the whole value.
        unit: `chars`, `items` or `keys`.
        head: The part that is kept.
    """
    return {KEY: "cut", "of": of, "unit": unit, "head": head}


def cut_before(of: int) -> Marker:
    """Return the marker that stands first in a list of *of* items of which the last are kept."""
    return {KEY: "cut", "of": of, "unit": "items"}


def cut_below(level: int) -> Marker:
    """Return the marker of a container that is nested too deep, or inside itself."""
    return {KEY: "cut", "of": level, "unit": "levels"}


def cut_whole(size: int) -> Marker:
    """Return the marker of a payload of *size* bytes of which nothing is kept."""
    return {KEY: "cut", "of": size, "unit": "bytes"}


def opaque(type_name: str) -> Marker:
    """Return the marker of an object that is not read."""
    return {KEY: "opaque", "type": type_name}


def of_bytes(length: int) -> Marker:
    """Return the marker of binary data of *length* bytes."""
    return {KEY: "bytes", "length": length}


def array(type_name: str, shape: Sequence[int], dtype: str) -> Marker:
    """Return the marker of an array or a table."""
    return {KEY: "array", "type": type_name, "shape": list(shape), "dtype": dtype}


def items_before(value: object) -> int | None:
    """Return how many items the list had in which *value*, such a marker, stands first."""
    if type(value) is not dict:
        return None
    marker = cast("Marker", value)
    of = marker.get("of")
    return of if type(of) is int and marker == cut_before(of) else None


def rule_of(value: object) -> object:
    """Return the rule in a marker of a withheld value, None if *value* is no such marker."""
    if type(value) is not dict:
        return None
    marker = cast("Marker", value)
    return marker.get("rule") if marker.get(KEY) == "withheld" else None


def is_withheld(value: object) -> bool:
    """Return whether *value* is the marker of a withheld value."""
    return rule_of(value) is not None
