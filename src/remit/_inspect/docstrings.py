"""Reads descriptions from docstrings, in the same way on every Python."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from itertools import dropwhile, islice, takewhile
from typing import Final, cast

from remit._base.guard import attempt

_HEADINGS: Final = frozenset({"Args:", "Arguments:", "Parameters:"})
_ENTRY: Final = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)")


def clean_docstring(text: str) -> str:
    """Return a docstring without the indentation of its source.

    Python 3.13 strips it when it compiles, earlier versions do not.
    """
    return "\n".join(
        line.rstrip() for line in inspect.cleandoc(escape_surrogates(text)).splitlines()
    )


def free_of_secrets(text: str | None, redact: Callable[[str], object]) -> str | None:
    """Return a description, None if it contains a secret, such as a key in an example."""
    redacted = None if text is None else redact(text)
    return redacted if isinstance(redacted, str) else None


def docstring(documented: object) -> str | None:
    """Return the docstring of an object, None without one or if it is not a string.

    Subclasses of `str`, such as lazily translated texts, become plain strings.
    """
    doc = attempt(lambda: getattr(documented, "__doc__", None))
    is_text = issubclass(type(doc), str)
    return str.__str__(cast("str", doc)) if is_text else None


def escape_surrogates(text: str) -> str:
    """Return *text* with escapes for lone surrogates, which cannot be encoded."""
    return text.encode("utf-8", "backslashreplace").decode()


def summary(docstring: str | None) -> str | None:
    """Return the first paragraph of a docstring, None if it has none."""
    return clean_docstring(docstring or "").partition("\n\n")[0].strip() or None


def parameter_descriptions(docstring: str | None) -> dict[str, str]:
    """Return the entries of a Google-style `Args:` section, by name; other styles give none."""
    descriptions: dict[str, str] = {}
    name = ""
    margin: int | None = None
    lines = clean_docstring(docstring or "").splitlines()
    after_heading = islice(dropwhile(lambda line: line not in _HEADINGS, lines), 1, None)
    section = takewhile(lambda line: not line or line[0].isspace(), after_heading)
    for line in filter(None, section):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        margin = indent if margin is None else margin
        entry = _ENTRY.fullmatch(text)
        if indent <= margin and entry:
            name = entry[1]
            descriptions[name] = entry[2]
        elif name:
            descriptions[name] = f"{descriptions[name]} {text}".strip()
    return {name: text for name, text in descriptions.items() if text}
