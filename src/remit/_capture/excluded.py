"""Finds values in a payload that its run redacted as data of a category that the step excludes.

A value is found if it is passed on word for word. A search for many texts costs little more than
one for few: each is listed under one of its words, and compared only if the payload has that word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeAlias, cast

from remit._base import markers
from remit._capture.cut import cut, encode
from remit._capture.encode import Rules
from remit._capture.redacted import WORD, CategorizedText, TextIndex
from remit._capture.walk import decode

_FEW: Final = 8
"""Searching for this many texts takes less time than splitting a payload into words."""
_ESCAPE: Final = re.compile(rb"\\(?:u....|.)")
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')
"""The characters that JSON escapes."""
_BETWEEN_WORDS: Final = bytes(
    ord(" ") if chr(code).isascii() and not WORD.match(chr(code)) else code for code in range(256)
)
"""Translates the characters of ASCII that separate words to spaces."""

_ByWord: TypeAlias = Mapping[str, Sequence[CategorizedText]]


class Excluding(Protocol):
    """The capture plan of a step that excludes data categories from its parameters."""

    @property
    def excludes(self) -> frozenset[str]: ...

    def excluded_from(self, name: str) -> frozenset[str]:
        """Return those that are excluded from the parameter *name*."""
        ...


def redact_excluded(payload: bytes, plan: Excluding, rules: Rules) -> tuple[bytes, tuple[str, ...]]:
    """Return a captured payload with markers in place of the values that quote redacted texts.

    Returns:
        The payload, and the excluded categories of the texts that it quotes, sorted.
    """
    if rules.texts is None:
        return payload, ()
    index = rules.texts.index()
    if not _may_quote(payload, index, plan.excludes):
        return payload, ()
    search = _Search(index.words, plan, rules.off)
    copy = search.payload(cast("dict[str, object]", decode(payload)))
    if not search.categories:
        return payload, ()
    data = encode(copy)
    if len(data) > rules.max_payload_bytes:  # a marker is longer than a short text
        data = encode(cut(copy, rules.max_payload_bytes))
    return data, tuple(sorted(search.categories))


def _may_quote(payload: bytes, index: TextIndex, categories: frozenset[str]) -> bool:
    """Return whether the JSON of a payload has one of the texts of *categories* in it.

    In the payload and in the texts, a space replaces each character that JSON escapes.
    """
    escapes = b"\\" in payload
    if escapes:
        payload = _ESCAPE.sub(b" ", payload)
    candidates = index.texts
    if len(candidates) > _FEW:
        words = index.words.keys() & _words_of(payload)
        candidates = [known for word in words for known in index.words[word]]
    json = payload.decode()
    for text, category in candidates:
        if category in categories and (_ESCAPED.sub(" ", text) if escapes else text) in json:
            return True
    return False


def _words_of(payload: bytes) -> list[str]:
    """Return the words in a payload, as `WORD` finds them; those of ASCII in C."""
    words = payload.translate(_BETWEEN_WORDS).decode().split()
    if payload.isascii():
        return words
    mixed = " ".join([word for word in words if not word.isascii()])
    return [*words, *WORD.findall(mixed)]


class _Search:
    """The search of one payload.

    Attributes:
        categories: The excluded categories of the texts that the payload quotes.
    """

    def __init__(self, by_word: _ByWord, plan: Excluding, off: frozenset[str]) -> None:
        self.categories: set[str] = set()
        self._by_word = by_word
        self._plan = plan
        self._off = frozenset(rule.removeprefix("category:") for rule in off)
        self._excluded: frozenset[str] = frozenset()

    def payload(self, members: dict[str, object]) -> object:
        """Return the copy of a payload, or of the marker in its place."""
        arguments = members
        if markers.is_marker(members):
            if type(members.get("head")) is not dict:
                return members
            arguments = cast("dict[str, object]", members["head"])
        self._excluded = self._plan.excludes - self._off
        marker = self._marker_of_keys(arguments)
        copy: dict[str, object] = {}
        for name, value in arguments.items():
            self._excluded = self._plan.excluded_from(name) - self._off
            copy[name] = self._value(value)
        return marker or (copy if arguments is members else {**members, "head": copy})

    def _value(self, value: object) -> object:
        if type(value) is str:
            return self._marker_of(value) or value
        if type(value) is int:
            return self._marker_of(str(value)) or value
        if type(value) is list:
            return [self._value(item) for item in cast("list[object]", value)]
        return self._object(cast("dict[str, object]", value)) if type(value) is dict else value

    def _object(self, members: dict[str, object]) -> object:
        if markers.is_marker(members):
            return self._marker(members)
        copy = {name: self._value(item) for name, item in members.items()}
        return self._marker_of_keys(members) or copy

    def _marker(self, members: markers.Marker) -> object:
        """Return a marker, after searching the kept part of a cut text or object."""
        copy = dict(members)
        for name in ("head", "tail"):
            if name in members:
                copy[name] = self._value(members[name])
                if markers.is_redacted(copy[name]):
                    return copy[name]
        return copy

    def _marker_of_keys(self, members: dict[str, object]) -> markers.Marker | None:
        markers = [self._marker_of(name) for name in members]
        return next(filter(None, markers), None)

    def _marker_of(self, text: str) -> markers.Marker | None:
        """Return the marker that replaces *text*, None if it quotes nothing."""
        categories = set(self._quoted_in(text))
        self.categories |= categories
        return markers.redacted(f"category:{min(categories)}") if categories else None

    def _quoted_in(self, text: str) -> Iterator[str]:
        """Yield the excluded categories of the texts that *text* quotes."""
        for word in set(WORD.findall(text)):
            for redacted, category in self._by_word.get(word, ()):
                if category in self._excluded and _quotes(text, redacted):
                    yield category


def _quotes(text: str, redacted: str) -> bool:
    """Return whether *text* has *redacted* as whole words."""
    start = text.find(redacted)
    while start >= 0:
        end = start + len(redacted)
        neighbours = text[max(start - 1, 0) : start], text[end : end + 1]
        if not any(map(WORD.match, neighbours)):
            return True
        start = text.find(redacted, start + 1)
    return False
