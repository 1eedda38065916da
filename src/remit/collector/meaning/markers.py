"""Tells what the author of a payload wrote from the markers that remit put there.

A marker is an object with the key `$remit`; its place is compared with nothing. A user's own
key `$remit` is written `$$remit`, and so on with one `$` more. A number that JSON cannot represent
exactly is written as a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

KEY: Final = "$remit"
EXCEEDS: Final = "exceeds"
WITHHELD: Final = "withheld"
PLACE: Final = "\x00a marker stands here\x00"
"""Replaces a marker while a payload is compared; PostgreSQL can hold no such text."""
MAX_PLACES: Final = 256
"""A fixed tuple with more places is not compared by them where a list is cut."""
NUMBER_TEXT: Final = "^(?:NaN|-?Infinity|-?[0-9]{16,})$"
"""Matches the text of NaN, of an infinity, and of an integer beyond 2^53."""
_BARE: Final = KEY[1:]
_NUMBER_IN_JSON: Final = re.compile(f'"{NUMBER_TEXT[1:-1]}"')


class Plain(NamedTuple):
    """A payload without what remit wrote into it.

    Attributes:
        value: The payload; a text of its own stands at the place of each marker.
        has_markers: Whether there are any.
    """

    value: object
    has_markers: bool


def may_hold(text: str) -> bool:
    """Return whether the JSON *text* may hold the reserved key, also if it is written escaped."""
    return KEY in text or "\\u00" in text


def is_number_text(value: object) -> bool:
    """Return whether *value* is the text of a number."""
    return isinstance(value, str) and re.fullmatch(NUMBER_TEXT, value) is not None


def may_hold_number_text(text: str) -> bool:
    """Return whether a value in the JSON *text* may be the text of a number."""
    return _NUMBER_IN_JSON.search(text) is not None


def plain(payload: dict[str, object]) -> Plain:
    """Return *payload* as its author meant it."""
    if isinstance(payload.get(KEY), str):
        return Plain(PLACE, has_markers=True)
    found: list[object] = []
    given = {_own(name): _plain(value, found) for name, value in payload.items() if name != KEY}
    return Plain(given, bool(found))


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
                waiting.extend(each for name, each in members.items() if name != KEY)


def exceeded(payload: dict[str, object]) -> list[str]:
    """Return what is said of the step's going beyond its agent's remit, a sentence each."""
    said = payload.get(KEY)
    holder = payload if isinstance(said, str) else said
    found = cast("dict[str, object]", holder).get(EXCEEDS) if isinstance(holder, dict) else None
    return [str(each) for each in cast("list[object]", found)] if isinstance(found, list) else []


def _plain(value: object, found: list[object]) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        if KEY in members:
            found.append(members)
            return PLACE
        return {_own(name): _plain(each, found) for name, each in members.items()}
    if isinstance(value, list):
        items = cast("list[object]", value)
        copies = [_plain(each, found) for each in items]
        for place, item in enumerate(items):
            if (of := _items_in_all(item)) is not None:
                # The items after the marker keep their places in a fixed tuple.
                copies[place:place] = [PLACE] * (min(of, MAX_PLACES) - len(items))
                break
        return copies
    return value


def _items_in_all(item: object) -> int | None:
    """Return the number of items of a list if *item* is the marker of those left out."""
    marker = cast("dict[str, object]", item) if isinstance(item, dict) else {}
    of = marker.get("of")
    is_gap = marker.get(KEY) == "cut" and marker.get("unit") == "items" and "head" not in marker
    return of if is_gap and isinstance(of, int) else None


def _own(name: str) -> str:
    # `$$remit` was `$remit`; `$$$remit` was `$$remit`.
    return name[1:] if name.startswith("$$") and name.lstrip("$") == _BARE else name
