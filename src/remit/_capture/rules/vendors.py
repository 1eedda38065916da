"""Rules for vendors' keys and tokens, from `vendors.json`; most begin with a prefix.

The text after a prefix must have a digit or a capital, which keys always have and words seldom.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct

from remit._capture.rules.search import PatternRule

ALNUM: Final = "A-Za-z0-9"


class VendorKey(Struct, frozen=True, forbid_unknown_fields=True):
    """One row of `vendors.json`.

    Attributes:
        rule: Name of the rule, without `pattern:`.
        owner: Whose keys they are.
        withholds: What the rule withholds, in words, if it is not "keys and tokens of" the owner.
        prefixes: How a key begins, separated by spaces.
        random: How many characters follow at least, with a digit or a capital among the first.
        chars: Which characters these are, as in a class of a regular expression.
        tail: Instead: regular expression of what follows.
        example: What may follow a prefix; by default letters and digits, enough of them.
        anchor: For a key that has no prefix: as in `PatternRule`; so are the next two.
        heads: See `anchor`.
        apart: See `anchor`.
        withheld: Examples of texts that are withheld, for a key without a prefix.
        recorded: Examples of texts that look alike and are recorded.
    """

    rule: str
    owner: str = ""
    withholds: str = ""
    prefixes: str = ""
    random: int = 0
    chars: str = ALNUM
    tail: str = ""
    example: str = ""
    anchor: str = ""
    heads: tuple[str, ...] = ()
    apart: str = ALNUM
    withheld: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()

    def rules(self) -> Iterator[PatternRule]:
        """Yield the rules: one for each anchor."""
        name = f"pattern:{self.rule}"
        if self.anchor:
            yield PatternRule(name, self.anchor, self.tail, heads=self.heads, apart=self.apart)
            return
        prefixes = tuple(self.prefixes.split())
        tail = _random(self.random, self.chars) if self.random else self.tail
        if prefixes[0][-1].isalnum():
            # Each is rare enough to search for; a sign is searched for with what is before it.
            for prefix in prefixes:
                yield PatternRule(name, prefix, tail)
        else:
            yield PatternRule(name, prefixes[0][-1], tail, heads=prefixes)


def _random(least: int, chars: str) -> str:
    r"""Return the expression of *least* or more of *chars*, a digit or a capital among the first.

    `\w-` are the characters of Base64 in addresses.
    """
    # A set of ASCII letters is faster than `\w`, which covers Unicode.
    chars = chars.replace(r"\w", "A-Za-z0-9_")
    return f"(?=[a-z_=+/.-]{{0,{least - 1}}}+[0-9A-Z])[{chars}]{{{least}}}"


VENDOR_KEYS: Final = msgspec.json.decode(
    files("remit._capture.rules").joinpath("vendors.json").read_bytes(), type=list[VendorKey]
)

VENDOR_RULES: Final = tuple(rule for key in VENDOR_KEYS for rule in key.rules())
