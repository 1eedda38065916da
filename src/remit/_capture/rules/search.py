"""Searches a text for all patterns of keys.

Each pattern has an anchor, a short literal that every match contains. Patterns whose anchors begin
alike are one regular expression that starts with this literal. A text without the literal costs one
search for a substring, 0.5 us for 64 KiB.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

ALNUM: Final = "A-Za-z0-9"

# Ten characters of a token, and soon a digit or a capital: no words in snake_case.
_RANDOM: Final = "(?=[a-z_-]{0,20}+[0-9A-Z])(?=[A-Za-z0-9_-]{10})"

_SHORTCUTS: Final[Mapping[str, str]] = {
    "-": _RANDOM,
    "_": _RANDOM,
    ".": _RANDOM,
    "=": r"(?=[a-z][A-Za-z]{5,100}+(?![\w.(\[{<$%/:=-]))",
}
"""What follows the anchor in each of its patterns: it fails fast, before a head is looked for."""


class PatternRule(Struct, frozen=True):
    """A rule by shape.

    Attributes:
        name: As in a marker and in the counts of `remit.status()`.
        anchor: The literal that every match holds.
        tail: Regular expression of what follows the anchor.
        heads: Texts, one of which is directly before what `tail` matches; each ends with the
            anchor. Without any, the match begins with the anchor.
        apart: Characters, as in a class of a regular expression, that are not before the head;
            empty if any may be.
        loose: Upper and lower case are the same in the heads.
        lower: It is applied to the text in lower case, and written in lower case.
    """

    name: str
    anchor: str
    tail: str
    heads: tuple[str, ...] = ()
    apart: str = ALNUM
    loose: bool = False
    lower: bool = False

    @property
    def endings(self) -> tuple[str, ...]:
        """The heads, or the anchor where there are none."""
        return self.heads or (self.anchor,)


_FEW: Final = 2


class Family:
    """All patterns whose anchors begin alike.

    Attributes:
        literal: What each of their matches holds.
        search: Returns the first match in a text, or None.
    """

    __slots__ = ("_rules", "literal", "search")

    def __init__(self, literal: str, rules: Iterable[PatternRule]) -> None:
        """Keep the rules; they are compiled at the first search, which takes 40 ms for all."""
        by_anchor: dict[str, list[PatternRule]] = defaultdict(list)
        for rule in sorted(rules, key=_by_last_chars):
            by_anchor[rule.anchor].append(rule)
        self.literal = literal
        self._rules = by_anchor
        self.search: Callable[[str], re.Match[str] | None] = self._first_search

    def rule_of(self, match: re.Match[str]) -> str:
        """Return the name of the rule that *match* is of."""
        rules = [rule for same in self._rules.values() for rule in same]
        return rules[(match.lastindex or 1) - 1].name

    def _first_search(self, text: str) -> re.Match[str] | None:
        after = "|".join(
            f"{re.escape(anchor.removeprefix(self.literal))}{_last_chars(same)}"
            f"{_SHORTCUTS.get(anchor, '')}(?:{_ways(same)})"
            for anchor, same in self._rules.items()
        )
        self.search = re.compile(f"{re.escape(self.literal)}(?:{after})").search
        return self.search(text)


def families(rules: Iterable[PatternRule]) -> tuple[Family, ...]:
    """Return the families of *rules*, in the order of their first rules.

    Anchors that begin with the same sign or capital, which prose seldom has, are one family.
    """
    by_literal: dict[str, list[PatternRule]] = defaultdict(list)
    for rule in rules:
        first = rule.anchor[0]
        by_literal[rule.anchor if first.islower() else first].append(rule)
    return tuple(Family(literal, members) for literal, members in by_literal.items())


def _by_last_chars(rule: PatternRule) -> str:
    """Return a sort key that groups rules whose heads end alike."""
    return min(head[::-1] for head in rule.endings)


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
