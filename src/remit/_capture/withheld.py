"""Collects the texts withheld in a run, so that nothing recorded later quotes them.

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
"""Of a longer text the beginning is kept: a message that quotes the text quotes that too."""

_DROPPED_AT_ONCE: Final = MAX_TEXTS // 4
_WORD_CHARS: Final = 8
"""Shorter texts match whole words only: `fast` does not match in `breakfast`."""

MIN_EXCLUDED_CHARS: Final = 6
MIN_EXCLUDED_LETTERS: Final = 12
"""Parameters are searched for texts of so many characters, one of them no letter, or so many
letters: shorter ones and single words occur in others by chance."""

WORD: Final = re.compile(r"\w+")
_LAST_WORD: Final = re.compile(r"\w*\Z")
_MAX_WORDS: Final = 8
"""Of a text these first ones are candidates for the word that it is listed under."""

CategorizedText: TypeAlias = tuple[str, str]
"""A text and its data category."""


class _Index(Struct):
    """Texts by one of their words.

    Attributes:
        texts: The texts to list, in the order in which the run withheld them.
        listed: How many of them are listed.
        words: The texts and their categories by a word.
    """

    texts: list[CategorizedText]
    listed: int = 0
    words: dict[str, list[CategorizedText]] = field(
        default_factory=dict[str, list[CategorizedText]]
    )

    def update(self) -> None:
        """List the texts that were added; threads that do so at once list one twice."""
        total = len(self.texts)
        for text, category in self.texts[self.listed : total]:
            words = (match.group() for match in WORD.finditer(text))
            # The one with the fewest texts: many addresses have the same end.
            word = min(islice(words, _MAX_WORDS), key=lambda each: len(self.words.get(each, ())))
            self.words.setdefault(word, []).append((text, category))
        self.listed = total


class CategorizedTexts:
    """The texts withheld in one run that have a category, at most 1,000; the oldest are dropped.

    Several threads may use it: each of its operations on dict and list is atomic.

    Attributes:
        texts: The texts with their categories.
    """

    __slots__ = ("_index", "texts")

    def __init__(self) -> None:
        """Begin without texts."""
        self.texts: dict[CategorizedText, None] = {}
        self._index: _Index | None = None

    def add(self, text: str, category: str) -> None:
        """Add *text* if it is long enough to be found again."""
        if (text, category) in self.texts:
            return
        if len(text) > MAX_TEXT_CHARS:  # up to the end of a word
            text = _LAST_WORD.sub("", text[:MAX_TEXT_CHARS])
        text = text.strip()
        least = MIN_EXCLUDED_LETTERS if text.isalpha() else MIN_EXCLUDED_CHARS
        if len(text) < least or WORD.search(text) is None or (text, category) in self.texts:
            return
        self.texts[text, category] = None
        index = self._index
        if index is not None:
            index.texts.append((text, category))
        if len(self.texts) > MAX_TEXTS:
            for oldest in tuple(self.texts)[: len(self.texts) - MAX_TEXTS + _DROPPED_AT_ONCE]:
                self.texts.pop(oldest, None)
            self._index = None

    def by_word(self) -> dict[str, list[CategorizedText]]:
        """Return the texts by one of their words."""
        index = self._index
        if index is None:
            # It is set first, so that it gets what another thread adds from now on.
            index = self._index = _Index([])
            index.texts.extend(tuple(self.texts))
        index.update()
        return index.words


class WithheldTexts:
    """The texts withheld in one run, at most 1,000; the oldest are dropped first.

    Several threads may use it: each of its operations on the dict is atomic.

    Attributes:
        categorized: Those of a data category.
    """

    __slots__ = ("_texts", "categorized")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Begin with *texts*."""
        self._texts: dict[str, None] = {}
        self.categorized = CategorizedTexts()
        self.update(texts)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        """Iterate over a copy of the texts."""
        return iter(tuple(self._texts))

    def add(self, value: object, category: str | None = None) -> None:
        """Add the texts in *value*, which was withheld as data of *category*.

        Without one, the texts have the categories of the fields and keys inside it.
        """
        if type(value) is str:
            if len(value) >= MIN_CHARS:
                self.update((value,))
                if category is not None:
                    self.categorized.add(value, category)
            return
        texts = tuple(_categorized_texts(value, category))
        self.update(text for text, _ in texts)
        for text, inner in texts:
            if inner is not None:
                self.categorized.add(text, inner)

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
    if reader.kind in {ValueKind.SECRET, ValueKind.RECORD}:
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
