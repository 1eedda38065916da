"""Separates the values of a payload from the markers that remit wrote instead of values.

A marker is an object with the key `$remit`. A user's own key `$remit` is written `$$remit`, and so
on with one `$` more. A number that JSON cannot represent exactly is written as a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias, cast

KEY: Final = "$remit"
EXCEEDS: Final = "exceeds"
WITHHELD: Final = "withheld"
PLACEHOLDER: Final = ""
"""Replaces a marker while a payload is compared."""
MAX_LEFT_OUT: Final = 256
"""So many items of a list that was cut are replaced by placeholders."""
NUMBER_TEXT: Final = "^(?:NaN|-?Infinity|-?[0-9]{16,})$"
"""Matches the text of NaN, of an infinity, and of an integer beyond 2^53."""
_BARE: Final = KEY[1:]
_NUMBER_IN_JSON: Final = re.compile(f'"{NUMBER_TEXT[1:-1]}"')


Path: TypeAlias = tuple[str | int, ...]


class Plain(NamedTuple):
    """A payload without markers.

    Attributes:
        value: The payload, with a placeholder for each marker.
        marked: The paths of the placeholders.
    """

    value: object
    marked: list[Path]


def may_hold(text: str) -> bool:
    """Return whether the JSON *text* may hold the reserved key, also if it is written escaped."""
    return KEY in text or "\\u00" in text


def is_number_text(value: object) -> bool:
    """Return whether *value* is the text of a number."""
    return isinstance(value, str) and re.fullmatch(NUMBER_TEXT, value) is not None


def may_hold_number_text(text: str) -> bool:
    """Return whether a value in the JSON *text* may be the text of a number."""
    return _NUMBER_IN_JSON.search(text) is not None


def plain(payload: dict[str, object], *, fill: bool = False) -> Plain:
    """Return *payload* with placeholders for markers, and with the user's own names.

    Args:
        payload: The payload.
        fill: Whether placeholders also replace the items that a list was cut by, so that the items
            after them keep their places; else these are left out.
    """
    if isinstance(payload.get(KEY), str):
        return Plain(PLACEHOLDER, [()])
    marked: list[Path] = []
    members = {name: value for name, value in payload.items() if name != KEY}
    return Plain(_plain(members, (), marked, fill=fill), marked)


def markers_in(payload: object) -> Iterator[dict[str, object]]:
    """Yield the markers in *payload*."""
    waiting = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(cast("list[object]", value))
        elif isinstance(value, dict):
            members = cast("dict[str, object]", value)
            if isinstance(members.get(KEY), str):
                yield members
            else:
                waiting.extend(member for name, member in members.items() if name != KEY)


def exceeded(payload: dict[str, object]) -> list[str]:
    """Return the sentences that say how the step exceeded its agent's remit."""
    own = payload.get(KEY)
    marker = payload if isinstance(own, str) else own
    sentences = cast("dict[str, object]", marker).get(EXCEEDS) if isinstance(marker, dict) else None
    if not isinstance(sentences, list):
        return []
    return [str(sentence) for sentence in cast("list[object]", sentences)]


def _plain(value: object, path: Path, marked: list[Path], *, fill: bool) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        if KEY in members:
            marked.append(path)
            return PLACEHOLDER
        return {
            (own := _unescaped(name)): _plain(member, (*path, own), marked, fill=fill)
            for name, member in members.items()
        }
    if isinstance(value, list):
        items = _with_gap(cast("list[object]", value), fill=fill)
        return [_plain(item, (*path, index), marked, fill=fill) for index, item in enumerate(items)]
    return value


def _with_gap(items: list[object], *, fill: bool) -> list[object]:
    """Return *items* with the marker of those left out as often as there were items, or never."""
    for index, item in enumerate(items):
        if (count := _items_in_all(item)) is not None:
            times = min(count, MAX_LEFT_OUT) + 1 - len(items) if fill else 0
            return [*items[:index], *[item] * times, *items[index + 1 :]]
    return items


def _items_in_all(item: object) -> int | None:
    """Return the number of items of a list if *item* is the marker of those left out."""
    marker = cast("dict[str, object]", item) if isinstance(item, dict) else {}
    count = marker.get("of")
    is_gap = marker.get(KEY) == "cut" and marker.get("unit") == "items" and "head" not in marker
    return count if is_gap and isinstance(count, int) else None


def _unescaped(name: str) -> str:
    # `$$remit` was `$remit`; `$$$remit` was `$$remit`.
    return name[1:] if name.startswith("$$") and name.lstrip("$") == _BARE else name
