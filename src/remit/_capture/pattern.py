"""How a text is searched for all shapes of keys at once.

Each pattern belongs to an anchor, a short literal that it cannot do without. Patterns whose anchors
begin alike share one regular expression that starts with that literal, so that a text without it
costs one search of the interpreter's own (0.5 us for 64 KiB and one character).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from remit._capture.rule import Rule

ALNUM: Final = "A-Za-z0-9"

# Ten characters of a token, and soon a digit or a capital: no words in snake_case.
_RANDOM: Final = "(?=[a-z_-]{0,20}+[0-9A-Z])(?=[A-Za-z0-9_-]{10})"

_SHORTCUTS: Final[Mapping[str, str]] = {
    "-": _RANDOM,
    "_": _RANDOM,
    ".": _RANDOM,
    "=": r"(?=[a-z][A-Za-z]{5,100}+(?![\w.(\[{<$%/:=-]))",
}
"""What follows the anchor in each of its patterns: fails fast, before any head is looked for."""


class PatternRule(Rule, frozen=True, kw_only=True):
    """A rule by shape.

    Attributes:
        anchor: The literal that every match holds.
        tail: Regular expression of what follows the anchor.
        heads: Texts of which one stands directly before what `tail` matches, anchor included and
            last. Without any, the match begins with the anchor.
        apart: Characters, written as in a class of a regular expression, that do not stand before
            the head; empty if any may.
        loose: Upper and lower case are the same in the heads.
        lower: It is applied to the text in lower case, and written in lower case.
    """

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


def prefixed(name: str, owner: str, prefixes: str, tail: str, example: str) -> PatternRule:
    """Return the rule of keys that begin with one of *prefixes*, all with the same last character.

    Args:
        name: Name of the rule.
        owner: Whose keys they are.
        prefixes: Parted by spaces.
        tail: Regular expression of what follows.
        example: Of what follows.
    """
    heads = tuple(prefixes.split())
    return PatternRule(
        name=f"pattern:{name}",
        withholds=f"keys and tokens of {owner}",
        anchor=heads[0][-1],
        heads=heads,
        tail=tail,
        positives=tuple(head + example for head in heads),
        negatives=(*(f"{head}token of ours" for head in heads), f"x{heads[0]}{example}"),
    )


def anchored(name: str, owner: str, anchor: str, tail: str, example: str) -> PatternRule:
    """Return the rule of keys that begin with *anchor*, which is rare enough to look for."""
    return PatternRule(
        name=f"pattern:{name}",
        withholds=f"keys and tokens of {owner}",
        anchor=anchor,
        tail=tail,
        positives=(anchor + example,),
        negatives=(f"{anchor} is a prefix of keys", f"x{anchor}{example}"),
    )


def random(least: int, chars: str = ALNUM) -> str:
    r"""Return the expression of *least* or more of *chars*, a digit or a capital among the first.

    `\w-` are the characters of Base64 in addresses.
    """
    # A set of ASCII letters is faster than `\w`, which covers Unicode.
    chars = chars.replace(r"\w", "A-Za-z0-9_")
    return f"(?=[a-z_=+/.-]{{0,{least - 1}}}+[0-9A-Z])[{chars}]{{{least}}}"


def hexadecimal(length: int) -> str:
    """Return the expression of exactly *length* digits."""
    return f"[0-9a-f]{{{length}}}(?![0-9a-f])"


UUID: Final = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"

# Of these the examples are made.
DIGITS: Final = "0123456789abcdef"
LETTERS: Final = "aB3dE5fG7hI9jK1lM2nO4pQ6"
LONG: Final = LETTERS * 3
UUID_LIKE: Final = "01234567-89ab-cdef-0123-456789abcdef"


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
    return f"(?<={''.join(f'[{each}]' for each in classes)})"
