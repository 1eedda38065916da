"""Short forms of payloads on one line, markers included."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final, cast

from remit._base import markers
from remit._base.text import ELLIPSIS, printable

MAX_MEMBERS: Final = 20
"""More members of one value never fit a line."""
_HALF: Final = MAX_MEMBERS // 2
MAX_CHARS: Final = 400
"""Longer texts never fit a line."""
MAX_TAIL_CHARS: Final = 80
"""A text that is cut shows this much of its end."""


def members(values: Mapping[str, object]) -> str:
    """Return an object as `name=value name=value`."""
    if markers.is_marker(values):
        return short(values)
    return " ".join(f"{named(name)}={short(value)}" for name, value in _first(values))


def short(value: object) -> str:
    """Return a JSON value in short."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{row(cast('list[object]', value))}]"
    if isinstance(value, dict):
        return _object(cast("dict[str, object]", value))
    return json.dumps(value)


def row(value: object) -> str:
    """Return a list in short, cut or not, without its brackets; anything else as `short` does."""
    if isinstance(value, list):
        return _items(cast("list[object]", value))
    if isinstance(value, dict):
        marker = cast("dict[str, object]", value)
        return _cut(marker, row) if markers.kind_of(marker) == markers.CUT else _object(marker)
    return short(value)


def whole(value: object) -> str:
    """Return a JSON value on one line as `short` does, however long it is."""
    if isinstance(value, str):
        return printable(json.dumps(value, ensure_ascii=False))
    if isinstance(value, list):
        return f"[{', '.join(map(whole, cast('list[object]', value)))}]"
    if not isinstance(value, dict):
        return json.dumps(value)
    members = cast("dict[str, object]", value)
    kind = markers.kind_of(members)
    if kind == markers.CUT:
        return _cut(members, whole)
    if kind is not None:
        return _object(members)
    return f"{{{', '.join(f'{named(name)}: {whole(each)}' for name, each in members.items())}}}"


def error_in(result: Mapping[str, object] | None) -> dict[str, object] | None:
    """Return the error in the result of a failed span; None without one."""
    error = (result or {}).get("error")
    return cast("dict[str, object]", error) if isinstance(error, dict) else None


def error_of(result: Mapping[str, object] | None) -> str | None:
    """Return the error in the result of a failed span, as `Type: message`; None without one."""
    error = error_in(result)
    return None if error is None else described(error)


def kind_of(error: Mapping[str, object]) -> str:
    """Return the type of an error, without its module, as in most code."""
    kind = error.get("type")
    return printable(kind).rpartition(".")[2] if isinstance(kind, str) else short(kind)


def described(error: Mapping[str, object], form: Callable[[object], str] = short) -> str:
    """Return an error as `Type: message`; *form* writes a message that is not plain text."""
    message, kind = error.get("message"), kind_of(error)
    text = printable(message) if isinstance(message, str) else form(message) if message else ""
    return f"{kind}: {text}" if text else kind


def place_of(error: Mapping[str, object]) -> str:
    """Return where an error was raised, as `file:line in function`; empty if it is not known."""
    at = error.get("at")
    return printable(at) if isinstance(at, str) else short(at) if at else ""


def _object(value: dict[str, object]) -> str:
    kind = markers.kind_of(value)
    if kind is not None:
        return _MARKERS.get(kind, _unknown)(value)
    inner = ", ".join(f"{named(name)}: {short(each)}" for name, each in _first(value))
    return f"{{{inner}{_rest(len(value))}}}"


def _items(items: list[object]) -> str:
    """Return the first items, or the first and the last ones of a list with a marker in it."""
    gap = next((place for place, item in enumerate(items) if markers.is_gap(item)), None)
    if gap is None:
        return f"{', '.join(map(short, items[:MAX_MEMBERS]))}{_rest(len(items))}"
    first, last = items[:gap], items[gap + 1 :]
    if len(items) > MAX_MEMBERS:
        first, last = first[:_HALF], last[-_HALF:]
    more = cast("int", markers.items_in_all(items[gap])) - len(first) - len(last)
    return ", ".join(
        [*map(short, first), f"{ELLIPSIS} {more} more items {ELLIPSIS}", *map(short, last)]
    )


def _first(values: Mapping[str, object]) -> islice[tuple[str, object]]:
    return islice(values.items(), MAX_MEMBERS)


def _rest(count: int) -> str:
    return f", {ELLIPSIS}" if count > MAX_MEMBERS else ""


def named(name: str) -> str:
    """Return the name of a member."""
    return printable(markers.unescaped(name))


def _text(value: str) -> str:
    head = value[:MAX_CHARS]
    quoted = printable(json.dumps(head, ensure_ascii=False))
    return quoted if head == value else f"{quoted[:-1]}{ELLIPSIS}"


def _redacted(value: Mapping[str, object]) -> str:
    return f"<redacted: {printable(str(value.get('rule', '')))}>"


def _cut(value: Mapping[str, object], head: Callable[[object], str] = short) -> str:
    first, last, of = value.get("head"), value.get("tail"), value.get("of")
    if isinstance(first, str) and isinstance(last, str) and isinstance(of, int):
        last = last[-MAX_TAIL_CHARS:]
        more = of - len(first[:MAX_CHARS]) - len(last)
        return f"{_text(first)} {ELLIPSIS} {more} more characters {ELLIPSIS} {_text(last)}"
    left = f"<cut, {of} {value.get('unit')}>"
    return f"{head(first)} {left}" if "head" in value else left


def _opaque(value: Mapping[str, object]) -> str:
    return f"<{printable(str(value.get('type', 'object')))}>"


def _bytes(value: Mapping[str, object]) -> str:
    media_type = value.get("media_type")
    kind = f" of {printable(media_type)}" if isinstance(media_type, str) else ""
    return f"<{value.get('length')} bytes{kind}>"


def _array(value: Mapping[str, object]) -> str:
    shape = value.get("shape")
    sides = cast("list[object]", shape) if isinstance(shape, list) else []
    return f"<{value.get('type')} {'x'.join(map(str, sides))} {value.get('dtype', '')}>"


def _unknown(value: Mapping[str, object]) -> str:
    return f"<{printable(str(markers.kind_of(value)))}>"


_MARKERS: Final[Mapping[str, Callable[[Mapping[str, object]], str]]] = {
    markers.REDACTED: _redacted,
    markers.CUT: _cut,
    markers.OPAQUE: _opaque,
    markers.BYTES: _bytes,
    markers.ARRAY: _array,
}
