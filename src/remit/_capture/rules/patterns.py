"""Rules by shape: they withhold texts that contain a key, a token or a password."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from remit._capture.rules.assignments import ASSIGNMENT_RULES, ENVIRONMENT_RULES
from remit._capture.rules.credentials import CREDENTIAL_RULES
from remit._capture.rules.search import PatternRule, families
from remit._capture.rules.vendors import VENDOR_RULES

SHORTEST: Final = 16
"""No key-shaped text is shorter, in characters, but for a setting: `pwd=hunter2`.

Shorter texts are looked at only if they have the `SIGN` of one.
"""

SIGN: Final = "="

PATTERN_RULES: Final = (
    *CREDENTIAL_RULES,
    *VENDOR_RULES,
    *ENVIRONMENT_RULES,
    *ASSIGNMENT_RULES,
)

LONG_TEXT_CHARS: Final = 1000
"""Longer texts are searched without a test by `in`, which is slower, and verdicts are cached."""

_MAX_VERDICTS: Final = 1024

_NONE: Final[frozenset[str]] = frozenset()


class _Families:
    """The families of patterns for the text as written, and for the text in lower case."""

    __slots__ = ("as_written", "in_lower_case")

    def __init__(self, rules: Iterable[PatternRule]) -> None:
        """Group *rules*."""
        rules = tuple(rules)
        self.as_written = families(rule for rule in rules if not rule.lower)
        self.in_lower_case = families(rule for rule in rules if rule.lower)


_ALL: Final = _Families(PATTERN_RULES)


_VERDICTS: Final[dict[tuple[int, int, frozenset[str]], tuple[str | None]]] = {}
"""Verdicts on long texts by hash and length, so that no text is kept.

One call may search a text several times: at its start, at an error, for a payload that is too long.
"""


def key_shaped(text: str, off: frozenset[str] = _NONE) -> str | None:
    """Return the rule of the first key, token or password in *text*, or None.

    Args:
        text: The text to search.
        off: Rules that are off.
    """
    if len(text) <= LONG_TEXT_CHARS:
        return search_text(text, off)
    cache_key = hash(text), len(text), off
    verdict = _VERDICTS.get(cache_key)
    if verdict is None:
        verdict = (search_text(text, off),)
        if len(_VERDICTS) >= _MAX_VERDICTS:
            _VERDICTS.clear()
        _VERDICTS[cache_key] = verdict
    return verdict[0]


def search_text(text: str, off: frozenset[str] = _NONE) -> str | None:
    """Return the result of `key_shaped` without its cache, for short texts."""
    searched = _without(off) if off else _ALL
    long = len(text) > LONG_TEXT_CHARS
    for family in searched.as_written:
        if (long or family.literal in text) and (match := family.search(text)) is not None:
            return family.rule_of(match)
    # Each of the other patterns needs one of these.
    if "=" in text or ":" in text or ">" in text or "--" in text:
        text = text.lower()
        for family in searched.in_lower_case:
            if family.literal in text and (match := family.search(text)) is not None:
                return family.rule_of(match)
    return None


@lru_cache(maxsize=64)
def _without(off: frozenset[str]) -> _Families:
    return _Families(rule for rule in PATTERN_RULES if rule.name not in off)
