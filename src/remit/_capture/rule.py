"""One rule of redaction, as a row of the table that the documentation is printed from."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Rule(Struct, frozen=True, kw_only=True):
    """What is withheld, and why.

    Attributes:
        name: As it stands in a marker and in the counts of `remit.status()`.
        withholds: What the rule withholds, in words.
        positives: Examples that it withholds.
        negatives: Examples that look alike and are recorded.
    """

    name: str
    withholds: str
    positives: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()


SECRET_TYPE: Final = "type:SecretStr"  # noqa: S105 - the name of a rule
SENSITIVE_MARK: Final = "type:Sensitive"
CAPTURE_OFF: Final = "capture"
QUOTED: Final = "quoted"
HOOK: Final = "hook"


def listed(text: str) -> tuple[str, ...]:
    """Return what commas part in *text*: tables of words read better so."""
    return tuple(part.strip() for part in text.split(","))
