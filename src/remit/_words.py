"""Words that an author got wrong: which one was meant, and which there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

# The descriptor itself: a metaclass may answer for the attribute with code of its own.
_QUALNAME: Final[Any] = type.__dict__["__qualname__"].__get__
MAX_SHOWN_CHARS: Final = 40
"""So that a message stays one line."""


def meant(word: object, allowed: Iterable[str]) -> str:
    """Return a question with the word that *word* is close to; nothing if it is close to none."""
    import difflib  # noqa: PLC0415 - 0.5 ms at import, for what is misspelt alone

    close = difflib.get_close_matches(str(word), allowed, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: object) -> str:
    """Return a wrong value for a message: a text, cut; of anything else the type alone."""
    if type(value) is not str:
        return f"an object of type {_QUALNAME(type(value))}"
    return repr(value) if len(value) <= MAX_SHOWN_CHARS else f"{value[:MAX_SHOWN_CHARS]!r}..."


def one_of(words: Iterable[str]) -> str:
    """Return what was expected: one of *words*."""
    return f"one of {', '.join(words)}"
