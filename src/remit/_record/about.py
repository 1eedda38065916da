"""What a program says of a run: its conversation, whose data it handles, and who asked.

A context variable holds what the innermost block of `remit.about` says. It is restored by value, as
the context of a run is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Final, cast
from uuid import UUID

from msgspec import Struct

from remit._base.guard import guarded
from remit._base.text import describe_value
from remit._capture.cut import encode
from remit._capture.rules.patterns import key_shaped
from remit._inspect.docstrings import escape_surrogates
from remit._inspect.introspection import is_a
from remit.errors import UsageError

MAX_CHARS: Final = 200
FIELDS: Final = ("conversation", "on_behalf_of", "subject")


class About(Struct, frozen=True):
    """What is said of a run, or of the runs that begin in a block.

    Attributes:
        conversation: Which runs belong together.
        on_behalf_of: Who asked.
        subject: Whose data the run handles.
        run_key: Key of the run around the block; None outside any run.
    """

    conversation: str | None = None
    on_behalf_of: str | None = None
    subject: str | None = None
    run_key: str | None = None


NOTHING: Final = About()

about_var: Final[ContextVar[About]] = ContextVar("remit_about", default=NOTHING)
"""What the innermost block of `remit.about` says."""


def checked_text(name: str, value: object, where: str, off: frozenset[str]) -> str | None:
    """Return a text about a run, or None for None.

    Args:
        where: The call in messages, such as `run({}=...) of shop:desk`.
        off: Rules of redaction that are off.

    Raises:
        UsageError: It is not a text of 1 to 200 characters, or a rule recognises a key in it. The
            message does not contain the text.
    """
    if value is None:
        return None
    if not is_a(value, str):
        expected = f"a string of 1 to {MAX_CHARS} characters"
        raise UsageError(f"{where.format(name)}: saw {describe_value(value)}; expected {expected}")
    text = escape_surrogates(str.__str__(cast("str", value)))
    if not 1 <= len(text) <= MAX_CHARS:
        seen = f"a string of {len(text)} characters"
        raise UsageError(f"{where.format(name)}: saw {seen}; expected 1 to {MAX_CHARS}")
    if captured_member(name, text, off) is None:
        raise UsageError(
            f"{where.format(name)}: saw a string that looks like a key, a token or a password (not "
            "shown); expected a name or an id"
        )
    return text


@guarded("what a framework says of a run", default=None)
def suggested_text(name: str, value: object, off: frozenset[str]) -> str | None:
    """Return a framework's text about a run; None if it is not valid.

    Frameworks also take numbers and UUIDs as ids.
    """
    if type(value) in (int, UUID):
        value = str(value)
    if not is_a(value, str):
        return None
    text = escape_surrogates(str.__str__(cast("str", value)))
    is_valid = 1 <= len(text) <= MAX_CHARS and captured_member(name, text, off) is not None
    return text if is_valid else None


def suggested_texts(values: Mapping[str, object], off: frozenset[str]) -> dict[str, str]:
    """Return the valid ones among a framework's texts about a run, by name."""
    texts = {name: suggested_text(name, values.get(name), off) for name in FIELDS}
    return {name: text for name, text in texts.items() if text is not None}


@lru_cache(maxsize=1024)
def captured_member(name: str, text: str, off: frozenset[str]) -> bytes | None:
    """Return a text about a run as a member of a JSON object; None if a rule redacts it."""
    return None if key_shaped(text, off) is not None else encode({name: text})[1:-1]


def captured_members(about: About, off: frozenset[str]) -> bytes | None:
    """Return what *about* says as members of a JSON object, without those that say nothing.

    Returns:
        None if a rule redacts a text.
    """
    members: list[bytes] = []
    for name, text in texts_of(about).items():
        member = captured_member(name, text, off)
        if member is None:
            return None
        members.append(member)
    return b",".join(members)


def texts_of(about: About) -> dict[str, str]:
    """Return what is said, by name."""
    texts: dict[str, str | None] = {name: getattr(about, name) for name in FIELDS}
    return {name: text for name, text in texts.items() if text is not None}


def with_texts(about: About, texts: Mapping[str, str | None]) -> About:
    """Return *about* with *texts* in place of its own, outside any run."""
    return About(**{**texts_of(about), **texts})
