"""Markers, which replace a value in a payload, and the note about a step next to its parameters.

Both are part of payload format 1 (docs/reference/payloads.md) and have the reserved key `$remit`. A
marker has a text under it; a note has an object there, so that readers can distinguish them. A note
has the violations of a step that ran, or says that the agent's registration does not include it. A
user's own key `$remit` is written `$$remit`, and so on with one `$` more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias, cast

import msgspec

KEY: Final = "$remit"
"""The reserved key; its value names the kind of marker."""

VIOLATIONS: Final = "violations"
"""Key of the violations in the error of a denied step, and in the note of one that ran."""

UNREGISTERED: Final = "unregistered"
"""Key in the note of a step that the agent's registration does not include."""

REDACTED: Final = "redacted"
CUT: Final = "cut"
BYTES: Final = "bytes"
ARRAY: Final = "array"
OPAQUE: Final = "opaque"

_MARKER_START: Final = b'{"%s":' % KEY.encode()
_NOTE_START: Final = b'"%s":{' % KEY.encode()

Marker: TypeAlias = dict[str, object]


def redacted(rule: str) -> Marker:
    """Return the marker of a value that *rule* redacts."""
    return {KEY: REDACTED, "rule": rule}


def cut_text(of: int, head: str, tail: str) -> Marker:
    """Return the marker of a text of *of* characters that keeps *head* and *tail*."""
    return {KEY: CUT, "of": of, "unit": "chars", "head": head, "tail": tail}


def cut_keys(of: int, head: Mapping[str, object]) -> Marker:
    """Return the marker of an object of *of* keys that keeps *head*, the first ones."""
    return {KEY: CUT, "of": of, "unit": "keys", "head": head}


def cut_items(of: int) -> Marker:
    """Return the marker that replaces the omitted items of a list of *of* items."""
    return {KEY: CUT, "of": of, "unit": "items"}


def cut_below(level: int) -> Marker:
    """Return the marker of a container that is nested too deep, or inside itself."""
    return {KEY: CUT, "of": level, "unit": "levels"}


def cut_whole(size: int) -> Marker:
    """Return the marker of a payload of *size* bytes of which nothing is kept."""
    return {KEY: CUT, "of": size, "unit": "bytes"}


def opaque(type_name: str) -> Marker:
    """Return the marker of an object that is not read."""
    return {KEY: OPAQUE, "type": type_name}


def of_bytes(length: int, media_type: str = "") -> Marker:
    """Return the marker of binary data of *length* bytes."""
    marker: Marker = {KEY: BYTES, "length": length}
    return {**marker, "media_type": media_type} if media_type else marker


def array(type_name: str, shape: Sequence[int], dtype: str) -> Marker:
    """Return the marker of an array or a table."""
    return {KEY: ARRAY, "type": type_name, "shape": list(shape), "dtype": dtype}


def kind_of(value: object) -> str | None:
    """Return the kind of a marker, None if *value* is not a marker."""
    kind = cast("Marker", value).get(KEY) if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else None


def is_marker(value: object) -> bool:
    """Return whether *value* is a marker, which replaces another value."""
    return kind_of(value) is not None


def items_in_all(value: object) -> int | None:
    """Return how many items a list had if *value* is the marker of those left out, else None."""
    if type(value) is not dict:
        return None
    marker = cast("Marker", value)
    of = marker.get("of")
    is_gap = marker.get("unit") == "items" and marker.get(KEY) == CUT and "head" not in marker
    return of if is_gap and type(of) is int else None


def is_gap(value: object) -> bool:
    """Return whether *value* is a marker of `cut_items`."""
    return items_in_all(value) is not None


def rule_of(value: object) -> object:
    """Return the rule in a marker of a redacted value, None if *value* is not such a marker."""
    if type(value) is not dict:
        return None
    marker = cast("Marker", value)
    return marker.get("rule") if marker.get(KEY) == REDACTED else None


def is_redacted(value: object) -> bool:
    """Return whether *value* is the marker of a redacted value."""
    return rule_of(value) is not None


def markers_in(payload: object) -> Iterator[Marker]:
    waiting = [payload]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(cast("list[object]", value))
        elif isinstance(value, dict):
            members = cast("dict[str, object]", value)
            if kind_of(members) is not None:
                yield members
            else:
                waiting.extend(member for name, member in members.items() if name != KEY)


def may_hold(text: str) -> bool:
    """Return whether the JSON *text* may contain the reserved key, escaped or not."""
    return KEY in text or "\\u00" in text


def unescaped(name: str) -> str:
    """Return the name of a member as the program has it: that of `$$remit` is `$remit`."""
    return name[1:] if name.startswith("$$") and name.lstrip("$") == KEY[1:] else name


def add_note(payload: bytes, note: Mapping[str, object]) -> bytes:
    """Return *payload* with a note about its step.

    The note is added next to the parameters, or to the marker that replaces the payload.
    """
    if not payload.startswith(_MARKER_START) and _NOTE_START not in payload:
        member = msgspec.json.encode({KEY: note})[1:]
        return payload[:-1] + (b"" if payload == b"{}" else b",") + member
    members: dict[str, object] = msgspec.json.decode(payload)
    # In a marker it is next to the marker's kind.
    is_marker = kind_of(members) is not None
    holder = members if is_marker else cast("dict[str, object]", members.pop(KEY, {}))
    violations = cast("Sequence[object]", holder.get(VIOLATIONS, ()))
    holder |= note
    if VIOLATIONS in note:
        holder[VIOLATIONS] = [*violations, *cast("Sequence[object]", note[VIOLATIONS])]
    return msgspec.json.encode(members if is_marker else {**members, KEY: holder})


def note_unregistered(payload: bytes) -> bytes:
    """Return *payload* with a note that the agent's registration does not include the step."""
    return add_note(payload, {UNREGISTERED: True})


def is_unregistered(payload: Mapping[str, object]) -> bool:
    """Return whether a note says that the agent's registration does not include the step."""
    return note_of(payload).get(UNREGISTERED) is True


def note_of(payload: Mapping[str, object]) -> Mapping[str, object]:
    """Return the object that holds the note: in a marker it is next to the marker's kind."""
    note = payload.get(KEY)
    if isinstance(note, str):
        return payload
    return cast("Mapping[str, object]", note) if isinstance(note, dict) else {}


def without_note(payload: Mapping[str, object]) -> dict[str, object]:
    """Return *payload* without the note about its step; a marker that replaces it stays."""
    added = (VIOLATIONS, UNREGISTERED) if kind_of(payload) is not None else (KEY,)
    return {name: value for name, value in payload.items() if name not in added}
