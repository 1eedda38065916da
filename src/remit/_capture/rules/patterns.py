"""Searches a text for keys, tokens and passwords.

Each pattern has an anchor, a short literal that every match contains. Patterns whose anchors begin
alike are one regular expression that starts with this literal. A text without the literal costs one
search for a substring, 0.5 us for 64 KiB.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from remit._capture.rules.pattern_rules import PATTERN_RULES, PatternRule

SHORTEST: Final = 16
"""No key-shaped text is shorter, in characters, but for a setting: `pwd=hunter2`.

Shorter texts are looked at only if they have the `SIGN` of one.
"""

SIGN: Final = "="

LONG_TEXT_CHARS: Final = 1000
"""Longer texts are searched without a test by `in`, which is slower, and results are cached."""

_MAX_CACHED: Final = 1024

_FEW: Final = 2

_NONE: Final[frozenset[str]] = frozenset()

# Ten characters of a token with a digit or a capital, which words in snake_case do not have; the
# rules themselves look at fewer characters.
_RANDOM: Final = "(?=[a-z_+/=-]{0,64}+[0-9A-Z])(?=[A-Za-z0-9_+/=-]{10})"

_SHORTCUTS: Final[Mapping[str, str]] = {
    "-": _RANDOM,
    "_": _RANDOM,
    ".": _RANDOM,
    "=": r"(?=[a-z][A-Za-z]{5,100}+(?![\w.(\[{<$%/:=-]))",
}
"""The text after the anchor in each of its patterns: it fails fast, before a head is searched."""


class Family:
    """All patterns whose anchors begin alike.

    Attributes:
        literal: The text that each of their matches contains.
        search: Returns the first match in a text, or None.
    """

    __slots__ = ("_rules", "literal", "search")

    def __init__(self, literal: str, rules: Iterable[PatternRule]) -> None:
        """Keep the rules; the first search compiles them, which takes 40 ms for all families."""
        self.literal = literal
        self._rules: dict[str, list[PatternRule]] = defaultdict(list)
        # Rules whose heads end alike are neighbours.
        for rule in sorted(rules, key=lambda rule: min(head[::-1] for head in rule.endings)):
            self._rules[rule.anchor].append(rule)
        self.search: Callable[[str], re.Match[str] | None] = self._first_search

    def rule_of(self, match: re.Match[str]) -> str:
        """Return the name of the rule that *match* is of."""
        rules = [rule for same in self._rules.values() for rule in same]
        return rules[(match.lastindex or 1) - 1].name

    def compile(self) -> None:
        """Compile the rules, unless they are."""
        if self.search == self._first_search:
            self._compile()

    def _first_search(self, text: str) -> re.Match[str] | None:
        self._compile()
        return self.search(text)

    def _compile(self) -> None:
        after = "|".join(
            f"{re.escape(anchor.removeprefix(self.literal))}{_last_chars(same)}"
            f"{_SHORTCUTS.get(anchor, '')}(?:{_ways(same)})"
            for anchor, same in self._rules.items()
        )
        self.search = re.compile(f"{re.escape(self.literal)}(?:{after})").search


def _families(rules: Iterable[PatternRule]) -> tuple[Family, ...]:
    """Return the families of *rules*, in the order of their first rules.

    Anchors that begin with the same sign or capital, which prose seldom has, are one family.
    """
    by_literal: dict[str, list[PatternRule]] = defaultdict(list)
    for rule in rules:
        first = rule.anchor[0]
        by_literal[rule.anchor if first.islower() else first].append(rule)
    return tuple(Family(literal, members) for literal, members in by_literal.items())


def _ways(rules: Sequence[PatternRule]) -> str:
    """Return the alternatives of *rules*, one group for each, as a binary tree.

    A look-behind at the characters before the anchor rules out half of the rules at each level.
    """
    if len(rules) <= _FEW:
        return "|".join(f"({_before(rule)}{rule.tail})" for rule in rules)
    middle = len(rules) // 2
    halves = rules[:middle], rules[middle:]
    return "|".join(f"{_last_chars(half)}(?:{_ways(half)})" for half in halves)


def _before(rule: PatternRule) -> str:
    """Return the look-behinds of a rule: one that fails fast, then one for each length of head."""
    if rule.endings == (rule.anchor,):
        return f"(?<![{rule.apart}]{re.escape(rule.anchor)})" if rule.apart else ""
    by_length: dict[int, list[str]] = defaultdict(list)
    for head in rule.endings:
        by_length[len(head)].append(re.escape(head))
    edge = f"(?<![{rule.apart}])" if rule.apart else ""
    ways = "|".join(f"(?<={edge}(?:{'|'.join(same)}))" for same in by_length.values())
    return f"{_last_chars([rule])}(?{'i' if rule.loose else ''}:{ways})"


def _last_chars(rules: Sequence[PatternRule]) -> str:
    """Return a look-behind of character classes, as long as the shortest head of *rules*."""
    heads: list[str] = []
    for rule in rules:
        heads += rule.endings
        if rule.loose:
            heads += map(str.upper, rule.endings)
    size = min(map(len, heads))
    if size == len(rules[0].anchor):
        return ""  # the anchor was matched already
    places = zip(*(head[-size:] for head in heads), strict=True)
    classes = ("".join(sorted({re.escape(char) for char in place})) for place in places)
    return f"(?<={''.join(f'[{chars}]' for chars in classes)})"


_CACHE: Final[dict[tuple[int, int, frozenset[str]], tuple[str | None]]] = {}
"""Results for long texts by hash and length, so that no text is kept.

One call may search a text several times: at its start, at an error, for a payload that is too long.
"""


def key_shaped(text: str, off: frozenset[str] = _NONE) -> str | None:
    """Return the rule of the first key, token or password in *text*, or None.

    Rules in *off* are not applied.
    """
    if len(text) <= LONG_TEXT_CHARS:
        return search_text(text, off)
    cache_key = hash(text), len(text), off
    cached = _CACHE.get(cache_key)
    if cached is None:
        cached = (search_text(text, off),)
        if len(_CACHE) >= _MAX_CACHED:
            _CACHE.clear()
        _CACHE[cache_key] = cached
    return cached[0]


def search_text(text: str, off: frozenset[str] = _NONE) -> str | None:
    """Return the result of `key_shaped` without its cache, for short texts."""
    as_written, in_lower_case = _families_without(off) if off else _ALL_FAMILIES
    long = len(text) > LONG_TEXT_CHARS
    for family in as_written:
        if (long or family.literal in text) and (match := family.search(text)) is not None:
            return family.rule_of(match)
    # Each of the other patterns needs one of these.
    if "=" in text or ":" in text or ">" in text or "--" in text or "%3" in text:
        text = text.lower()
        for family in in_lower_case:
            if family.literal in text and (match := family.search(text)) is not None:
                return family.rule_of(match)
    return None


@lru_cache(maxsize=64)
def _families_without(off: frozenset[str]) -> tuple[tuple[Family, ...], tuple[Family, ...]]:
    """Return the families for a text as written, and for the text in lower case."""
    rules = [rule for rule in PATTERN_RULES if rule.name not in off]
    as_written = _families(rule for rule in rules if not rule.lower)
    return as_written, _families(rule for rule in rules if rule.lower)


_ALL_FAMILIES: Final = _families_without(_NONE)


def compile_all() -> None:
    """Compile the rules of all families now, so that no call has to."""
    for family in itertools.chain(*_ALL_FAMILIES):
        family.compile()
