"""Collects the texts withheld in a run, so that errors recorded later do not quote them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from remit._capture.type_readers import (
    TypeReader,
    ValueKind,
    extra_fields,
    reader_of,
    stored_fields,
)
from remit._inspect.introspection import own_attribute, snapshot

MIN_CHARS: Final = 4
"""A shorter text occurs in too many others by chance."""

MAX_VISITED: Final = 200
MAX_TEXTS: Final = 1_000
MAX_TEXT_CHARS: Final = 1_024
"""Of a longer text the beginning is kept: a message that quotes the text quotes that too."""

_DROPPED_AT_ONCE: Final = MAX_TEXTS // 4
_WORD_CHARS: Final = 8
"""Shorter texts match whole words only: `fast` does not match in `breakfast`."""


class WithheldTexts:
    """The texts withheld in one run, at most 1,000; the oldest are dropped first.

    Several threads may use it: each of its operations on the dict is atomic.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Begin with *texts*."""
        self._texts: dict[str, None] = {}
        self.update(texts)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        """Iterate over a copy of the texts."""
        return iter(tuple(self._texts))

    def add(self, value: object) -> None:
        """Add the texts in *value*, which was withheld."""
        if type(value) is not str:
            self.update(collect_texts(value))
        elif len(value) >= MIN_CHARS:
            self.update((value,))

    def update(self, texts: Iterable[str]) -> None:
        """Add *texts*, and drop the oldest ones if there are too many."""
        for text in texts:
            if text:
                self._texts[text[:MAX_TEXT_CHARS]] = None
        if len(self._texts) > MAX_TEXTS:
            for oldest in tuple(self._texts)[: len(self._texts) - MAX_TEXTS + _DROPPED_AT_ONCE]:
                self._texts.pop(oldest, None)

    def quoted_in(self, text: str) -> bool:
        """Return whether *text* quotes one of the texts."""
        return any(_quotes(text, withheld) for withheld in self if withheld in text)


def _quotes(text: str, withheld: str) -> bool:
    """Return whether *text* quotes *withheld*, which it contains; a short one must be a word."""
    size = len(withheld)
    if size >= _WORD_CHARS or size == len(text):
        return True
    return size >= MIN_CHARS and bool(re.search(rf"(?<!\w){re.escape(withheld)}(?!\w)", text))


def collect_texts(value: object) -> Iterator[str]:
    """Yield the texts and numbers in *value*, which was withheld; at most 200 values are visited.

    They are kept as long as the run is, and never recorded.
    """
    pending = [value]
    for _ in range(MAX_VISITED):
        if not pending:
            return
        current = pending.pop()
        reader = reader_of(type(current))
        if reader.kind is ValueKind.SCALAR:
            plain = reader.plain(current)
            # True and False are integers too.
            text = str(plain) if type(plain) in {str, int} else ""
            if len(text) >= MIN_CHARS:
                yield text
        else:
            pending.extend(_inside(current, reader))


def _inside(value: object, reader: TypeReader) -> Iterable[object]:
    if reader.kind is ValueKind.UNWRAP:
        inner = reader.plain(value)
        return () if inner is value else (inner,)
    if reader.kind in {ValueKind.SECRET, ValueKind.RECORD}:
        attributes: dict[str, object] = own_attribute(value, "__dict__") if reader.has_dict else {}
        slots = [item for field, item in stored_fields(value, reader) if field.slot]
        extra = extra_fields(value).values() if reader.extra else ()
        inside = (*snapshot(attributes.values(), MAX_VISITED), *snapshot(extra, MAX_VISITED))
        return (*slots, *inside)
    items = snapshot(reader.iterate(value), MAX_VISITED)
    return [item for _, item in items] if reader.kind is ValueKind.MAPPING else items
