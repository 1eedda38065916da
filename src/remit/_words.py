"""Words that an author got wrong: which one was meant, and which there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(word: object, allowed: Iterable[str]) -> str:
    """Return a question with the word that *word* is close to; nothing if it is close to none."""
    close = difflib.get_close_matches(str(word), allowed, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def one_of(words: Iterable[str]) -> str:
    """Return what was expected: one of *words*."""
    return f"one of {', '.join(words)}"
