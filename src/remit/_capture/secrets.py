"""The texts inside a withheld value, to find them again in the message of an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from remit._capture.shapes import Kind, Shape, shape_of
from remit._capture.statics import own_attribute, snapshot

MIN_CHARS: Final = 4
"""A shorter text stands in too many messages by chance."""

MAX_VISITED: Final = 200


def texts_in(value: object) -> Iterator[str]:
    """Yield the texts and numbers in *value*, which was withheld; at most 200 values are visited.

    They are compared and forgotten, never kept.
    """
    pending = [value]
    for _ in range(MAX_VISITED):
        if not pending:
            return
        current = pending.pop()
        shape = shape_of(type(current))
        if shape.kind is Kind.SCALAR:
            plain = shape.plain(current)
            # True and False are integers too.
            text = str(plain) if type(plain) in {str, int} else ""
            if len(text) >= MIN_CHARS:
                yield text
        else:
            pending.extend(_inside(current, shape))


def _inside(value: object, shape: Shape) -> Iterable[object]:
    if shape.kind is Kind.INNER:
        inner = shape.plain(value)
        return () if inner is value else (inner,)
    if shape.kind in {Kind.SECRET, Kind.RECORD}:
        own: dict[str, object] = own_attribute(value, "__dict__") if shape.has_dict else {}
        return snapshot(own.values(), MAX_VISITED)
    found = snapshot(shape.iterate(value), MAX_VISITED)
    return [item for _, item in found] if shape.kind is Kind.MAPPING else found
