"""The marks of steps and runs: their flags, their words and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from remit.collector.store.rows import DENIED, INVALID, LOST, REDACTED, UNDECLARED, VIOLATION


class MarkKind(NamedTuple):
    """One kind of mark, by its name in the API."""

    flag: int
    words: str
    plural: str
    meaning: str


HELD: Final = "held"
"""The mark of a step that a hold denied, as its findings say; the API has no flag for it."""
MARKS: Final[Mapping[str, MarkKind]] = {
    "denied": MarkKind(DENIED, "denied", "denied", "the policy denied the step"),
    "violation": MarkKind(
        VIOLATION, "violation", "violations", "the step violates its agent's remit, but ran"
    ),
    "redacted": MarkKind(
        REDACTED,
        "redacted values",
        "redacted values",
        "at least one of its values was not recorded",
    ),
    "invalid": MarkKind(
        INVALID,
        "not as declared",
        "not as declared",
        "the payload or the result differs from its declared schema",
    ),
    "undeclared": MarkKind(
        UNDECLARED,
        "undeclared",
        "undeclared",
        "the step has no declaration, so its actions and data are unknown",
    ),
    "lost": MarkKind(
        LOST,
        "lost",
        "lost",
        "some records of the run were lost or have not arrived yet",
    ),
}
"""The marks that have a flag."""
ALL_MARKS: Final[Mapping[str, MarkKind]] = {
    **MARKS,
    HELD: MarkKind(DENIED, "denied by a hold", "denied by a hold", "a hold denied the step"),
}
