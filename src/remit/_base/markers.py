"""Markers, which replace a value in a payload, and the note about a step beside its parameters.

Both are part of payload format 1 (docs/reference/payloads.md) and have the reserved key `$remit`. A
marker has a text under it; a note has an object there, so that readers can distinguish them. A note
says that the step exceeds its agent's remit, or that the agent's registration does not include it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, cast

import msgspec

KEY: Final = "$remit"
"""The reserved key; its value names the kind of marker."""

EXCEEDS: Final = "exceeds"
"""Key of the sentences in a note."""

UNREGISTERED: Final = "unregistered"
"""Key in the note of a step that the agent's registration does not include."""

_MARKER_START: Final = b'{"%s":' % KEY.encode()
_NOTE_START: Final = b'"%s":{' % KEY.encode()

Marker: TypeAlias = dict[str, object]


def withheld(rule: str) -> Marker:
    """Return the marker of a value that *rule* withholds."""
    return {KEY: "withheld", "rule": rule}


def cut_text(of: int, head: str, tail: str) -> Marker:
    """Return the marker of a text of *of* characters that keeps *head* and *tail*."""
    return {KEY: "cut", "of": of, "unit": "chars", "head": head, "tail": tail}


def cut_keys(of: int, head: Mapping[str, object]) -> Marker:
    """Return the marker of an object of *of* keys that keeps *head*, the first ones."""
    return {KEY: "cut", "of": of, "unit": "keys", "head": head}


def cut_items(of: int) -> Marker:
    """Return the marker in a list of *of* items, in place of those that are left out."""
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


def of_bytes(length: int, media_type: str = "") -> Marker:
    """Return the marker of binary data of *length* bytes."""
    marker: Marker = {KEY: "bytes", "length": length}
    return {**marker, "media_type": media_type} if media_type else marker


def array(type_name: str, shape: Sequence[int], dtype: str) -> Marker:
    """Return the marker of an array or a table."""
    return {KEY: "array", "type": type_name, "shape": list(shape), "dtype": dtype}


def is_gap(value: object) -> bool:
    """Return whether *value* is a marker of `cut_items`."""
    if type(value) is not dict:
        return False
    marker = cast("Marker", value)
    return (
        marker.get("unit") == "items" and marker.get(KEY) == "cut" and type(marker.get("of")) is int
    )


def rule_of(value: object) -> object:
    """Return the rule in a marker of a withheld value, None if *value* is no such marker."""
    if type(value) is not dict:
        return None
    marker = cast("Marker", value)
    return marker.get("rule") if marker.get(KEY) == "withheld" else None


def is_withheld(value: object) -> bool:
    """Return whether *value* is the marker of a withheld value."""
    return rule_of(value) is not None


def add_violations(payload: bytes, violations: Sequence[str]) -> bytes:
    """Return *payload* with a note that the step exceeds its agent's remit.

    The note is added beside the parameters, or to the marker that replaces the payload. It has one
    sentence for each declared word.
    """
    return _with_note(payload, {EXCEEDS: violations})


def mark_unregistered(payload: bytes) -> bytes:
    """Return *payload* with a note that the agent's registration does not include the step."""
    return _with_note(payload, {UNREGISTERED: True})


def _with_note(payload: bytes, note: Mapping[str, object]) -> bytes:
    if not payload.startswith(_MARKER_START) and _NOTE_START not in payload:
        member = msgspec.json.encode({KEY: note})[1:]
        return payload[:-1] + (b"" if payload == b"{}" else b",") + member
    members: dict[str, object] = msgspec.json.decode(payload)
    # In a marker it is beside the marker's kind.
    is_marker = type(members.get(KEY)) is str
    holder = members if is_marker else cast("dict[str, object]", members.pop(KEY, {}))
    sentences = cast("Sequence[str]", holder.get(EXCEEDS, ()))
    holder |= note
    if EXCEEDS in note:
        holder[EXCEEDS] = [*sentences, *cast("Sequence[str]", note[EXCEEDS])]
    return msgspec.json.encode(members if is_marker else {**members, KEY: holder})


def split_violations(payload: Mapping[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return a payload without the note about its step, and the note's sentences.

    A server returns whatever its clients sent: a note may be of any form.
    """
    holder = _note_of(payload)
    sentences = holder.get(EXCEEDS)
    if not isinstance(sentences, list):
        sentences = []
        if not is_unregistered(payload):
            return dict(payload), ()
    added = {EXCEEDS, UNREGISTERED} if holder is payload else {KEY}
    parameters = {name: value for name, value in payload.items() if name not in added}
    return parameters, tuple(str(sentence) for sentence in cast("list[object]", sentences))


def is_unregistered(payload: Mapping[str, object]) -> bool:
    """Return whether a note says that the agent's registration does not include the step."""
    return _note_of(payload).get(UNREGISTERED) is True


def _note_of(payload: Mapping[str, object]) -> Mapping[str, object]:
    """Return the object that holds the note: in a marker it is beside the marker's kind."""
    note = payload.get(KEY)
    if isinstance(note, str):
        return payload
    return cast("Mapping[str, object]", note) if isinstance(note, dict) else {}
