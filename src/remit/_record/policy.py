"""The policy: compares the data risk of a step with the remits of the agents around it."""

from __future__ import annotations

from typing import Final, NamedTuple, Self, TypeAlias

from msgspec import Struct

from remit._declare.risk import MEMBERS, declared_words
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


def unjudged(step: str) -> str:
    """Return the violation of the step named *step* that a fault kept from being judged."""
    return f"a fault inside remit kept {step} from being compared with any remit"


def excluded_value(step: str, category: str) -> str:
    """Return the violation of the step named *step* that was given a value that it excludes."""
    subject = f"{category}{_SIDES['params_data_categories']}"
    return f"{subject}: {step} says excluded, and was given a value that this run withheld as such"


def under(outer: Ceilings, ceiling: Ceiling | None) -> Ceilings:
    """Return the ceilings inside a call of an agent: *outer*, and its own *ceiling*."""
    return outer if ceiling is None or ceiling in outer else (*outer, ceiling)


def verdict(ceilings: Ceilings, step: str, risk: DataRisk | None, *, strict: bool) -> Verdict:
    """Return how the step named *step* exceeds *ceilings*.

    If *strict*, as with `deny` and `terminate`, an unknown word exceeds a limit as well. Without a
    data risk every word is unknown.
    """
    words = declared_words(risk)
    violations: list[str] = []
    exceeded: list[Ceiling] = []
    for ceiling in ceilings:
        for part, name, limit in ceiling.limits:
            word = str(words[part].get(name, UNKNOWN))
            if word == _EXCEEDED_BY[limit] or (strict and word == UNKNOWN):
                subject = f"{name}{_SIDES[part]}"
                sentence = f"{step} says {word}, the agent {ceiling.agent} says {limit}"
                violations.append(f"{subject}: {sentence}")
                if ceiling not in exceeded:
                    exceeded.append(ceiling)
    return Verdict(tuple(violations), tuple(exceeded))
