"""Collects the texts redacted in a run, so that nothing recorded later quotes them.

Errors must quote none of them, parameters none of a category that their step excludes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias

from msgspec import Struct, field

from remit._capture.rules.categories import category_of_name
from remit._capture.rules.names import MAX_JUDGED_CHARS, name_rule
from remit._capture.rules.switches import CATEGORY_OF_RULE
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
"""Only the beginning of a longer text is kept; a message that quotes the text quotes it too."""

_DROPPED_AT_ONCE: Final = MAX_TEXTS // 4
_WORD_CHARS: Final = 8
"""Shorter texts match whole words only: `fast` does not match in `breakfast`."""

MIN_EXCLUDED_CHARS: Final = 6
MIN_EXCLUDED_LETTERS: Final = 12
"""Parameters are searched for texts of at least this many characters with one that is not a letter,
or of this many letters: shorter texts occur in others by chance."""

WORD: Final = re.compile(r"\w+")
_LAST_WORD: Final = re.compile(r"\w*\Z")
_MAX_WORDS: Final = 8
"""A text is indexed under one of its first words, at most this many."""

CategorizedText: TypeAlias = tuple[str, str]
"""A text and its data category."""


class TextIndex(Struct):
    """The texts that parameters are searched for.

    Attributes:
        read: How many of these were read.
        texts: Those that are long enough to be recognised.
        words: The same, each under one of its words.
    """

    redacted: list[CategorizedText]
    read: int = 0
    texts: list[CategorizedText] = field(default_factory=list[CategorizedText])
    words: dict[str, list[CategorizedText]] = field(
        default_factory=dict[str, list[CategorizedText]]
    )

    def update(self) -> None:
        """Read the new texts; two threads that do so at once add a text twice."""
        total = len(self.redacted)
        for text, category in self.redacted[self.read : total]:
            # The last word of a cut text may be incomplete.
            whole = _LAST_WORD.sub("", text) if len(text) == MAX_TEXT_CHARS else text
            known = whole.strip(), category
            least = MIN_EXCLUDED_LETTERS if known[0].isalpha() else MIN_EXCLUDED_CHARS
            words = [match.group() for match in islice(WORD.finditer(known[0]), _MAX_WORDS)]
            if len(known[0]) >= least and words:
                # Under the one with the fewest texts: many addresses have the same end.
                word = min(words, key=lambda each: len(self.words.get(each, ())))
                self.words.setdefault(word, []).append(known)
                self.texts.append(known)
        self.read = total


class RedactedTexts:
    """The texts redacted in one run, at most 1,000; the oldest are dropped first.

    Several threads may use it: each of its operations on dict and list is atomic.

    Attributes:
        categorized: Those of a data category, with it.
    """

    __slots__ = ("_index", "_texts", "categorized")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: dict[str, tuple[str, ...]] = {}
        self.categorized: list[CategorizedText] = []
        self._index = TextIndex(self.categorized)
        self.update(texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._texts))

    def add(self, value: object, category: str | None = None) -> None:
        """Add the texts in *value*, which was redacted as data of *category*.

        Without one, the texts have the categories of the fields and keys inside it.
        """
        if type(value) is not str:
            for text, inner in tuple(_categorized_texts(value, category)):
                self._add(text, inner)
        elif len(value) >= MIN_CHARS:
            self._add(value, category)

    def update(self, texts: Iterable[str]) -> None:
        """Add *texts* without a category."""
        for text in texts:
            if text:
                self._add(text, None)

    def _add(self, text: str, category: str | None) -> None:
        """Add a text or its category, and drop the oldest texts if there are too many."""
        text = text[:MAX_TEXT_CHARS]
        categories = self._texts.get(text)
        if categories is not None and (category is None or category in categories):
            return
        if category is None:
            self._texts[text] = ()
        else:
            self._texts[text] = (*(categories or ()), category)
            self.categorized.append((text, category))
        if len(self._texts) > MAX_TEXTS:
            for oldest in tuple(self._texts)[: len(self._texts) - MAX_TEXTS + _DROPPED_AT_ONCE]:
                self._texts.pop(oldest, None)
            left = tuple(self._texts.items())
            self.categorized = [(text, each) for text, categories in left for each in categories]

    def index(self) -> TextIndex:
        """Return those of a data category, to search for them; most programs never do."""
        index, categorized = self._index, self.categorized
        if index.redacted is not categorized:  # the oldest were dropped
            index = self._index = TextIndex(categorized)
        index.update()
        return index

    def quoted_in(self, text: str) -> bool:
        """Return whether *text* quotes one of the texts."""
        return any(_quotes(text, redacted) for redacted in self if redacted in text)


def _quotes(text: str, redacted: str) -> bool:
    """Return whether *text* quotes *redacted*, which it contains; a short one must be a word."""
    size = len(redacted)
    if size >= _WORD_CHARS or size == len(text):
        return True
    return size >= MIN_CHARS and bool(re.search(rf"(?<!\w){re.escape(redacted)}(?!\w)", text))


def collect_texts(value: object) -> Iterator[str]:
    """Yield the texts and numbers in *value*, which was redacted; at most 200 values are visited.

    They are kept as long as the run is, and never recorded.
    """
    return (text for text, _ in _categorized_texts(value, None))


def _categorized_texts(value: object, category: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the texts in *value* with the categories that they have if it has none."""
    pending = [(value, category)]
    for _ in range(MAX_VISITED):
        if not pending:
            return
        current, category = pending.pop()
        reader = reader_of(type(current))
        if reader.kind is ValueKind.SCALAR:
            plain = reader.plain(current)
            # True and False are integers too.
            text = str(plain) if type(plain) in {str, int} else ""
            if len(text) >= MIN_CHARS:
                yield text, category
        else:
            pending.extend((each, category or inner) for each, inner in _inside(current, reader))


def _inside(value: object, reader: TypeReader) -> Iterable[tuple[object, str | None]]:
    """Return the values inside *value* with the categories of their marks, types or names."""
    if reader.kind is ValueKind.UNWRAP:
        inner = reader.plain(value)
        return (
            ()
            if inner is value
            else ((inner, reader.fields[0].category if reader.fields else None),)
        )
    if reader.kind in {ValueKind.SECRET, ValueKind.FIELDS}:
        attributes: dict[str, object] = own_attribute(value, "__dict__") if reader.has_dict else {}
        slots = [(item, each.category) for each, item in stored_fields(value, reader) if each.slot]
        categories = {each.name: each.category for each in reader.fields}
        stored = [
            (item, categories.get(name) if type(name) is str else None)
            for name, item in snapshot(attributes.items(), MAX_VISITED)
        ]
        extra = snapshot(extra_fields(value).items(), MAX_VISITED) if reader.extra else ()
        return (*slots, *stored, *((item, _category_of_key(key)) for key, item in extra))
    items = snapshot(reader.iterate(value), MAX_VISITED)
    if reader.kind is ValueKind.MAPPING:
        return [(item, _category_of_key(key)) for key, item in items]
    if reader.kind is ValueKind.NAMED_TUPLE:
        return [(item, each.category) for each, item in zip(reader.fields, items, strict=False)]
    return [(item, None) for item in items]


def _category_of_key(key: object) -> str | None:
    if type(key) is not str or len(key) > MAX_JUDGED_CHARS:
        return None
    return category_of_name(key) or CATEGORY_OF_RULE.get(name_rule(key) or "")
