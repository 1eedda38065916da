"""Texts for error messages: suggestions, allowed words, and short forms of wrong values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

ELLIPSIS: Final = "…"
PROJECT_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"
"""Valid names of projects."""

MAX_SHOWN_CHARS: Final = 40
"""So that a message stays one line."""

_MAX_SHORT_CHARS: Final = 15
"""No rule of redaction recognises a key, a token or a password in a shorter text without `=`."""

_MAX_INT: Final = 1 << 64

_WORDS: Final = re.compile(r"[./~]{0,2}[a-z]+[0-9]?(?:(?:[-_./,]{1,2}|:(?!/))[a-z]+[0-9]?)*")
"""Words in lower case, such as a name, a path or `module:name`, in which no rule finds a key."""

SECONDS_OF_MINUTE: Final = 60
MINUTES_OF_HOUR: Final = 60

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
        return f"a string of {len(value)} characters without https:// (not shown: maybe a token)"
    return repr(f"{parts.scheme}://{parts.hostname or ''}")


def describe_value(value: object) -> str:
    """Return a wrong value for a message.

    A text is shown, cut, if it is short or consists of words in lower case; any other text may be a
    key that was given in the wrong place, and only its length is shown. Of other objects only the
    type is.
    """
    if type(value) is not str:
        return f"an object of type {_QUALNAME(type(value))}"
    is_short = len(value) <= _MAX_SHORT_CHARS and "=" not in value
    if not is_short and _WORDS.fullmatch(value) is None:
        return f"a string of {len(value)} characters (not shown: maybe a key)"
    return repr(value) if len(value) <= MAX_SHOWN_CHARS else f"{value[:MAX_SHOWN_CHARS]!r}..."


def describe_literal(value: object) -> str:
    """Return a wrong value for a message as `describe_value` does, but a number as it is."""
    if value is None or type(value) is bool or type(value) is float:
        return repr(value)
    is_small = type(value) is int and abs(value) <= _MAX_INT
    return repr(value) if is_small else describe_value(value)


def install_extra(extra: str) -> str:
    """Return how to get the libraries of *extra*; remit is not on a package index yet."""
    return f"install the extra `{extra}` of remit (see docs/get-started/install.md)"


def choices(words: Iterable[str]) -> str:
    """Return the allowed words for a message."""
    return f"one of {', '.join(words)}"


def printable(text: str) -> str:
    """Return *text* on one line, without control sequences of terminals."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def duration(seconds: float) -> str:
    """Return how long *seconds* are, in the unit that fits."""
    if abs(seconds) < 1:
        return milliseconds(seconds * 1000)
    if abs(seconds) < SECONDS_OF_MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), SECONDS_OF_MINUTE)
    hours, minutes = divmod(minutes, MINUTES_OF_HOUR)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def milliseconds(count: float) -> str:
    """Return *count* milliseconds with two digits that mean something."""
    return f"{count:.2f} ms" if abs(count) < 1 else f"{count:.1f} ms"


def number_of(count: int, thing: str) -> str:
    """Return a count with its noun, as in `1 file` and `2,000 files`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def width(text: str) -> int:
    """Return how many columns *text* takes; East Asian characters and emoji take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def cut(text: str, most: int, mark: str = ELLIPSIS) -> str:
    """Return *text* in at most *most* columns, with *mark* at its end if some is missing."""
    room = max(0, most - len(mark))
    end, taken = len(text), 0
    for index, char in enumerate(text):
        taken += 1 if char.isascii() else width(char)
        if taken > room:
            end = min(end, index)
        if taken > most:
            return text[:end].rstrip() + mark
    return text


def padded(text: str, columns_wide: int) -> str:
    """Return *text* with spaces up to a width."""
    return text + " " * (columns_wide - width(text))
