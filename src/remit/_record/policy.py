"""The policy: compares the data risk of a step with the remits of the agents around it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple, Self, TypeAlias

from msgspec import Struct

from remit._declare.risk import MEMBERS, Words, declared_words
from remit.models.data_risk import DataRisk

UNKNOWN: Final = "unknown"
_EXCEEDED_BY: Final = {"disallowed": "allowed", "excluded": "included"}
"""The words of an agent that are limits, and the words of a step that exceed them."""
_SIDES: Final = {
    "action_profile": "",
    "params_data_categories": " in the params",
    "result_data_categories": " in the result",
}


class Limit(NamedTuple):
    """One thing that an agent forbids.

    Attributes:
        part: The part of its data risk that says so.
        name: The action or category.
        word: `disallowed` or `excluded`.
    """

    part: str
    name: str
    word: str

    def exceeded_by(self, words: Words, *, strict: bool) -> str | None:
        """Return the word of a step for this action or category if it exceeds the limit."""
        word = str(words[self.part].get(self.name, UNKNOWN))
        exceeds = word == _EXCEEDED_BY[self.word] or (strict and word == UNKNOWN)
        return word if exceeds else None


class Ceiling(Struct, frozen=True, eq=False):
    """The remit of one agent: what it forbids. Compared by identity, as a key of verdicts.

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
        """Return the ceiling of an agent with this *remit*, or None if it forbids nothing."""
        words = declared_words(remit)
        limits = tuple(
            Limit(part, name, word)
            for part, names in MEMBERS.items()
            for name in names
            if (word := words[part].get(name)) in _EXCEEDED_BY
        )
        return cls(agent, place, limits) if limits else None


Ceilings: TypeAlias = tuple[Ceiling, ...]
"""The ceilings of an agent and of the agents around it, the outermost first; all apply."""


class Verdict(NamedTuple):
    """The result of comparing a step with some ceilings.

    Attributes:
        violations: How it exceeds them, one sentence for each declared word.
        exceeded: The ceilings that it exceeds.
    """

    violations: tuple[str, ...]
    exceeded: Ceilings


def under(outer: Ceilings, ceiling: Ceiling | None) -> Ceilings:
    """Return the ceilings inside a call of an agent: *outer*, and its own *ceiling*."""
    return outer if ceiling is None or ceiling in outer else (*outer, ceiling)


def verdict(ceilings: Ceilings, step: str, risk: DataRisk | None, *, strict: bool) -> Verdict:
    """Return how a step exceeds *ceilings*.

    Args:
        ceilings: The ceilings of the agents around it.
        step: Name of the step.
        risk: Its data risk; None leaves every word unknown.
        strict: Whether an unknown word exceeds a limit, as with `deny` and `terminate`.
    """
    words = declared_words(risk)
    violations = {
        ceiling: list(_violations(ceiling, step, words, strict=strict)) for ceiling in ceilings
    }
    return Verdict(
        tuple(chain.from_iterable(violations.values())),
        tuple(ceiling for ceiling, sentences in violations.items() if sentences),
    )


def _violations(ceiling: Ceiling, step: str, words: Words, *, strict: bool) -> Iterator[str]:
    for limit in ceiling.limits:
        word = limit.exceeded_by(words, strict=strict)
        if word is not None:
            subject = f"{limit.name}{_SIDES[limit.part]}"
            yield f"{subject}: {step} says {word}, the agent {ceiling.agent} says {limit.word}"
