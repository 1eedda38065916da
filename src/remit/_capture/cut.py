"""Cuts a payload to its size: the one place that decides which part of it stays.

The room is the setting `max_payload_bytes`: bytes of JSON in UTF-8. A payload that fits stays
whole. The following rules apply to one that does not, from the outside to the inside:

- The members of an object share its room. Short ones stay whole, and the long ones share equally
  what is left. An object with so many members that each would keep less than about 256 bytes keeps
  its first ones, in a marker.
- A list stays a list. It keeps its beginning in a quarter of its room and its end in the rest, with
  a marker between them. Items stay whole, except that an item beyond an eighth of the room counts
  as an eighth: such items then share what the others leave.
- A text becomes a marker with its beginning in nine tenths of its room and its end in the rest.

A long text is searched for keys when its room is known, so that nothing is searched that is not
recorded. Until then a `LongText` represents it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, cast

import msgspec

from remit._base import markers
from remit._base.encoding import growing

LEAST_BYTES: Final = 256
"""Least room of a long member of an object, unless the object itself has too little."""

MARKER_BYTES: Final = 72
"""Room of a marker without its contents."""

_FRONT: Final = 4
"""A list keeps its beginning in 1/this of its room."""

_LARGEST: Final = 8
"""An item of a list counts as at most 1/this of its room."""

_TAIL: Final = 10
"""A text keeps its end in 1/this of its room."""


class LongText:
    """A text that is searched for keys when it is encoded, and of which only its room is recorded.

    Attributes:
        room: Most bytes of its JSON; None if the text is recorded whole.
        read: Returns the text or its marker for a room.
    """

    __slots__ = ("read", "room", "text")

    def __init__(
        self,
        text: str,
        read: Callable[[str, int | None], object],
        room: int | None = None,
    ) -> None:
        self.text = text
        self.read = read
        self.room = room


def _read(value: object) -> object:
    if type(value) is LongText:
        return value.read(value.text, value.room)
    raise TypeError


def _unread(value: object) -> object:
    return cast("LongText", value).text


encode_small: Final = msgspec.json.Encoder().encode
"""Encodes small values faster than `encode`."""
encode: Final = growing(msgspec.json.Encoder(enc_hook=_read))
_encode_unread: Final = growing(msgspec.json.Encoder(enc_hook=_unread))


def size_of(value: object, most: int) -> int:
    """Return the bytes of the JSON of *value*; some number above *most* if there are more."""
    if type(value) is LongText and len(value.text) > most:
        return len(value.text)
    if type(value) is not list:
        return len(_encode_unread(value))
    size = 2
    for item in cast("list[object]", value):
        size += len(_encode_unread(item)) + 1
        if size > most:
            break
    return size


def cut(value: object, room: int) -> object:
    """Return *value*, cut to *room* bytes of JSON; *value* is left unchanged.

    The result may be a few bytes larger where the room is less than that of some markers.
    """
    if type(value) is LongText:
        return LongText(value.text, value.read, room)
    if type(value) is str:
        return cut_text(value, room)
    if type(value) is list:
        return _cut_list(cast("list[object]", value), room)
    if type(value) is not dict:
        return value
    members = cast("dict[str, object]", value)
    kind = markers.kind_of(members)
    if kind is None:
        return _cut_object(members, room)
    return _cut_marker(members, room) if kind == markers.CUT else members


def cut_text(text: str, room: int) -> markers.Marker:
    """Return the marker of *text* with as much of its beginning and end as *room* allows."""
    head, tail = ends(text, room - MARKER_BYTES)
    return markers.cut_text(len(text), head, tail)


def ends(text: str, room: int) -> tuple[str, str]:
    """Return the beginning and the end of *text* that have *room* bytes in JSON together."""
    tail_room = max(0, room) // _TAIL
    return _first(text, max(0, room) - tail_room), _last(text, tail_room)


def _first(text: str, room: int) -> str:
    part = text[:room]
    while part and (size := _bytes_of(part)) > room:
        part = part[: min(len(part) - 1, len(part) * room // size)]
    return part


def _last(text: str, room: int) -> str:
    part = text[-room:] if room else ""
    while part and (size := _bytes_of(part)) > room:
        part = part[max(1, len(part) - len(part) * room // size) :]
    return part


def _bytes_of(text: str) -> int:
    return len(encode(text)) - 2


def _cut_object(members: dict[str, object], room: int) -> dict[str, object]:
    sizes = [size_of(member, room) for member in members.values()]
    keys = [len(encode(name)) + 2 for name in members]
    left = room - 2 - sum(keys)
    least = min(LEAST_BYTES, max(MARKER_BYTES, room // _LARGEST))
    share = _share(sizes, left)
    if share >= min(least, max(sizes, default=0)):
        return _with_share(members, sizes, share)
    left = room - 2 - MARKER_BYTES
    used = accumulate(key + min(size, least) for key, size in zip(keys, sizes, strict=True))
    count = sum(1 for each in used if each <= left)
    kept = dict(list(members.items())[:count])
    share = _share(sizes[:count], left - sum(keys[:count]))
    return markers.cut_keys(len(members), _with_share(kept, sizes, share))


def _with_share(members: dict[str, object], sizes: Iterable[int], share: int) -> dict[str, object]:
    return {
        name: member if size <= share else cut(member, share)
        for (name, member), size in zip(members.items(), sizes, strict=False)
    }


def _share(sizes: Sequence[int], room: int) -> int:
    """Return the largest share of *room* for which all sizes, none above the share, fit."""
    left = room
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * count > left:
            return max(0, left // count)
        left -= size
    return max(sizes, default=0)


def _cut_list(items: list[object], room: int) -> list[object]:
    """Return the list without its middle; a list that the walk has cut has a marker there."""
    gap = next((place for place, item in enumerate(items) if markers.is_gap(item)), None)
    total, candidates = len(items), items
    if gap is not None:
        total = cast("int", cast("markers.Marker", items[gap])["of"])
        candidates = [*items[:gap], *items[gap + 1 :]]
    end = len(candidates)
    left = room - 2 - MARKER_BYTES
    most = max(MARKER_BYTES, left // _LARGEST)
    front_end = end if gap is None else gap
    front_room = left if front_end == end and gap is not None else left // _FRONT
    first = _fitting(candidates[:front_end], front_room, most)
    back = candidates[max(front_end if gap is not None else 0, len(first)) :]
    last = _fitting(reversed(back), left - sum(min(size, most) + 1 for size in first), most)
    sizes = [*first, *reversed(last)]
    kept = [*candidates[: len(first)], *candidates[end - len(last) :]]
    share = _share(sizes, left - len(sizes))
    copies = [
        item if size <= share else cut(item, share) for item, size in zip(kept, sizes, strict=True)
    ]
    if gap is not None or len(kept) < end:
        copies.insert(len(first), markers.cut_items(total))
    return copies


def _fitting(items: Iterable[object], room: int, most: int) -> list[int]:
    """Return the sizes of the first of *items* that fit if each counts as at most *most*."""
    return list(_sizes_within(items, room, most))


def _sizes_within(items: Iterable[object], room: int, most: int) -> Iterator[int]:
    whole = _FRONT * room
    for item in items:
        size = size_of(item, whole)
        room -= min(size, most) + 1
        if room < 0:
            return
        yield size


def _cut_marker(marker: markers.Marker, room: int) -> markers.Marker:
    """Return the marker of something that was cut before, with less of it."""
    head, of = marker.get("head"), cast("int", marker.get("of"))
    if type(head) is str:
        tail = cast("str", marker.get("tail", ""))
        room = max(0, room - MARKER_BYTES)
        return markers.cut_text(of, _first(head, room - room // _TAIL), _last(tail, room // _TAIL))
    if type(head) is dict:
        kept = _cut_object(cast("dict[str, object]", head), room - MARKER_BYTES)
        if markers.is_marker(kept):
            kept = cast("dict[str, object]", kept["head"])
        return markers.cut_keys(of, kept)
    return marker
