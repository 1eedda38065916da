"""Recorded values in one line of text, with notes where something was redacted or cut."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from remit._base.markers import (
    ARRAY,
    BYTES,
    CUT,
    REDACTED,
    is_marker,
    kind_of,
    unescaped,
    without_note,
)
from remit.collector.page import formats
from remit.collector.page.payload_tree import MOST_LEVELS

LINES: Final = 12
"""A text with more lines is folded."""
COLUMNS: Final = 90
"""Characters of one line of the reading view, roughly."""


class Piece(NamedTuple):
    """A piece of a text.

    Attributes:
        text: The text; the rule of something redacted.
        kind: `text`, `redacted`, or `note` (remit's words about a value that is not there).
    """

    text: str
    kind: str = "text"

    def __str__(self) -> str:
        """Return the piece as plain text."""
        return self.text if self.kind == "text" else f"[{self.kind_word}{self.text}]"

    @property
    def kind_word(self) -> str:
        """Prefix of a piece that is not text."""
        return "redacted: " if self.kind == "redacted" else ""


def is_structured(value: object) -> bool:
    """Return whether a value is an object or a list."""
    return isinstance(value, dict | list)


def json_of(value: object) -> object:
    """Return the value of a JSON text, or *value* itself if it is not JSON."""
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def line_of(value: object) -> list[Piece]:
    """Return a value in one line: `number 1021, item "radio"`."""
    pieces: list[Piece] = []
    for piece in _line(value):
        if pieces and piece.kind == pieces[-1].kind == "text":
            pieces[-1] = Piece(pieces[-1].text + piece.text)
        else:
            pieces.append(piece)
    return pieces


def folded(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece], int]:
    """Return the first lines, the rest, and the number of characters of the rest."""
    room = LINES
    for index, piece in enumerate(pieces):
        if piece.kind != "text":
            continue
        at = _end_of_lines(piece.text, room)
        if at is not None:
            rest = [Piece(piece.text[at:].lstrip()), *pieces[index + 1 :]]
            first = [*pieces[:index], Piece(piece.text[:at].rstrip())]
            return first, rest, sum(len(each.text) for each in rest if each.kind == "text")
        room -= piece.text.count("\n") + len(piece.text) // COLUMNS
    return list(pieces), [], 0


def _end_of_lines(text: str, room: int) -> int | None:
    """Return where the first *room* lines of a text end; None if it has no more."""
    at = 0
    for line in text.split("\n"):
        needed = max(1, math.ceil(len(line) / COLUMNS))
        if needed > room:
            end = at + max(room, 0) * COLUMNS
            space = text.rfind(" ", at, end)
            return space if space > at else end
        room -= needed
        at += len(line) + 1
        if room <= 0 and at <= len(text):
            return at
    return None


def _line(value: object) -> Iterator[Piece]:
    """Yield the pieces of a value; the members of the outermost object without braces."""
    if isinstance(value, str):
        yield Piece(value)
    elif value is None or is_marker(value) or not isinstance(value, dict):
        yield from () if value is None else _inner(value)
    else:
        for index, (name, member) in enumerate(_own(cast("dict[str, object]", value))):
            yield Piece(f"{', ' if index else ''}{name} ")
            yield from _inner(member)


def _inner(value: object, level: int = 1) -> Iterator[Piece]:
    if is_structured(value) and level >= MOST_LEVELS:
        yield Piece("deeper than this page shows", "note")
    elif is_marker(value):
        yield from _marked(cast("dict[str, Any]", value), level)
    elif isinstance(value, dict):
        yield Piece("{")
        for index, (name, member) in enumerate(_own(cast("dict[str, object]", value))):
            yield Piece(f"{', ' if index else ''}{name}: ")
            yield from _inner(member, level + 1)
        yield Piece("}")
    elif isinstance(value, list):
        yield Piece("[")
        for index, item in enumerate(cast("list[object]", value)):
            yield Piece(", " if index else "")
            yield from _inner(item, level + 1)
        yield Piece("]")
    else:
        yield Piece(msgspec.json.encode(value).decode())


def _own(members: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the members of an object under the names that they had, without remit's notes."""
    for name, member in without_note(members).items():
        yield unescaped(name), member


def _marked(marker: Mapping[str, Any], level: int) -> Iterator[Piece]:
    """Yield the parts that show a marker."""
    kind = kind_of(marker)
    if kind == REDACTED:
        yield Piece(str(marker.get("rule", "")), "redacted")
    elif kind == CUT:
        yield from _kept(marker.get("head"), level + 1)
        yield Piece(f"cut: {_count(marker.get('of'))} {marker.get('unit', '')} in all", "note")
        yield from _kept(marker.get("tail"), level + 1)
    elif kind == BYTES:
        media = marker.get("media_type")
        length = marker.get("length")
        words = formats.size(length) if isinstance(length, int) else "bytes"
        yield Piece(f"{media}, {words}" if media else words, "note")
    elif kind == ARRAY:
        facts = (str(marker.get(name, "")) for name in ("type", "shape", "dtype"))
        yield Piece(" ".join(facts).strip(), "note")
    else:
        yield Piece(str(marker.get("type", kind)), "note")


def _kept(value: object, level: int) -> Iterator[Piece]:
    """Yield the recorded part of a value that was cut."""
    if isinstance(value, str):
        yield Piece(value)
    elif value is not None:
        yield from _inner(value, level)


def _count(value: object) -> str:
    return formats.number(value) if isinstance(value, int) else "more"
