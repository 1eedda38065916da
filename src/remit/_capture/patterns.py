"""Rules by shape: texts in which a key, a token or a password shows. A match withholds the text."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from remit._capture.assignments import ASSIGNMENT_RULES
from remit._capture.credentials import CREDENTIAL_RULES
from remit._capture.keys import KEY_RULES
from remit._capture.pattern import Family, families
from remit._capture.tokens import TOKEN_RULES

SHORTEST: Final = 16
"""No key-shaped text is shorter, in characters, but for a setting: `pwd=hunter2`.

Shorter texts are looked at only if they have the `SIGN` of one.
"""

SIGN: Final = "="

PATTERN_RULES: Final = (*CREDENTIAL_RULES, *KEY_RULES, *TOKEN_RULES, *ASSIGNMENT_RULES)

_LONG_TEXT_CHARS: Final = 1000
"""In longer texts the search looks for its literal faster than `in` does."""

_FAMILIES: Final[tuple[Family, ...]] = families(PATTERN_RULES)


def key_shaped(text: str, off: frozenset[str] = frozenset()) -> str | None:
    """Return the rule of the first key, token or password that shows in *text*, or `None`.

    Args:
        text: What is searched.
        off: Rules that do not count.
    """
    long = len(text) > _LONG_TEXT_CHARS
    for family in _without(off) if off else _FAMILIES:
        if (long or family.literal in text) and (found := family.search(text)) is not None:
            return family.rule_of(found)
    return None


@lru_cache(maxsize=64)
def _without(off: frozenset[str]) -> tuple[Family, ...]:
    return families(rule for rule in PATTERN_RULES if rule.name not in off)
