"""Payloads without markers, for the comparison with a schema.

A number that JSON cannot represent exactly is written as a string.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias, cast

from remit._base.markers import is_marker, items_in_all, unescaped, without_note

PLACEHOLDER: Final = ""
"""Replaces a marker while a payload is compared."""
MAX_LEFT_OUT: Final = 256
"""Most items of a list that was cut that are replaced by placeholders."""
NUMBER_TEXT: Final = "^(?:NaN|-?Infinity|-?[0-9]{16,})$"
"""Matches the text of NaN, of an infinity, and of an integer beyond 2^53."""
_NUMBER_IN_JSON: Final = re.compile(f'"{NUMBER_TEXT[1:-1]}"')


Path: TypeAlias = tuple[str | int, ...]


class Plain(NamedTuple):
    """A payload without markers."""

    value: object
    marked: list[Path]


def is_number_text(value: object) -> bool:
    """Return whether *value* is the text of a number."""
    return isinstance(value, str) and re.fullmatch(NUMBER_TEXT, value) is not None


def may_hold_number_text(text: str) -> bool:
    """Return whether a value in the JSON *text* may be the text of a number."""
    return _NUMBER_IN_JSON.search(text) is not None


def plain(payload: dict[str, object], *, fill: bool = False) -> Plain:
    """Return *payload* with placeholders for markers, and with the user's own names.

    Args:
        fill: Whether placeholders also replace the items that a list was cut by, so that the items
            after them keep their places; else these are left out.
    """
    if is_marker(payload):
        return Plain(PLACEHOLDER, [()])
    marked: list[Path] = []
    return Plain(_plain(without_note(payload), (), marked, fill=fill), marked)


def _plain(value: object, path: Path, marked: list[Path], *, fill: bool) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        if is_marker(members):
            marked.append(path)
            return PLACEHOLDER
        return {
            (own := unescaped(name)): _plain(member, (*path, own), marked, fill=fill)
            for name, member in members.items()
        }
    if isinstance(value, list):
        items = _with_gap(cast("list[object]", value), fill=fill)
        return [_plain(item, (*path, index), marked, fill=fill) for index, item in enumerate(items)]
    return value


def _with_gap(items: list[object], *, fill: bool) -> list[object]:
    """Return *items* with one placeholder for each item left out, or with none."""
    for index, item in enumerate(items):
        if (count := items_in_all(item)) is not None:
            times = min(count, MAX_LEFT_OUT) + 1 - len(items) if fill else 0
            return [*items[:index], *[item] * times, *items[index + 1 :]]
    return items
