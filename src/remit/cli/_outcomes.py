"""Outcomes of the checks of `remit doctor`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Not wrong, but unusual."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one check.

    Attributes:
        name: The subject of the check.
        advice: What to do; may be empty.
        code: The fault in one word, for programs; empty without a fault.
    """

    name: str
    status: Status
    message: str
    advice: str = ""
    code: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def ok(name: str, message: str) -> Outcome:
    return Outcome(name, Status.OK, message)


def note(name: str, message: str, advice: str = "") -> Outcome:
    return Outcome(name, Status.NOTE, message, advice)


def wrong(name: str, code: str, message: str, advice: str = "") -> Outcome:
    return Outcome(name, Status.WRONG, message, advice, code)
