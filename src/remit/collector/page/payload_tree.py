"""A payload as a bounded tree of values, with the markers that replace some of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

import msgspec

from remit._base import markers
from remit._policy.violations import violations_in
from remit.collector.page import formats
from remit.errors import Violation

MOST_NODES: Final = 2000
MOST_CHARS: Final = 2000
"""Only the beginning of a longer string is shown."""
MOST_LEVELS: Final = 24
_OPEN_LEVELS: Final = 2
_MOST_OPEN: Final = 24
"""An object or list with more members is folded at first."""


class Node(NamedTuple):
    """A value.

    Attributes:
        key: Its name or position; None for the outermost and for items of a list.
        kind: `text`, `value`, `redacted`, `cut`, `opaque`, `object`, `list`, or `left` for what
            the page leaves out.
        text: The text that is shown; for a redacted value, the rule.
        open: Whether its nodes are shown at first.
    """

    key: str | None
    kind: str
    text: str = ""
    note: str = ""
    nodes: tuple[Node, ...] = ()
    open: bool = False


class PayloadTree(NamedTuple):
    """A payload.

    Attributes:
        violations: Violations of a step that ran.
    """

    nodes: tuple[Node, ...]
    cut: bool
    violations: tuple[Violation, ...]
    unregistered: bool


def members(value: object) -> dict[str, Any]:
    """Return an object of a payload; anything else is empty."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """Return a list of a payload; anything else is empty."""
    return cast("list[object]", value) if isinstance(value, list) else []


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list of a payload; of anything else none."""
    return [cast("dict[str, Any]", item) for item in items(value) if isinstance(item, dict)]


def tree_of(payload: dict[str, object]) -> PayloadTree:
    """Return a payload as a tree."""
    builder = _Builder()
    if markers.is_marker(payload):
        nodes: tuple[Node, ...] = (builder.marker(None, payload),)
    else:
        nodes = tuple(builder.members(markers.without_note(payload), 0))
    violations = violations_in(payload) or ()
    return PayloadTree(nodes, builder.is_cut, violations, markers.is_unregistered(payload))


def node_of(value: object) -> Node:
    """Return a single value, such as the message of an error."""
    return _Builder().node(None, value, 0)


class _Builder:
    """Builds a tree of at most `MOST_NODES` nodes."""

    def __init__(self) -> None:
        self._left = MOST_NODES
        self.is_cut = False

    def members(self, values: dict[str, object], level: int) -> Iterator[Node]:
        """Yield the members of an object."""
        for count, (name, value) in enumerate(values.items()):
            if self._left <= 0:
                yield self._rest(len(values) - count, "members")
                return
            yield self.node(markers.unescaped(name), value, level)

    def node(self, key: str | None, value: object, level: int) -> Node:
        """Return a value."""
        self._left -= 1
        if isinstance(value, str):
            return self._text(key, value)
        if isinstance(value, dict):
            return self._object(key, cast("dict[str, object]", value), level)
        if isinstance(value, list):
            return self._list(key, cast("list[object]", value), level)
        return Node(key, "value", msgspec.json.encode(value).decode())

    def _object(self, key: str | None, members: dict[str, object], level: int) -> Node:
        if markers.is_marker(members):
            return self.marker(key, members)
        if not members:
            return Node(key, "value", "{}")
        if level >= MOST_LEVELS:
            return self._too_deep(key)
        nodes = tuple(self.members(members, level + 1))
        words = _counted(len(members), "member")
        return Node(key, "object", words, "", nodes, _is_open(len(members), level))

    def _list(self, key: str | None, items: list[object], level: int) -> Node:
        if not items:
            return Node(key, "value", "[]")
        if level >= MOST_LEVELS:
            return self._too_deep(key)
        nodes = tuple(self._items(items, level + 1))
        words = _counted(len(items), "item")
        return Node(key, "list", words, "", nodes, _is_open(len(items), level))

    def marker(self, key: str | None, marker: dict[str, object]) -> Node:
        """Return a marker that remit wrote instead of a value."""
        kind = markers.kind_of(marker)
        if kind == markers.REDACTED:
            return Node(key, "redacted", str(marker.get("rule", "")))
        if kind == markers.CUT:
            return self._cut(key, marker)
        if kind == markers.BYTES:
            length = marker.get("length")
            size = formats.size(length) if isinstance(length, int) else "bytes"
            media = marker.get("media_type")
            return Node(key, "opaque", size, str(media) if media else "not recorded")
        if kind == markers.ARRAY:
            shown = " by ".join(map(str, items(marker.get("shape"))))
            words = (str(marker.get("type", "array")), shown, str(marker.get("dtype", "")))
            return Node(key, "opaque", " ".join(filter(None, words)), "not recorded")
        return Node(key, "opaque", str(marker.get("type", kind)), "not inspected")

    def _cut(self, key: str | None, marker: dict[str, object]) -> Node:
        count, unit = marker.get("of"), str(marker.get("unit", "characters"))
        of = f"{count:,} {unit}" if isinstance(count, int) else unit
        head, tail = marker.get("head"), marker.get("tail")
        if isinstance(head, dict):
            nodes = tuple(self.members(cast("dict[str, object]", head), 1))
            return Node(
                key, "object", f"the first of {of}", "the rest was not recorded", nodes, open=True
            )
        if isinstance(head, str) or isinstance(tail, str):
            text = f"{head or ''} … {tail or ''}"
            return Node(
                key, "text", text[: 2 * MOST_CHARS], f"cut: the rest of {of} was not recorded"
            )
        return Node(key, "cut", f"cut: {of} in all", "the rest was not recorded")

    def _items(self, items: list[object], level: int) -> Iterator[Node]:
        for count, item in enumerate(items):
            if self._left <= 0:
                yield self._rest(len(items) - count, "items")
                return
            yield self.node(None, item, level)

    def _text(self, key: str | None, text: str) -> Node:
        if len(text) <= MOST_CHARS:
            return Node(key, "text", text)
        self.is_cut = True
        more = f"{len(text) - MOST_CHARS:,} more of {len(text):,} characters"
        return Node(key, "text", text[:MOST_CHARS] + "…", more)

    def _rest(self, count: int, unit: str) -> Node:
        self.is_cut = True
        return Node(None, "left", f"{count:,} more {unit}")

    def _too_deep(self, key: str | None) -> Node:
        self.is_cut = True
        return Node(key, "left", "deeper than this page shows")


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _is_open(count: int, level: int) -> bool:
    return level < _OPEN_LEVELS and count <= _MOST_OPEN
