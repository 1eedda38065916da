"""The texts inside a withheld value, to find them again in whatever is told later."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from remit._capture.shapes import Kind, Shape, shape_of
from remit._capture.statics import own_attribute, snapshot

MIN_CHARS: Final = 4
"""A shorter text stands in too many others by chance."""

MAX_VISITED: Final = 200
MAX_KNOWN: Final = 400
"""So many texts are looked for in what one span tells."""

_WORD_CHARS: Final = 8
"""A shorter text counts only where it stands as a word: `fast` is no part of `breakfast`."""

_MAX_CHARS: Final = 4_096
"""Of a longer text the beginning is looked for: whoever quotes it quotes that."""


class Known:
    """Texts that were withheld from a span, or by a span in it: what it tells must not hold them.

    Attributes:
        told: Those that were found, for the span around.
    """

    __slots__ = ("_texts", "told")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Know *texts*."""
        self._texts: dict[str, None] = {}
        self.told: set[str] = set()
        self.add(texts)

    def add(self, texts: Iterable[str]) -> None:
        """Know *texts* as well, as far as there is room."""
        for each in texts:
            if each and len(self._texts) < MAX_KNOWN:
                self._texts[each[:_MAX_CHARS]] = None

    def tell(self, text: str) -> None:
        """Take note of a text that was withheld as a whole: the span around must not tell it."""
        self.add((text,))
        self.told.add(text)

    def quoted_in(self, text: str) -> bool:
        """Return whether *text* holds any of what is known."""
        found = [each for each in self._texts if each in text and _stands(each, text)]
        self.told.update(found)
        return bool(found)

    def quoted_by(self, values: Iterable[object]) -> bool:
        """Return whether any of *values*, none of them a container, holds what is known."""
        return any(
            self.quoted_in(each if type(each) is str else str(each))
            for each in values
            if type(each) is str or type(each) is int
        )


def _stands(known: str, text: str) -> bool:
    """Return whether *text*, which holds *known*, quotes it: a short one not by chance."""
    size = len(known)
    if size >= _WORD_CHARS or size == len(text):
        return True
    return size >= MIN_CHARS and bool(re.search(rf"(?<!\w){re.escape(known)}(?!\w)", text))


def gather(secrets: list[str], value: object) -> None:
    """Add the texts in *value*, which was withheld, to *secrets*."""
    if type(value) is not str:
        secrets.extend(texts_in(value))
    elif len(value) >= MIN_CHARS:
        secrets.append(value)


def texts_in(value: object) -> Iterator[str]:
    """Yield the texts and numbers in *value*, which was withheld; at most 200 values are visited.

    They are kept as long as the span is open, and never recorded.
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
