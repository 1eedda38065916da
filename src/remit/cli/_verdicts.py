"""Results of the checks of `remit doctor`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class CheckResult(StrEnum):
    """Result of a check."""

    OK = "ok"
    NOTE = "note"
    """Not wrong, but unusual."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: What was looked at, one word.
        advice: What to do; empty if nothing.
        code: What is wrong, one word for programs; empty if nothing is.
    """

    name: str
    verdict: CheckResult
    said: str
    advice: str = ""
    code: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it as JSON."""
        return asdict(self)


def ok(name: str, said: str) -> Check:
    """Return a check that succeeded."""
    return Check(name, CheckResult.OK, said)


def note(name: str, said: str, advice: str = "") -> Check:
    """Return a check that succeeded with a remark."""
    return Check(name, CheckResult.NOTE, said, advice)


def wrong(name: str, code: str, said: str, advice: str = "") -> Check:
    """Return a check that failed."""
    return Check(name, CheckResult.WRONG, said, advice, code)
