"""Texts for error messages: suggestions, allowed words, and short forms of wrong values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

MAX_SHOWN_CHARS: Final = 40
"""So that a message stays one line."""

MIN_SIMILARITY: Final = 0.6
"""Least similarity of two words for a suggestion, from 0 to 1."""

# Bypasses the metaclass, whose definition of the attribute may run user code.
_QUALNAME: Final[Any] = type.__dict__["__qualname__"].__get__


def did_you_mean(word: object, allowed: Iterable[str]) -> str:
    """Return a question with the most similar allowed word; "" if none is similar."""
    close = closest(str(word), allowed)
    return f" (did you mean {close!r}?)" if close else ""


def closest(word: str, allowed: Iterable[str], cutoff: float = MIN_SIMILARITY) -> str:
    """Return the word of *allowed* that is most similar to *word*; "" if none is similar."""
    import difflib  # noqa: PLC0415 - 2 ms at import, for misspelt words only

    return next(iter(difflib.get_close_matches(word, allowed, 1, cutoff)), "")


def describe_url(value: str) -> str:
    """Return scheme and host of a URL for a message.

    A string without a scheme is not shown: it may be a token that was given as the URL.
    """
    try:
        parts = urlsplit(value)
    except ValueError:
        return "an unreadable URL"
    if "://" not in value or not parts.scheme:
        return f"a text of {len(value)} characters without https:// (not shown: maybe a token)"
    return repr(f"{parts.scheme}://{parts.hostname or ''}")


def describe_value(value: object) -> str:
    """Return a wrong value for a message: a string, cut; of other objects only the type."""
    if type(value) is not str:
        return f"an object of type {_QUALNAME(type(value))}"
    return repr(value) if len(value) <= MAX_SHOWN_CHARS else f"{value[:MAX_SHOWN_CHARS]!r}..."


def install_extra(extra: str) -> str:
    """Return how to get the libraries of *extra*; remit is not on an index under its name."""
    return f"install the extra `{extra}` of remit (see Install in its README)"


def choices(words: Iterable[str]) -> str:
    """Return the allowed words for a message."""
    return f"one of {', '.join(words)}"
