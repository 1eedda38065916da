"""What a check of `remit doctor` found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"
    """Not wrong, but not what most want."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: What was looked at, one word.
        verdict: How it came out.
        said: What was seen.
        advice: What to do; empty if nothing.
        code: What is wrong, one word for programs; empty if nothing is.
    """

    name: str
    verdict: Verdict
    said: str
    advice: str = ""
    code: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it as JSON."""
        return asdict(self)


def ok(name: str, said: str) -> Check:
    """Return a check that came out well."""
    return Check(name, Verdict.OK, said)


def note(name: str, said: str, advice: str = "") -> Check:
    """Return a check that came out well, with something to know."""
    return Check(name, Verdict.NOTE, said, advice)


def wrong(name: str, code: str, said: str, advice: str = "") -> Check:
    """Return a check that found what is wrong."""
    return Check(name, Verdict.WRONG, said, advice, code)
