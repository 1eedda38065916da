"""How a text is searched for all shapes of keys at once.

Each pattern belongs to an anchor, a short literal that it cannot do without. Patterns whose anchors
begin alike share one regular expression that starts with that literal, so that a text without it
costs one search of the interpreter's own (0.5 us for 64 KiB and one character).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from remit._capture.rule import Rule

ALNUM: Final = "A-Za-z0-9"

# Ten characters of a token, and soon a digit or a capital: no words in snake_case.
_RANDOM: Final = r"(?=[a-z_-]{0,20}+[0-9A-Z])(?=[\w-]{10})"

_SHORTCUTS: Final[Mapping[str, str]] = {
    "-": _RANDOM,
    "_": _RANDOM,
    ".": _RANDOM,
    "=": r"""(?=[ \t]{0,4}\\?["']?[^\s"'=<{(\[$*%]{3})""",
    ":": r"""(?=\s{0,4}\\?["']?[^\s"':=<{(\[$*%]{4})""",
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
    """

    anchor: str
    tail: str
    heads: tuple[str, ...] = ()
    apart: str = ALNUM
    loose: bool = False

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
    return f"(?=[{chars}]{{0,{least - 1}}}[0-9A-Z])[{chars}]{{{least},}}"


def hexadecimal(length: int) -> str:
    """Return the expression of exactly *length* digits."""
    return f"[0-9a-f]{{{length}}}(?![0-9a-f])"


UUID: Final = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"

# Of these the examples are made.
DIGITS: Final = "0123456789abcdef"
LETTERS: Final = "aB3dE5fG7hI9jK1lM2nO4pQ6"
LONG: Final = LETTERS * 3
UUID_LIKE: Final = "01234567-89ab-cdef-0123-456789abcdef"


_Group: TypeAlias = list[PatternRule]
"""Rules that differ in their heads only: one way of the expression for all of them."""


class Family:
    """All patterns whose anchors begin alike.

    Attributes:
        literal: What each of their matches holds.
        search: Returns the first match in a text, or None.
    """

    __slots__ = ("_groups", "literal", "search")

    def __init__(self, literal: str, rules: Sequence[PatternRule]) -> None:
        """Keep the rules; they are compiled at the first search, which takes 25 ms for all."""
        groups: dict[tuple[str, str, str, bool], _Group] = defaultdict(list)
        for rule in sorted(rules, key=lambda rule: rule.anchor):
            groups[rule.anchor, rule.tail, rule.apart, rule.loose].append(rule)
        self.literal = literal
        self._groups = tuple(groups.values())
        self.search: Callable[[str], re.Match[str] | None] = self._first_search

    def rule_of(self, match: re.Match[str]) -> str:
        """Return the name of the rule that *match* is of."""
        group = self._groups[(match.lastindex or 1) - 1]
        before = match.string[: match.start() + len(group[0].anchor)]
        return next((rule for rule in group if _ends(before, rule)), group[0]).name

    def _first_search(self, text: str) -> re.Match[str] | None:
        ways: dict[str, list[str]] = defaultdict(list)
        for group in self._groups:
            ways[group[0].anchor].append(f"({_before(group)}{group[0].tail})")
        after = "|".join(
            f"{re.escape(anchor.removeprefix(self.literal))}{_SHORTCUTS.get(anchor, '')}"
            f"(?:{'|'.join(same)})"
            for anchor, same in ways.items()
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


def _ends(before: str, rule: PatternRule) -> bool:
    """Return whether *before*, a text up to the anchor and with it, ends in a head of *rule*."""
    longest = before[-max(map(len, rule.endings)) :]
    shown = longest.lower() if rule.loose else longest
    return shown.endswith(rule.endings)


def _before(group: _Group) -> str:
    """Return the look-behinds of a group: one that fails fast, then one for each length of head."""
    heads = tuple(dict.fromkeys(head for rule in group for head in rule.endings))
    apart, loose = group[0].apart, group[0].loose
    by_length: dict[int, list[str]] = defaultdict(list)
    for head in heads:
        by_length[len(head)].append(re.escape(head))
    edge = f"(?<![{apart}])" if apart else ""
    ways = "|".join(f"(?<={edge}(?:{'|'.join(same)}))" for same in by_length.values())
    return f"(?{'i' if loose else ''}:{_last_chars(heads)}(?:{ways}))"


def _last_chars(heads: tuple[str, ...]) -> str:
    """Return a look-behind of character classes, as long as the shortest head.

    Over 64 KiB of JSON it takes the search for assignments from 3.9 ms to 0.3.
    """
    size = min(map(len, heads))
    places = zip(*(head[-size:] for head in heads), strict=True)
    classes = ("".join(sorted({re.escape(char) for char in place})) for place in places)
    return f"(?<={''.join(f'[{each}]' for each in classes)})"
