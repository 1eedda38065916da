"""The policy: an agent's data risk is its remit, and no step of its runs may exceed it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Self, TypeAlias

from msgspec import Struct

from remit._declare.risk import MEMBERS, Words, declared_words
from remit.models.data_risk import DataRisk

UNKNOWN: Final = "unknown"
_EXCEEDED_BY: Final = {"disallowed": "allowed", "excluded": "included"}
"""What an agent says that is a limit, and what a step says that exceeds it."""
_SIDES: Final = {
    "action_profile": "",
    "params_data_categories": " in the params",
    "result_data_categories": " in the result",
}


class Limit(NamedTuple):
    """One thing that an agent forbids.

    Attributes:
        part: The part of its data risk where that stands.
        name: The action or category.
        word: `disallowed` or `excluded`.
    """

    part: str
    name: str
    word: str

    def exceeded_by(self, words: Words, *, strict: bool) -> str | None:
        """Return which of *words* stands here if it exceeds the limit."""
        word = str(words[self.part].get(self.name, UNKNOWN))
        exceeds = word == _EXCEEDED_BY[self.word] or (strict and word == UNKNOWN)
        return word if exceeds else None


class Ceiling(Struct, frozen=True, eq=False):
    """What one agent may do at most. Equal only to itself, so that verdicts are found at once.

    Attributes:
        agent: External identifier of the agent.
        place: File and line of its declaration.
        limits: What it forbids.
    """

    agent: str
    place: str
    limits: tuple[Limit, ...]

    @classmethod
    def of(cls, agent: str, place: str, remit: DataRisk | None) -> Self | None:
        """Return the ceiling that *remit* is, None if it forbids nothing."""
        words = declared_words(remit)
        limits = tuple(
            Limit(part, name, word)
            for part, names in MEMBERS.items()
            for name in names
            if (word := words[part].get(name)) in _EXCEEDED_BY
        )
        return cls(agent, place, limits) if limits else None


Ceilings: TypeAlias = tuple[Ceiling, ...]
"""Those of an agent and of the agents around it, the outermost first: all of them hold."""


class Verdict(NamedTuple):
    """What is to be said of a step under some ceilings.

    Attributes:
        violations: Where it exceeds them, one sentence for each declared word.
        exceeded: The ceilings that it exceeds.
    """

    violations: tuple[str, ...]
    exceeded: Ceilings


def under(outer: Ceilings, own: Ceiling | None) -> Ceilings:
    """Return the ceilings that hold in a call of an agent whose own is *own*."""
    return outer if own is None or own in outer else (*outer, own)


def verdict(ceilings: Ceilings, step: str, risk: DataRisk | None, *, strict: bool) -> Verdict:
    """Return where a step exceeds *ceilings*.

    Args:
        ceilings: What the agents allow.
        step: Name of the step.
        risk: What it declared; None leaves every word unknown.
        strict: What the step leaves unknown exceeds a ceiling that forbids it. So under `deny`
            and `terminate`: an undeclared step is not known to stay below.
    """
    words = declared_words(risk)
    found = [(each, list(_found(each, step, words, strict=strict))) for each in ceilings]
    return Verdict(
        tuple(sentence for _, sentences in found for sentence in sentences),
        tuple(ceiling for ceiling, sentences in found if sentences),
    )


def _found(ceiling: Ceiling, step: str, words: Words, *, strict: bool) -> Iterator[str]:
    for limit in ceiling.limits:
        word = limit.exceeded_by(words, strict=strict)
        if word is not None:
            matter = f"{limit.name}{_SIDES[limit.part]}"
            yield f"{matter}: {step} says {word}, the agent {ceiling.agent} says {limit.word}"
